//! What is special about the shop: rules of its datamodel that no generic API has, and its customers' way in.

pub mod customers;
mod day;
mod rules;
mod watched;

pub use rules::{CODES, Rules};
pub use watched::{ORDER, PUBLICATION, watched};
