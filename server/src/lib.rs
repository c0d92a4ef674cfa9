//! The server as a library: settings, GraphQL, identity, HTTP and websockets, over the engine (`gom-engine`) and the actors
//! (`gom-actors`). `docs/ARCHITECTURE.md` is the map.
//!
//! A server without an application serves the datamodel that its settings name. This one reads them from `./config` and the
//! environment, as `gom serve` does:
//!
//! ```no_run
//! use std::error::Error;
//!
//! use gom_server::application::NoApplication;
//! use gom_server::server::Server;
//! use gom_server::settings::{self, Inputs, Purpose};
//!
//! fn main() -> Result<(), Box<dyn Error>> {
//!     let loaded = settings::load(&Inputs {
//!         purpose: Purpose::Serve,
//!         keys: &[],
//!         variables: std::env::vars_os().collect(),
//!         directory: None,
//!         arguments: Vec::new(),
//!     })?;
//!     actix::System::new().block_on(async {
//!         let server = Server::build(loaded.settings, &NoApplication).await?;
//!         println!("GraphQL at http://{}/graphql", server.addresses()[0]);
//!         server.run_until_stopped().await?;
//!         Ok(())
//!     })
//! }
//! ```

#![warn(missing_docs)]

mod admission;
pub mod application;
pub mod build_info;
pub mod datamodel;
pub mod deployment;
pub mod graphql;
pub mod http;
pub mod identity;
pub mod ledger;
pub mod logging;
mod metrics;
pub mod policy;
pub mod push;
pub mod seed;
pub mod server;
pub mod settings;
mod socket;
pub mod stop;
pub mod telemetry;
