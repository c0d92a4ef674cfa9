//! What is special about the shop: rules of its datamodel that no generic API has, and its customers' way in.

pub mod customers;
mod day;
mod rules;

pub use rules::{CODES, Rules};
