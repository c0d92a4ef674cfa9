//! Answers in which a required link leads nowhere, or a list is too long. PostgreSQL marks the
//! place; only marked answers are parsed, and null is propagated by the GraphQL specification.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value as Json};

use super::access::Access;
use super::context::{PageLimits, Planner};
use crate::error::{ApiError, ErrorKind, PathSegment};
use crate::request::{Selected, SelectedField, Selection, Variables};
use crate::schema::TypeRef;
use crate::sql::{MISSING_LINK, TOO_MANY};

/// Whether the answer of a statement needs [`Planner::complete`]. May be true for an answer that
/// turns out to be sound, never false for one that is not.
pub fn is_marked(answer: &str) -> bool {
    // Both marks begin alike; nothing but a stored `Json` can hold this.
    answer.contains("\"\\u0000")
}

/// An answer without marks.
#[derive(Debug)]
pub struct Completed {
    /// JSON text; `None` when null reached a root field that must not be null, hence all of `data`.
    pub answer: Option<String>,
    /// The errors of what was replaced by null, each with its path.
    pub errors: Vec<ApiError>,
}

struct Completer<'a> {
    planner: &'a Planner,
    variables: &'a Variables,
    limits: PageLimits,
    access: Access<'a>,
    path: Vec<PathSegment>,
    errors: Vec<ApiError>,
    /// The answer so far.
    out: String,
}

/// Why a value does not come into the answer.
enum CompletionError {
    /// Null has to go further up.
    Propagate,
    NotJson,
}

/// The rest of an answer that is not parsed yet. Values without a selection keep their text, digit
/// by digit.
#[derive(Clone, Copy)]
struct RemainingJson<'t>(&'t str);

impl<'t> RemainingJson<'t> {
    fn peek(&mut self) -> Option<u8> {
        self.0 = self.0.trim_ascii_start();
        self.0.bytes().next()
    }

    /// Goes past a token of one character, if it is next.
    fn take(&mut self, token: u8) -> bool {
        let is_next = self.peek() == Some(token);
        if is_next {
            self.0 = &self.0[1..];
        }
        is_next
    }

    /// Goes past a value; what it reads as, and its text.
    fn read<T: Deserialize<'t>>(&mut self) -> Result<(T, &'t str), CompletionError> {
        self.peek();
        let mut values = serde_json::Deserializer::from_str(self.0).into_iter();
        let Some(Ok(value)) = values.next() else {
            return Err(CompletionError::NotJson);
        };
        let (text, rest) = self
            .0
            .split_at_checked(values.byte_offset())
            .ok_or(CompletionError::NotJson)?;
        self.0 = rest;
        Ok((value, text))
    }
}

impl Planner {
    /// Replaces marks in the answer of a root field by null and reports each as an error at its
    /// path.
    pub fn complete(
        &self,
        root_type: &str,
        field: &SelectedField,
        variables: &Variables,
        limits: PageLimits,
        access: Access<'_>,
        answer: &str,
    ) -> Completed {
        let out = String::with_capacity(answer.len());
        let mut completer = Completer {
            planner: self,
            variables,
            limits,
            access,
            path: Vec::new(),
            errors: Vec::new(),
            out,
        };
        let mut rest = RemainingJson(answer);
        match completer.field(root_type, field, &mut rest) {
            Ok(()) if rest.peek().is_none() => Completed {
                answer: Some(completer.out),
                errors: completer.errors,
            },
            Err(CompletionError::Propagate) => Completed {
                answer: None,
                errors: completer.errors,
            },
            Ok(()) | Err(CompletionError::NotJson) => {
                let error = ApiError::new(ErrorKind::Internal, "the database's answer is not JSON");
                Completed {
                    answer: None,
                    errors: vec![error],
                }
            }
        }
    }
}

impl Completer<'_> {
    fn field(
        &mut self,
        type_name: &str,
        field: &SelectedField,
        rest: &mut RemainingJson<'_>,
    ) -> Result<(), CompletionError> {
        let schema = &self.planner.schema;
        let ty = schema
            .objects
            .iter()
            .find(|o| o.name == type_name)
            .and_then(|o| o.fields.get(&field.name))
            .map(|f| f.ty.clone());
        self.path.push(PathSegment::Key(field.key.clone()));
        let completed = match ty {
            Some(ty) => self.value(&ty, field, rest),
            None => self.copy(rest),
        };
        self.path.pop();
        completed
    }

    fn copy(&mut self, rest: &mut RemainingJson<'_>) -> Result<(), CompletionError> {
        let (IgnoredAny, text) = rest.read()?;
        self.out.push_str(text);
        Ok(())
    }

    fn value(
        &mut self,
        ty: &TypeRef,
        field: &SelectedField,
        rest: &mut RemainingJson<'_>,
    ) -> Result<(), CompletionError> {
        if let TypeRef::NonNull(inner) = ty {
            return self.nullable(inner, field, rest);
        }
        let (before, written) = (*rest, self.out.len());
        match self.nullable(ty, field, rest) {
            Err(CompletionError::Propagate) => {
                *rest = before;
                rest.read::<IgnoredAny>()?;
                self.out.truncate(written);
                self.out.push_str("null");
                Ok(())
            }
            completed => completed,
        }
    }

    fn nullable(
        &mut self,
        ty: &TypeRef,
        field: &SelectedField,
        rest: &mut RemainingJson<'_>,
    ) -> Result<(), CompletionError> {
        match (rest.peek(), ty) {
            (Some(b'"'), _) => {
                let (text, written) = rest.read::<String>()?;
                match ty {
                    // The same for no node and for one that the viewer may not see.
                    TypeRef::Object(_) | TypeRef::Node if is_mark(&text, MISSING_LINK) => {
                        let (kind, message) = if self.access.is_limited() {
                            (
                                ErrorKind::Forbidden,
                                format!("Cannot access what '{}' leads to", field.name),
                            )
                        } else {
                            let message = format!(
                                "The field '{}' is required, but there is no node behind it.",
                                field.name
                            );
                            (ErrorKind::Execution, message)
                        };
                        self.report(field, kind, message)
                    }
                    TypeRef::List(_) if is_mark(&text, TOO_MANY) => {
                        let limit = self.limits.page_size.unwrap_or_default();
                        self.report(
                            field,
                            ErrorKind::LimitExceeded,
                            format!(
                                "The list '{}' has more than {limit} rows, the limit of a list without 'first' or 'last' ({}.page_size). Ask for a page.",
                                field.name, self.limits.section
                            ),
                        )
                    }
                    _ => {
                        self.out.push_str(written);
                        Ok(())
                    }
                }
            }
            (Some(b'['), TypeRef::List(item)) => self.list(item, field, rest),
            (Some(b'{'), TypeRef::Object(_) | TypeRef::Node) => self.object(field, rest),
            _ => self.copy(rest),
        }
    }

    fn list(
        &mut self,
        item: &TypeRef,
        field: &SelectedField,
        rest: &mut RemainingJson<'_>,
    ) -> Result<(), CompletionError> {
        rest.take(b'[');
        self.out.push('[');
        let mut position = 0;
        while !rest.take(b']') {
            if position > 0 {
                self.separator(rest)?;
            }
            self.path.push(PathSegment::Index(position));
            let completed = self.value(item, field, rest);
            self.path.pop();
            completed?;
            position += 1;
        }
        self.out.push(']');
        Ok(())
    }

    fn object(
        &mut self,
        field: &SelectedField,
        rest: &mut RemainingJson<'_>,
    ) -> Result<(), CompletionError> {
        let planner = self.planner;
        let (type_name, fields) = match &field.selection {
            Selection::Object { type_name, fields } => (type_name.as_str(), fields.as_slice()),
            // Of `Node`, only the keys show which model answered; links are checked below.
            Selection::Node(models) => {
                let mut ahead = *rest;
                let (object, _) = ahead.read::<Map<String, Json>>()?;
                let keyed = |fields: &[SelectedField]| {
                    let included = fields.iter().filter(|f| f.inclusion.holds(self.variables));
                    included.map(|f| &f.key).eq(object.keys())
                };
                match models.iter().find(|(_, _, fields)| keyed(fields)) {
                    Some((model, _, fields)) => (planner.model_name(*model), fields.as_slice()),
                    None => return self.copy(rest),
                }
            }
            Selection::Leaf => return self.copy(rest),
        };
        rest.take(b'{');
        self.out.push('{');
        let mut first = true;
        let mut next = 0;
        while !rest.take(b'}') {
            if !std::mem::take(&mut first) {
                self.separator(rest)?;
            }
            let (key, written) = rest.read::<String>()?;
            if !rest.take(b':') {
                return Err(CompletionError::NotJson);
            }
            self.out.push_str(written);
            self.out.push(':');
            // Keys come in the order in which they are selected.
            let place = (next..fields.len())
                .chain(0..next)
                .find(|place| fields[*place].key == key);
            next = place.map_or(next, |place| place + 1);
            match place.and_then(|place| fields.get(place)) {
                Some(field) if matches!(field.meaning, Selected::Field(_)) => {
                    self.field(type_name, field, rest)?;
                }
                _ => self.copy(rest)?,
            }
        }
        self.out.push('}');
        Ok(())
    }

    fn separator(&mut self, rest: &mut RemainingJson<'_>) -> Result<(), CompletionError> {
        if !rest.take(b',') {
            return Err(CompletionError::NotJson);
        }
        self.out.push(',');
        Ok(())
    }

    fn report(
        &mut self,
        field: &SelectedField,
        kind: ErrorKind,
        message: String,
    ) -> Result<(), CompletionError> {
        let error = ApiError::new(kind, message)
            .at(field.position)
            .with_path(self.path.clone());
        self.errors.push(error);
        Err(CompletionError::Propagate)
    }
}

/// Whether a parsed string is the mark (which is written as JSON text).
fn is_mark(text: &str, mark: &str) -> bool {
    text.strip_prefix('\0')
        .is_some_and(|rest| mark.trim_matches('"').strip_prefix("\\u0000") == Some(rest))
}
