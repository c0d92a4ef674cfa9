//! The sender against a push service over real TLS, and against independent implementations.

#![allow(clippy::unwrap_used)] // a panic is how a test fails, in its helpers too

mod interop;
mod outcomes;
mod reach;
mod world;
