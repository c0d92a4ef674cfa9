//! From a write through the API to the devices: whole servers, a real database, a push service over real TLS.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod answers;
mod claims;
mod crash;
mod expansion;
mod many;
mod publications;
mod random;
mod roles;
mod topics;
mod troubles;
mod upkeep;
mod world;
