//! Gom's engine: a Prisma datamodel becomes a GraphQL schema, and GraphQL operations become SQL for
//! PostgreSQL. Pure: no I/O, no clock, no actix.
//!
//! The stages follow each other, and each hands a plain value to the next:
//!
//! | stage | from | to |
//! |---|---|---|
//! | [`datamodel`] | the text of a datamodel | a checked [`DataModel`](datamodel::DataModel) |
//! | [`schema`] | a datamodel | a [`Schema`](schema::Schema), its SDL, its validation |
//! | [`request`] | a document and variables | a [`PreparedOperation`](request::PreparedOperation) |
//! | [`policy`] | a written policy | a [`Policy`](policy::Policy) that fits the schema |
//! | [`plan`] | an operation and a viewer's rights | a [`Statement`](sql::Statement) or [`Program`](plan::Program) |
//! | [`sql`] | filters, shapes and writes | SQL text with parameters |
//! | [`events`] | rows of the change log, subscriptions | the statements that read events |
//! | [`migrate`] | a wanted and a found layout | the steps of a migration |
//!
//! The caller runs the statements, and supplies what is not pure: ids and times by
//! [`ValueSource`](plan::ValueSource), the rows of the catalog and of the change log.
//! `docs/ARCHITECTURE.md` is the map of the project around it.
//!
//! # Example
//!
//! A datamodel becomes a schema, and a query becomes the statement that answers it:
//!
//! ```
//! use std::sync::Arc;
//!
//! use gom_engine::datamodel;
//! use gom_engine::plan::{Access, PageLimits, Planner};
//! use gom_engine::request::{RequestLimits, RequestOptions, Requests};
//! use gom_engine::schema::{SchemaOptions, Served, generate, sdl};
//! use gom_engine::sql::{Physical, PhysicalOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let text = "type User { id: ID! @id  name: String! }";
//! let model = datamodel::parse("datamodel.prisma", text)?;
//! let schema = Arc::new(generate(&model, SchemaOptions::default()));
//! assert!(sdl(&schema).contains("type User implements Node {"));
//!
//! // Text and variables become a checked operation.
//! let served = Served::new(&schema)?;
//! let validate = move |document: &_, name: Option<&str>| served.validate(document, name);
//! let requests = Requests::new(Arc::clone(&schema), Box::new(validate), RequestOptions::default());
//! let query = r#"{ users(where: { name_starts_with: "A" }) { name } }"#;
//! let prepared = requests
//!     .prepare(query, None, &RequestLimits::default())
//!     .map_err(|errors| errors[0].clone())?;
//! let variables = requests.coerce(&prepared.operation, &serde_json::Map::new())?;
//!
//! // The operation's root field becomes one statement.
//! let physical = Physical::new(model, &PhysicalOptions::in_schema("shop"));
//! let planner = Planner::new(Arc::new(physical), schema);
//! let field = &prepared.operation.fields[0];
//! let statement = planner.query(field, &variables, PageLimits::default(), Access::Full)?;
//! assert!(statement.sql.contains(r#"from "shop"."User" t1 where t1."name" like $1"#));
//! assert_eq!(statement.params, [gom_engine::sql::Param::Text("A%".into())]);
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs, unreachable_pub, clippy::missing_errors_doc)]

pub mod datamodel;
pub mod error;
pub mod events;
pub mod migrate;
pub mod plan;
pub mod policy;
pub mod request;
pub mod schema;
pub mod sql;
