//! Authentication: accounts, tokens, and an external issuer in every state.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod accounts;
mod bearer;
mod commands;
mod issuer;
mod keys;
mod refresh;
mod signer;
mod token_endpoint;
mod tokens;
mod world;
