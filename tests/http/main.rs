//! The HTTP edge, over real sockets and a real database: one test for each thing that a client may do wrong,
//! and what it is answered.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod application;
mod bytes;
mod client;
mod console;
mod edge;
mod legacy;
mod limits;
mod openapi;
mod operations;
mod readiness;
mod readme;
mod welcome;
