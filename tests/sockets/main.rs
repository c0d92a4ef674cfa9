//! Websockets and server-sent events over real connections: what each message is answered, how each way of ending ends,
//! and what a client that behaves badly costs.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

#[path = "../auth/app.rs"]
#[allow(dead_code)] // shared with the tests of logins, which use all of it
mod app;
#[path = "../auth/browser.rs"]
#[allow(dead_code)]
mod browser;
#[path = "../auth/world.rs"]
#[allow(dead_code)]
mod world;

mod bounds;
mod bursts;
mod changes;
mod clients;
mod cursorless;
mod events;
mod faults;
mod large;
mod legacy;
mod prisma;
#[path = "../operate/process.rs"]
#[allow(dead_code)]
mod process;
mod proxy;
mod renewal;
mod transport_ws;
mod unread;
mod wire;
