//! Gom's actors, their messages and their stores. Knows no HTTP and no GraphQL text.

pub mod causes;
mod crash;
pub mod database;
pub mod embedded;
pub mod health;
pub mod limiter;
pub mod live;
pub mod metrics;
pub mod migrations;
mod own_thread;
mod owner;
mod postgres_store_client;
pub mod push;
mod reconnecting;
pub mod redis;
pub mod resume;
pub mod secret;
pub mod sessions;
pub mod traces;
pub mod waiting;
pub mod watch;
