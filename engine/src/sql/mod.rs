//! Stage six: plans become SQL text with parameters. Knows tables, columns and values, and no
//! GraphQL.
//!
//! No value is ever written into the text: values are bound, names come from the checked datamodel
//! (or, for the keys of an answer, are GraphQL names) and are quoted.

mod answer_size;
mod changes;
mod comparison;
mod connection;
pub mod delete;
mod entries;
mod event;
mod event_paths;
mod filter;
pub mod guard;
mod history;
pub mod idempotency;
pub mod insert;
mod link_row;
pub mod links;
mod moves;
mod object;
mod path;
mod physical;
mod predicate;
mod read;
mod rows;
mod statement;
mod text;
mod together;
mod view;
pub mod write;

pub use answer_size::{ANSWER_TOO_LARGE, AnswerLimit};
pub use changes::ChangeBatch;
pub use comparison::Comparison;
pub use connection::{
    AggregateField, ConnectionPage, EdgeField, PageField, PageInfoField, batch_payload, connection,
};
pub use event::{EventEntry, EventShape, Match, ViewerRules, events};
pub use event_paths::event_values;
pub use filter::{Filter, Operand, Quantifier};
pub use moves::{MovingChanges, moves};
pub use path::Path;
pub use physical::{LinkAt, Logged, Physical, PhysicalOptions};
pub use read::{
    Shape, ShapeEntry, find_many, find_node, find_one, find_record, read_written, record,
};
pub use rows::Rows;
pub use statement::{Param, Register, Statement};
pub use text::{MISSING_LINK, Sql, TOO_MANY, array_literal, quoted};
pub use together::together;
pub use view::{OwnValue, View, write_own};
