//! How large a value may be that a write stores: as its column holds it, as `@size` says, or as the
//! caller may.

use super::Writer;
use crate::datamodel::{Field, FieldKind, Model, ScalarType};
use crate::error::{ApiError, ErrorKind};

/// The longest own id, and the most digits of a float, as the columns hold them.
const MAX_ID_CHARS: usize = 25;
const MAX_FLOAT_DIGITS: usize = 35;
const MAX_ENUM_CHARS: usize = 191;

impl Writer<'_> {
    /// Whether a column takes the value.
    pub(super) fn check_value(
        &self,
        model: &Model,
        field: &Field,
        text: &str,
    ) -> Result<(), ApiError> {
        check_length(field, text)?;
        match field.kind {
            FieldKind::Scalar(ScalarType::String | ScalarType::Json) => {
                self.check_bytes(model, field, text.len())
            }
            _ => Ok(()),
        }
    }

    /// Checks the size of a value against the datamodel's limit, or else the caller's.
    pub(super) fn check_bytes(
        &self,
        model: &Model,
        field: &Field,
        bytes: usize,
    ) -> Result<(), ApiError> {
        let (limit, set) = match (field.max_bytes, self.limits.text_bytes) {
            (Some(limit), _) => (limit, format!("@size of {}.{}", model.name, field.name)),
            (None, Some(limit)) => (limit, format!("{}.text_bytes", self.limits.section)),
            (None, None) => return Ok(()),
        };
        if bytes as u64 <= limit {
            return Ok(());
        }
        let message = format!(
            "The value of the field '{}' has {bytes} bytes; the limit is {limit} ({set})",
            field.name
        );
        Err(ApiError::new(ErrorKind::LimitExceeded, message))
    }
}

/// 3007
fn check_length(field: &Field, text: &str) -> Result<(), ApiError> {
    let (length, most) = match field.kind {
        FieldKind::Scalar(ScalarType::Id) => (text.chars().count(), MAX_ID_CHARS),
        FieldKind::Scalar(ScalarType::Float) => (text.len(), MAX_FLOAT_DIGITS),
        FieldKind::Enum(_) => (text.len(), MAX_ENUM_CHARS),
        _ => return Ok(()),
    };
    if length <= most {
        return Ok(());
    }
    Err(ApiError::numbered(
        3007,
        format!("Value for field {} is too long.", field.name),
    ))
}
