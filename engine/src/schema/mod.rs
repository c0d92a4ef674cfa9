//! Stage two: a checked datamodel becomes the GraphQL schema that Prisma 1 would serve for it.

mod types;

pub use types::*;
