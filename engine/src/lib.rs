//! Gom's engine: datamodel → schema → operation → plan → statements. Pure: no I/O, no clock, no actix.
//!
//! The stages follow each other, and each hands a plain value to the next; `docs/ARCHITECTURE.md` is the map.

pub mod datamodel;
pub mod error;
pub mod events;
pub mod migrate;
pub mod plan;
pub mod policy;
pub mod request;
pub mod schema;
pub mod sql;
