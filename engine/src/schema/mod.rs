//! Stage two: a checked datamodel becomes the GraphQL schema that Prisma 1 would serve for it.
//! Knows nothing of requests, rows or SQL.

mod builder;
mod generate;
mod inputs;
mod live_directive;
mod names;
mod objects;
mod plural;
mod sdl;
mod served;
mod types;

pub use generate::{SchemaOptions, generate};
pub use live_directive::EXTENSIONS;
pub use names::plural;
pub use sdl::sdl;
pub use served::{SchemaError, Served};
pub use types::*;
