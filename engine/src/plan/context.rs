//! What every part of planning reads: the datamodel with its SQL names, and the schema's enums.

use std::borrow::Cow;
use std::sync::Arc;

use crate::datamodel::{DataModel, Field, FieldKind, ModelId, ScalarType};
use crate::error::{ApiError, ErrorKind};
use crate::request::{SelectedField, Value, Variables};
use crate::schema::{InputMeaning, Schema};
use crate::sql::{AnswerLimit, Physical};

/// Turns operations into statements and programs. One for a served datamodel, shared by all
/// workers.
#[derive(Debug, Clone)]
pub struct Planner {
    pub(crate) physical: Arc<Physical>,
    pub(crate) schema: Arc<Schema>,
}

/// The limits of one caller's pages, answers and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimits {
    /// Where the limit is set, for messages: `limits` makes `limits.page_size`.
    pub section: &'static str,
    /// The highest `first` and `last`, and the most rows of a list without either.
    pub page_size: Option<i64>,
    /// Bytes of an answer, which PostgreSQL makes.
    pub answer_bytes: Option<i64>,
    /// Bytes of a text, a `Json` or a list that is written, where the datamodel sets no `@size`.
    pub text_bytes: Option<u64>,
}

impl Default for PageLimits {
    /// Without limit.
    fn default() -> Self {
        PageLimits {
            section: "limits",
            page_size: None,
            answer_bytes: None,
            text_bytes: None,
        }
    }
}

impl PageLimits {
    pub(crate) fn answer(&self) -> Option<AnswerLimit> {
        self.answer_bytes
            .map(|bytes| AnswerLimit::new(bytes, self.page_size))
    }

    /// An answer that is larger than it may be.
    pub fn answer_too_large(&self) -> ApiError {
        let limit = self.answer_bytes.unwrap_or_default();
        let message = format!(
            "The answer has more bytes than it may have; the limit is {limit} ({}.answer_bytes). Ask for fewer rows or fields.",
            self.section
        );
        ApiError::new(ErrorKind::LimitExceeded, message)
    }
}

impl Planner {
    /// A planner for a datamodel and the schema that was generated from it.
    pub fn new(physical: Arc<Physical>, schema: Arc<Schema>) -> Self {
        Planner { physical, schema }
    }

    /// The datamodel with its SQL names.
    pub fn physical(&self) -> &Physical {
        &self.physical
    }

    /// The same, to be kept.
    pub fn shared_physical(&self) -> Arc<Physical> {
        Arc::clone(&self.physical)
    }

    pub(crate) fn model(&self) -> &DataModel {
        &self.physical.model
    }

    /// A scalar in the text that PostgreSQL reads; `None` is null.
    pub(crate) fn scalar_text(&self, value: &Value) -> Option<String> {
        match value {
            Value::Boolean(b) => Some(b.to_string()),
            Value::Int(i) => Some(i.to_string()),
            Value::Text(text) => Some(text.clone()),
            Value::Enum(id, position) => {
                self.schema.enumeration(*id).values.get(*position).cloned()
            }
            Value::Null | Value::List(_) | Value::Object(..) => None,
        }
    }

    /// An argument of a field with the variables' values in place; absent if it was not given.
    pub fn argument(
        &self,
        field: &SelectedField,
        meaning: InputMeaning,
        variables: &Variables,
    ) -> Option<Value> {
        let (_, template) = field.arguments.iter().find(|(m, _)| *m == meaning)?;
        template.resolve(variables).map(Cow::into_owned)
    }

    pub(super) fn model_name(&self, model: ModelId) -> &str {
        &self.model().model(model).name
    }
}

/// Takes a nested value apart: its entries, or nothing if it is null.
pub(crate) fn entries(value: &Value) -> &[(InputMeaning, Value)] {
    match value {
        Value::Object(_, entries) => entries,
        _ => &[],
    }
}

/// The entry of that meaning.
pub(super) fn entry(value: &Value, meaning: InputMeaning) -> Option<&Value> {
    value.entry(meaning)
}

/// The items of a list that may have been given as a single value, or not at all.
pub(crate) fn items(value: Option<&Value>) -> &[Value] {
    match value {
        None | Some(Value::Null) => &[],
        Some(Value::List(items)) => items,
        Some(single) => std::slice::from_ref(single),
    }
}

/// A value as Prisma prints it in messages: strings without quotes, floats with a point, dates with
/// zone.
pub(super) fn display_value(field: &Field, text: &str) -> String {
    match field.kind {
        FieldKind::Scalar(ScalarType::Float) if !text.contains(['.', 'e', 'E']) => {
            format!("{text}.0")
        }
        FieldKind::Scalar(ScalarType::DateTime) => format!("{text}Z"),
        // Marks of registers are ours alone.
        _ => text.replace(['\u{1}', '\u{2}'], " "),
    }
}
