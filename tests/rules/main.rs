//! Row rules and the shop's rules, in a real database: what each role sees, what it may write, and that no request reads or
//! writes another seller's shop.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod cascades;
mod customers;
mod follows;
mod lab;
mod large;
mod own_values;
mod reads;
mod shop_claims;
mod shop_rules;
mod ties;
mod writes;
