//! What a document's selections come to once fragments are expanded, found in time linear in the
//! document: every fragment is measured once. It runs before validation, whose own expansion takes
//! exponential time for nested fragments. Knows no schema.

use std::collections::HashMap;

use async_graphql::Positioned;
use async_graphql::parser::types::{
    ExecutableDocument, Field, FragmentSpread, Selection, SelectionSet,
};
use async_graphql_value::Value;

use super::document::position;
use super::limits::Measures;
use crate::error::{ApiError, ErrorKind};

/// Selections (fields, spreads, inline fragments) of all operations of a document, fragments
/// expanded. Holds for every caller: validation visits each of them.
pub(super) const MAX_SELECTIONS: u64 = 150_000;

/// Selection sets inside of each other, those of fragments included. Holds for every caller.
pub(super) const MAX_LEVELS: u64 = 64;

/// Bytes of arguments' values, fragments expanded, beyond four times the text: they are copied for
/// every expansion. Holds for every caller.
pub(super) const MAX_ARGUMENT_BYTES: u64 = 4 * 1024 * 1024;

/// What introspection may cost. The usual introspection query of clients costs about 220,000 in
/// this measure, and nothing may cost much more, because the executor answers it at once on the
/// worker's thread.
pub(super) const MAX_INTROSPECTION: u64 = 300_000;

/// Measures all operations of a document together, because validation visits them all. Refuses what
/// goes beyond the ceilings, and fragments that spread themselves.
pub(super) fn measure(
    document: &ExecutableDocument,
    query_bytes: u64,
) -> Result<Measures, ApiError> {
    let mut guard = Guard {
        document,
        fragments: HashMap::new(),
    };
    let mut total = SelectionSize::default();
    for (_, operation) in document.operations.iter() {
        total.add(guard.set(&operation.node.selection_set.node, 1)?);
    }
    // Those that no operation uses, too: validation visits them.
    for fragment in document.fragments.values() {
        guard.set(&fragment.node.selection_set.node, 1)?;
    }
    check_ceiling(
        total.introspected,
        MAX_INTROSPECTION,
        "as the cost of its introspection",
    )?;
    check_ceiling(
        total.selections,
        MAX_SELECTIONS,
        "selections with its fragments expanded",
    )?;
    check_ceiling(
        total.argument_bytes,
        MAX_ARGUMENT_BYTES.saturating_add(query_bytes * 4),
        "bytes of arguments' values",
    )?;
    let SelectionSize {
        depth,
        aliases,
        fields,
        ..
    } = total;
    Ok(Measures {
        query_bytes,
        depth,
        aliases,
        fields,
        ..Measures::default()
    })
}

/// What one selection set comes to, fragments expanded.
#[derive(Debug, Clone, Copy, Default)]
struct SelectionSize {
    /// Nested fields.
    depth: u64,
    /// Nested selection sets.
    levels: u64,
    selections: u64,
    fields: u64,
    aliases: u64,
    argument_bytes: u64,
    /// Cost if this stands inside of `__schema` or `__type`.
    introspection: u64,
    /// Cost of all of `__schema` and `__type`.
    introspected: u64,
}

impl SelectionSize {
    fn add(&mut self, other: SelectionSize) {
        self.depth = self.depth.max(other.depth);
        self.levels = self.levels.max(other.levels);
        self.selections = self.selections.saturating_add(other.selections);
        self.fields = self.fields.saturating_add(other.fields);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.argument_bytes = self.argument_bytes.saturating_add(other.argument_bytes);
        self.introspection = self.introspection.saturating_add(other.introspection);
        self.introspected = self.introspected.saturating_add(other.introspected);
    }
}

enum FragmentProgress {
    Open,
    Done(SelectionSize),
}

struct Guard<'a> {
    document: &'a ExecutableDocument,
    fragments: HashMap<&'a str, FragmentProgress>,
}

impl<'a> Guard<'a> {
    /// `level` is how many selection sets enclose this one, itself included.
    fn set(&mut self, set: &'a SelectionSet, level: u64) -> Result<SelectionSize, ApiError> {
        check_ceiling(level, MAX_LEVELS, "levels of selections")?;
        let mut size = SelectionSize::default();
        for item in &set.items {
            let mut part = match &item.node {
                Selection::Field(field) => self.field(&field.node, level)?,
                Selection::InlineFragment(fragment) => {
                    self.set(&fragment.node.selection_set.node, level + 1)?
                }
                Selection::FragmentSpread(spread) => self.spread(spread, level)?,
            };
            part.selections = part.selections.saturating_add(1);
            size.add(part);
        }
        size.levels += 1;
        check_ceiling(level - 1 + size.levels, MAX_LEVELS, "levels of selections")?;
        Ok(size)
    }

    fn field(&mut self, field: &'a Field, level: u64) -> Result<SelectionSize, ApiError> {
        let set = &field.selection_set.node;
        let mut size = if set.items.is_empty() {
            SelectionSize::default()
        } else {
            self.set(set, level + 1)?
        };
        let name = field.name.node.as_str();
        size.introspection = size
            .introspection
            .saturating_mul(introspection_items(name))
            .saturating_add(1);
        // Elsewhere than at the root these are invalid, and validation reports them.
        if matches!(name, "__schema" | "__type") {
            size.introspected = size.introspected.saturating_add(size.introspection);
            size.depth = 0;
        }
        size.depth += 1;
        size.fields = size.fields.saturating_add(1);
        if field
            .alias
            .as_ref()
            .is_some_and(|alias| alias.node != field.name.node)
        {
            size.aliases = size.aliases.saturating_add(1);
        }
        for (_, value) in &field.arguments {
            size.argument_bytes = size.argument_bytes.saturating_add(bytes(&value.node));
        }
        Ok(size)
    }

    fn spread(
        &mut self,
        spread: &'a Positioned<FragmentSpread>,
        level: u64,
    ) -> Result<SelectionSize, ApiError> {
        let name = spread.node.fragment_name.node.as_str();
        // An unknown one is left to validation.
        let Some(fragment) = self.document.fragments.get(name) else {
            return Ok(SelectionSize::default());
        };
        let size = match self.fragments.get(name) {
            Some(FragmentProgress::Done(size)) => *size,
            Some(FragmentProgress::Open) => {
                let message = format!("The fragment '{name}' spreads itself");
                return Err(
                    ApiError::new(ErrorKind::ValidationFailed, message).at(position(spread.pos))
                );
            }
            None => {
                self.fragments.insert(name, FragmentProgress::Open);
                let size = self.set(&fragment.node.selection_set.node, level + 1)?;
                self.fragments.insert(name, FragmentProgress::Done(size));
                size
            }
        };
        check_ceiling(level + size.levels, MAX_LEVELS, "levels of selections")?;
        Ok(size)
    }
}

fn check_ceiling(measured: u64, ceiling: u64, what: &str) -> Result<(), ApiError> {
    if measured <= ceiling {
        return Ok(());
    }
    let message = format!("The query has {measured} {what}; no query may have more than {ceiling}");
    Err(ApiError::new(ErrorKind::LimitExceeded, message))
}

/// How many items a field of the introspection types is taken to have.
fn introspection_items(name: &str) -> u64 {
    match name {
        "types" => 100,
        "fields" | "inputFields" | "enumValues" | "possibleTypes" => 10,
        "args" | "directives" => 5,
        "interfaces" => 2,
        _ => 1,
    }
}

/// What a value takes in memory, about.
fn bytes(value: &Value) -> u64 {
    const NODE: u64 = 32;
    NODE + match value {
        Value::String(text) => text.len() as u64,
        Value::List(items) => items.iter().map(bytes).sum(),
        Value::Object(fields) => fields.values().map(bytes).sum(),
        _ => 0,
    }
}
