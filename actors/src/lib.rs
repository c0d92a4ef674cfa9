//! Gom's actors, their messages and their stores. Knows no HTTP and no GraphQL text.

pub mod database;
pub mod embedded;
pub mod migrations;
pub mod watch;
