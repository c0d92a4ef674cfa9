//! Stage three: text and variables become a checked, coerced [`Operation`].

mod operation;

pub use operation::*;
