//! Stage six: plans become SQL text with parameters. Knows tables, columns and values, and no GraphQL.
//!
//! No value is ever written into the text: values are bound, names come from the checked datamodel (or, for
//! the keys of an answer, are GraphQL names) and are quoted.

mod answer_size;
mod comparison;
mod connection;
pub mod delete;
mod event;
mod event_paths;
pub mod guard;
mod history;
pub mod insert;
pub mod links;
mod object;
mod physical;
mod predicate;
mod read;
mod statement;
mod text;
mod view;
pub mod write;

pub use answer_size::{ANSWER_TOO_LARGE, AnswerLimit};
pub use comparison::Comparison;
pub use connection::{
    AggregateField, EdgeField, Page, PageField, PageInfoField, batch_payload, connection,
};
pub use event::{EventEntry, EventShape, Events, Match, Sight, events};
pub use event_paths::{Path, event_values};
pub use physical::{LinkAt, Logged, Physical, PhysicalOptions};
pub use predicate::{Filter, Operand, Quantifier};
pub use read::{
    Entry, Rows, Shape, find_many, find_node, find_one, find_record, read_written, record,
};
pub use statement::{Param, Register, Statement};
pub use text::{MISSING_LINK, Sql, TOO_MANY, array_literal, quoted};
pub use view::{OwnValue, View, write_own};
