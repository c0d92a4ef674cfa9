//! Stage one: the text of `datamodel.prisma` becomes a checked [`DataModel`]. Knows no SQL and no GraphQL API.

mod model;

pub use model::*;
