//! The shop: what is particular to Gom's own datamodel.

pub mod customers;
