//! Answers in which a required link leads nowhere, or a list is too long. PostgreSQL marks the place; only
//! then is the answer parsed, and null propagated as the GraphQL specification says.

use serde_json::Value as Json;

use super::context::{PageLimits, Planner};
use super::rights::Access;
use crate::error::{ApiError, ErrorKind, PathSegment};
use crate::request::{Selected, SelectedField, Selection, Variables};
use crate::schema::TypeRef;
use crate::sql::{MISSING_LINK, TOO_MANY};

/// Whether the answer of a statement has to go through [`Planner::complete`]. May be true for an answer
/// that turns out to be sound, never false for one that is not.
pub fn is_marked(answer: &str) -> bool {
    // Both marks begin alike; nothing but a stored `Json` can hold this.
    answer.contains("\"\\u0000")
}

/// An answer gone through.
#[derive(Debug)]
pub struct Completed {
    /// JSON text; `None` when null reached a root field that must not be null, hence all of `data`.
    pub answer: Option<String>,
    pub errors: Vec<ApiError>,
}

struct Completer<'a> {
    planner: &'a Planner,
    variables: &'a Variables,
    limits: PageLimits,
    access: Access<'a>,
    path: Vec<PathSegment>,
    errors: Vec<ApiError>,
}

/// Null has to go further up.
struct Propagate;

impl Planner {
    /// Replaces marks in the answer of a root field by null and reports each as an error at its path.
    pub fn complete(
        &self,
        root_type: &str,
        field: &SelectedField,
        variables: &Variables,
        limits: PageLimits,
        access: Access<'_>,
        answer: &str,
    ) -> Completed {
        let Ok(value) = serde_json::from_str(answer) else {
            let error = ApiError::new(ErrorKind::Internal, "the database's answer is not JSON");
            return Completed { answer: None, errors: vec![error] };
        };
        let mut completer =
            Completer { planner: self, variables, limits, access, path: Vec::new(), errors: Vec::new() };
        let completed = completer.field(root_type, field, value);
        Completed { answer: completed.ok().map(|v| v.to_string()), errors: completer.errors }
    }
}

impl Completer<'_> {
    fn field(&mut self, type_name: &str, field: &SelectedField, value: Json) -> Result<Json, Propagate> {
        let schema = &self.planner.schema;
        let ty = schema
            .objects
            .iter()
            .find(|o| o.name == type_name)
            .and_then(|o| o.fields.get(&field.name))
            .map(|f| f.ty.clone());
        self.path.push(PathSegment::Key(field.key.clone()));
        let completed = match ty {
            Some(ty) => self.value(&ty, field, value),
            None => Ok(value),
        };
        self.path.pop();
        completed
    }

    fn value(&mut self, ty: &TypeRef, field: &SelectedField, value: Json) -> Result<Json, Propagate> {
        match ty {
            TypeRef::NonNull(inner) => match self.nullable(inner, field, value) {
                Ok(value) => Ok(value),
                Err(Propagate) => Err(Propagate),
            },
            _ => Ok(self.nullable(ty, field, value).unwrap_or(Json::Null)),
        }
    }

    fn nullable(&mut self, ty: &TypeRef, field: &SelectedField, value: Json) -> Result<Json, Propagate> {
        match (value, ty) {
            // Whether there is no node, or none for this viewer, is not told apart.
            (Json::String(text), TypeRef::Object(_) | TypeRef::Node) if is(&text, MISSING_LINK) => {
                let (kind, message) = if self.access.is_limited() {
                    (ErrorKind::Forbidden, format!("Cannot access what '{}' leads to", field.name))
                } else {
                    let message =
                        format!("The field '{}' is required, but there is no node behind it.", field.name);
                    (ErrorKind::Execution, message)
                };
                self.report(field, kind, message)
            }
            (Json::String(text), TypeRef::List(_)) if is(&text, TOO_MANY) => {
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
            (Json::Array(list), TypeRef::List(item)) => {
                let mut out = Vec::with_capacity(list.len());
                for (i, value) in list.into_iter().enumerate() {
                    self.path.push(PathSegment::Index(i));
                    let completed = self.value(item, field, value);
                    self.path.pop();
                    out.push(completed?);
                }
                Ok(Json::Array(out))
            }
            (Json::Object(mut object), TypeRef::Object(_) | TypeRef::Node) => {
                let planner = self.planner;
                let (type_name, fields) = match &field.selection {
                    Selection::Object { type_name, fields } => (type_name.as_str(), fields.as_slice()),
                    // Of `Node`, only a look at the keys tells which model answered; links are looked at below.
                    Selection::Node(models) => {
                        let keyed = |fields: &[SelectedField]| {
                            let included = fields.iter().filter(|f| f.inclusion.holds(self.variables));
                            included.map(|f| &f.key).eq(object.keys())
                        };
                        match models.iter().find(|(_, _, fields)| keyed(fields)) {
                            Some((model, _, fields)) => (planner.model_name(*model), fields.as_slice()),
                            None => return Ok(Json::Object(object)),
                        }
                    }
                    Selection::Leaf => return Ok(Json::Object(object)),
                };
                for selected in fields {
                    if matches!(selected.meaning, Selected::Field(_))
                        && let Some(value) = object.get_mut(&selected.key)
                    {
                        *value = self.field(type_name, selected, value.take())?;
                    }
                }
                Ok(Json::Object(object))
            }
            (value, _) => Ok(value),
        }
    }

    fn report(&mut self, field: &SelectedField, kind: ErrorKind, message: String) -> Result<Json, Propagate> {
        let error = ApiError::new(kind, message).at(field.position).with_path(self.path.clone());
        self.errors.push(error);
        Err(Propagate)
    }
}

/// Whether a parsed string is the mark (which is written as JSON text).
fn is(text: &str, mark: &str) -> bool {
    text.strip_prefix('\0').is_some_and(|rest| mark.trim_matches('"').strip_prefix("\\u0000") == Some(rest))
}
