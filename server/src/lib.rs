//! The server as a library: settings, GraphQL, identity, HTTP and websockets, over the engine (`gom-engine`) and the actors
//! (`gom-actors`). `docs/ARCHITECTURE.md` is the map.

pub mod admission;
pub mod application;
pub mod build_info;
pub mod datamodel;
pub mod deployment;
pub mod graphql;
pub mod http;
pub mod identity;
pub mod ledger;
pub mod logging;
pub mod metrics;
pub mod policy;
pub mod push;
pub mod seed;
pub mod server;
pub mod settings;
pub mod socket;
pub mod stop;
pub mod telemetry;
