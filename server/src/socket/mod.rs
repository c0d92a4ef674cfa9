//! Websockets: three protocols as pure state machines, a bounded way out, and the actor that holds them together. What is
//! asked over them is answered by `graphql::live`.

mod actor;
mod close_code;
mod connection_limiter;
mod frame;
mod legacy;
mod local;
mod machine;
mod memory;
mod oldest;
mod outbox;
mod outlet;
mod own_task;
mod payload;
mod receipts;
mod reconnect;
mod sending;
mod services;
mod transport_ws;

pub use actor::{Handshake, open};
pub use close_code::CloseCode;
pub use connection_limiter::{ConnectionLimiter, Place};
pub use local::{Entry, LocalSockets};
pub use machine::Protocol;
pub use outbox::{Outbox, OwnSocket};
pub use own_task::OwnTask;
pub use reconnect::retry_delay;
pub use services::{NotRenewed, Renew, SocketServices, positions};
