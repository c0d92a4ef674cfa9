//! What is special about the shop: rules of its datamodel that no generic API has, and its customers' way in.

pub mod customers;
mod day;
mod detours;
mod logins;
mod notices;
mod rules;
mod watched;

pub use detours::detours;
pub use logins::followed;
pub use notices::{NoticeOptions, Notices};
pub use rules::{CODES, Rules};
pub use watched::{ORDER, PUBLICATION, watched};
