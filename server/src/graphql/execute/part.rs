//! What each field contributes to the answer of its operation.

use gom_engine::error::{ApiError, ErrorKind, PathSegment};
use gom_engine::request::SelectedField;

use crate::graphql::{Answer, AnswerCursor, Data, Fragment};

/// One field's part of the answer. No fragment: null has spread to the whole.
#[derive(Default)]
pub(super) struct Part {
    pub(super) fragment: Option<Fragment>,
    pub(super) errors: Vec<ApiError>,
    /// A write is done, now or by an earlier request, also if errors hide its answer.
    pub(super) written: bool,
}

impl Part {
    /// The same of a write that is done.
    pub(super) fn of_write(self) -> Self {
        Part {
            written: true,
            ..self
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.fragment
            .as_ref()
            .map_or(0, |fragment| fragment.as_bytes().len())
    }

    /// The request's idempotency key is another request's.
    pub(super) fn has_reused_key(&self) -> bool {
        self.errors
            .iter()
            .any(|error| error.kind == ErrorKind::IdempotencyKeyReused)
    }

    /// The errors as those of the whole request.
    pub(super) fn refusal(self) -> Vec<ApiError> {
        let of_request = |error: ApiError| ApiError {
            path: Vec::new(),
            locations: Vec::new(),
            ..error
        };
        self.errors.into_iter().map(of_request).collect()
    }
}

/// An error of a field without a place of its own is at the field.
pub(super) fn located(field: &SelectedField, mut error: ApiError) -> ApiError {
    if error.path.is_empty() {
        error.path.push(PathSegment::Key(field.key.clone()));
    }
    if error.locations.is_empty() {
        error.locations.push(field.position);
    }
    error
}

pub(super) fn add(
    data: &mut Option<Vec<(String, Fragment)>>,
    errors: &mut Vec<ApiError>,
    field: &SelectedField,
    part: Part,
) {
    errors.extend(part.errors);
    match part.fragment {
        Some(fragment) => {
            if let Some(data) = data {
                data.push((field.key.clone(), fragment));
            }
        }
        None => *data = None,
    }
}

pub(super) fn answer(data: Option<Vec<(String, Fragment)>>, errors: Vec<ApiError>) -> Answer {
    Answer {
        data: data.map_or(Data::Null, Data::Fields),
        errors,
        cursor: AnswerCursor::None,
    }
}
