//! What is special about the shop: rules of its datamodel that no generic API has.

mod day;
mod rules;

pub use rules::{CODES, Rules};
