//! Gom.
