//! Actors.

pub mod embedded;
