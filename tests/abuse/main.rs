//! What one hostile user can do to the others: each attack is a file, a bounded loop beside a client that behaves. The
//! victim's times alone and under attack and the memory of both processes are printed (`--nocapture`), and asserted with
//! room for a busy machine.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod answers;
mod attack;
mod busy;
mod events;
mod filters;
mod logins;
mod measure;
mod shop;
mod turns;
mod writes;
