//! Operating the server: real processes, a real database, signals, health checks and commands.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod doctor;
mod doctor_network;
mod doctor_settings;
mod health;
mod misfits;
mod rolling;
mod stopping;
mod waiting;
