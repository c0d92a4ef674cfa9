//! Whether selections of different types may share a key: their answers must have the same shape,
//! which matters where a selection applies to several types, that is at the interface `Node`.

use indexmap::IndexMap;

use super::names::Names;
use super::operation::{SelectedField, Selection};
use crate::error::Position;
use crate::error::{ApiError, ErrorKind};
use crate::schema::{Schema, TypeRef};

/// A type's name and what is selected of it.
pub(super) type TypedSelection<'a> = (&'a str, &'a [SelectedField]);

/// Checks the keys that several types' selections share, each key once.
pub(super) fn same_shape(
    schema: &Schema,
    names: &Names,
    selections: &[TypedSelection],
) -> Result<(), ApiError> {
    if selections.len() < 2 {
        return Ok(());
    }
    let mut keys: IndexMap<&str, Vec<(&str, &SelectedField)>> = IndexMap::new();
    for (ty, fields) in selections {
        for field in *fields {
            keys.entry(&field.key).or_default().push((ty, field));
        }
    }
    for (key, fields) in keys {
        let (ty, first) = fields[0];
        let expected = type_of(schema, names, ty, first);
        for (ty, other) in &fields[1..] {
            if !same_type(expected, type_of(schema, names, ty, other)) {
                let positions = [first.position, other.position];
                return Err(conflict(key, "they return different types", &positions));
            }
        }
        let children = fields
            .iter()
            .filter_map(|(_, field)| match &field.selection {
                Selection::Object { type_name, fields } => {
                    Some((type_name.as_str(), fields.as_slice()))
                }
                Selection::Leaf | Selection::Node(_) => None,
            });
        same_shape(schema, names, &children.collect::<Vec<_>>())?;
    }
    Ok(())
}

/// `None` is `__typename`.
fn type_of<'a>(
    schema: &'a Schema,
    names: &Names,
    ty: &str,
    field: &SelectedField,
) -> Option<&'a TypeRef> {
    schema
        .object(names.object(ty)?)
        .fields
        .get(&field.name)
        .map(|field| &field.ty)
}

fn same_type(one: Option<&TypeRef>, other: Option<&TypeRef>) -> bool {
    match (one, other) {
        (Some(TypeRef::NonNull(one)), Some(TypeRef::NonNull(other)))
        | (Some(TypeRef::List(one)), Some(TypeRef::List(other))) => {
            same_type(Some(one), Some(other))
        }
        (Some(TypeRef::Object(_)), Some(TypeRef::Object(_))) => true,
        (one, other) => one == other,
    }
}

pub(super) fn conflict(key: &str, reason: &str, positions: &[Position]) -> ApiError {
    let message = format!(
        "Fields conflict: '{key}' because {reason}. Use different aliases on the fields to fetch both if this \
         was intentional."
    );
    let error = ApiError::new(ErrorKind::ValidationFailed, message);
    positions.iter().fold(error, |error, at| error.at(*at))
}
