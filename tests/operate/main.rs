//! The server as those who look after it see it: real processes, a real database, and what is asked and told from outside.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod doctor;
mod doctor_network;
mod health;
mod misfits;
mod process;
mod rolling;
mod stopping;
mod waiting;
