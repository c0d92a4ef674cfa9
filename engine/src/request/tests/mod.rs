//! The request stage from outside: documents and variables in, operations and errors out.

mod documents;
mod fixture;
mod properties;
mod served;
mod soundness;
mod values;
