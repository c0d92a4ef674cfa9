//! Real PostgreSQL for the tests, through the same launcher as in production, and real Redis. Knows nothing of Gom's tables.
//!
//! - [`TestDatabase`]: a fresh database for one test, on a cluster that all test processes of this workspace share. It is
//!   dropped with the value.
//! - [`TestCluster`]: a PostgreSQL of the test's very own, to be stopped, killed and frozen.
//! - [`TestRedis`]: the same for Redis.
//! - [`PushService`]: where messages to browsers go, over real TLS.
//! - [`eventually`]: waits for what comes about without the test.
//!
//! The clusters of tests do not flush to disk (`fsync=off`): they are durable against killed processes, not against a power cut.
//! Failing to get a database is a panic: a test cannot go on without it.

mod database;
mod keeper;
mod own;
mod patience;
mod port;
mod push_service;
mod redis;

pub use database::TestDatabase;
pub use own::TestCluster;
pub use patience::eventually;
pub use port::free_port;
pub use push_service::{Behaviour, PushService, PushServiceOptions, Received};
pub use redis::TestRedis;

/// Puts the data of a new cluster into `folder`, for a launcher to find: saves the test an initdb, which takes a second.
pub async fn place_cluster(folder: &std::path::Path) {
    keeper::copy(&keeper::shared().await.pristine, folder);
}
