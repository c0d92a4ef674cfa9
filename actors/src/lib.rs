//! Gom's actors, their messages and their stores. Knows no HTTP and no GraphQL text.

#![warn(missing_docs)]

pub mod database;
pub mod limiter;
pub mod live;
pub mod migrations;
mod postgres_store_client;
pub mod push;
pub mod redis;
pub mod resume;
pub mod secret;
pub mod sessions;
