//! Who asks: accounts, tokens, and an issuer elsewhere in every mood.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod accounts;
mod commands;
mod issuer;
mod keys;
mod refresh;
mod signer;
mod token_endpoint;
mod tokens;
mod world;
