//! Datamodels and rows of chance, and which rows a list shows: an oracle in memory that shares no code with the compiler.

pub mod drafts;
pub mod rows;
pub mod world;
