//! Logins and sessions over real sockets, as browsers see them: a client's whole session, each fault of the
//! original that must not come back, and one test for each thing that may be refused.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod bearer;
mod cookies;
mod cors;
mod csrf;
mod faults;
mod login;
mod nodes;
mod oauth;
mod play;
mod shared;
mod timing;
