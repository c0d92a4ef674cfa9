//! Subscribers on a real database, without the edge: what a costly one does to others, how those who come back join, and
//! that every wait ends.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod costly;
mod herd;
mod joining;
mod leaves;
mod nodes;
mod panics;
mod quiet;
mod trimmed;
mod world;
