//! Gom's actors, their messages and their stores. Knows no HTTP and no GraphQL text.

pub mod causes;
mod crash;
pub mod database;
pub mod embedded;
pub mod limiter;
pub mod live;
pub mod metrics;
pub mod migrations;
mod own_thread;
mod owner;
pub mod pulse;
pub mod push;
pub mod redis;
pub mod resume;
pub mod secret;
pub mod sessions;
mod standing;
pub mod traces;
mod twin;
pub mod waiting;
pub mod watch;
