//! What tests of the whole workspace share: real PostgreSQL (through the same launcher as in production) and Redis, servers on
//! them, clients, and randomness that can be repeated.
//!
//! - [`app::TestApp`]: a server in the test's process; [`place::Place`]: its stores; [`browser::Browser`]: a client with cookies.
//! - [`process::Server`]: a server as a process of its own; [`proxy::Proxy`]: what stands before it, and can be cut.
//! - [`two_shops`], [`demo_shop`]: the people and rows of most tests. [`random`]: datamodels and rows of chance.
//! - [`dice::Dice`]: randomness from a seed.
//! - [`TestDatabase`]: a fresh database for one test, on a cluster that all test processes of this workspace share. It is
//!   dropped with the value. [`TestDatabase::with_own_tables`] has Gom's own tables.
//! - [`TestCluster`]: a PostgreSQL of the test's very own, to be stopped, killed and frozen.
//! - [`TestRedis`]: the same for Redis.
//! - [`token_issuer::TokenIssuer`]: an issuer of users' bearer tokens.
//! - [`PushService`]: where messages to browsers go, over real TLS.
//! - [`eventually`]: waits for what comes about without the test.
//!
//! The clusters of tests do not flush to disk (`fsync=off`): they are durable against killed processes, not against a power cut.
//! Failing to get a database is a panic: a test cannot go on without it.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

pub mod app;
pub mod browser;
mod database;
pub mod demo_shop;
pub mod dice;
mod keeper;
mod own;
mod own_tables;
mod patience;
pub mod place;
mod port;
pub mod process;
pub mod proxy;
mod push_service;
pub mod random;
mod redis;
pub mod token_issuer;
pub mod two_shops;

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
