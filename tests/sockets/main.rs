//! Websockets and server-sent events over real connections: what each message is answered, how each way of ending ends,
//! and what a client that behaves badly costs.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod bearer;
mod bounds;
mod bursts;
mod changes;
mod clients;
mod cursorless;
mod events;
mod faults;
mod idempotency;
mod large;
mod leaves;
mod legacy;
mod patches;
mod prisma;
mod renewal;
mod transport_ws;
mod unread;
mod wire;
