//! Which rows a list shows, in which order: filters, orders and pages over rows in memory, as plainly as possible. Shared
//! by the tests that hold the API's answers to a naive evaluator.

use std::cmp::Ordering;

use gom_engine::datamodel::{Field, FieldId, FieldKind, Model, ModelId, ScalarType};
use serde_json::{Value, json};

use super::world::{TIMES, World};

pub fn cursor(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

/// The arguments of a list.
#[derive(Debug, Clone, Default)]
pub struct Page {
    pub filter: Value,
    pub order: Option<(FieldId, bool)>,
    pub skip: Option<usize>,
    pub first: Option<usize>,
    pub last: Option<usize>,
    pub after: Option<String>,
    pub before: Option<String>,
}

/// The rows of a page in order, and whether there are more of them beyond `first` or `last`.
pub fn page(world: &World, model: ModelId, rows: &[usize], page: &Page) -> (Vec<usize>, bool) {
    let mut found: Vec<usize> = rows
        .iter()
        .copied()
        .filter(|row| holds(world, model, *row, &page.filter) == Some(true))
        .collect();
    let by = |a: usize, b: usize| compare_rows(world, model, page, a, b);
    found.sort_by(|a, b| by(*a, *b));
    for (id, side) in [
        (&page.after, Ordering::Greater),
        (&page.before, Ordering::Less),
    ] {
        let Some(id) = id else { continue };
        let at = (0..world.rows[model.0].len()).find(|row| cursor(world.id(model, *row)) == *id);
        found.retain(|row| at.is_some_and(|at| by(*row, at) == side));
    }
    let skip = page.skip.unwrap_or(0);
    if let Some(last) = page.last {
        let end = found.len().saturating_sub(skip);
        let start = end.saturating_sub(last);
        return (found[start..end].to_vec(), start > 0);
    }
    let start = skip.min(found.len());
    let end = page
        .first
        .map_or(found.len(), |first| (start + first).min(found.len()));
    (found[start..end].to_vec(), end < found.len())
}

fn compare_rows(world: &World, model: ModelId, page: &Page, a: usize, b: usize) -> Ordering {
    let rows = &world.rows[model.0];
    let id = world.model.model(model).id;
    let (field, descends) = page.order.unwrap_or((id, false));
    let (x, y) = (&rows[a][field.0], &rows[b][field.0]);
    let ascending = match (x.is_null(), y.is_null()) {
        (false, false) => compare(x, y),
        (left, right) => left.cmp(&right),
    };
    let first = if descends {
        ascending.reverse()
    } else {
        ascending
    };
    first.then_with(|| compare(&rows[a][id.0], &rows[b][id.0]))
}

fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        // There are no NaN, and -0 is 0.
        (a, b) => a.as_f64().partial_cmp(&b.as_f64()).unwrap(),
    }
}

/// Whether a filter holds for a row; `None` is unknown.
pub fn holds(world: &World, model: ModelId, row: usize, filter: &Value) -> Option<bool> {
    let Value::Object(entries) = filter else {
        return Some(true);
    };
    all(entries
        .iter()
        .map(|(key, value)| entry_holds(world, model, row, key, value)))
}

fn all(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let parts: Vec<_> = parts.collect();
    let unknown = parts.contains(&None);
    if parts.contains(&Some(false)) {
        Some(false)
    } else {
        (!unknown).then_some(true)
    }
}

fn not(part: Option<bool>) -> Option<bool> {
    part.map(|holds| !holds)
}

fn one(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    not(all(parts.map(not)))
}

fn entry_holds(
    world: &World,
    model: ModelId,
    row: usize,
    key: &str,
    value: &Value,
) -> Option<bool> {
    if matches!(key, "AND" | "OR" | "NOT") {
        if value.is_null() {
            return Some(true);
        }
        let items = listed(value);
        let parts = items.iter().map(|item| holds(world, model, row, item));
        return match key {
            "AND" => all(parts),
            "OR" => one(parts),
            _ => all(parts.map(not)),
        };
    }
    let (FieldId(field), operator) = asked_of(world.model.model(model), key);
    let definition = &world.model.model(model).fields[field];
    let Some(relation) = definition.relation() else {
        return compares(
            definition,
            &world.rows[model.0][row][field],
            operator,
            value,
        );
    };
    let partners = world.partners(relation, row);
    if value.is_null() {
        return Some(partners.is_empty());
    }
    let satisfies = |partner: &usize| holds(world, relation.target, *partner, value) == Some(true);
    Some(match operator {
        "" | "some" => partners.iter().any(satisfies),
        "every" => partners.iter().all(satisfies),
        "none" => !partners.iter().any(satisfies),
        other => panic!("{other}"),
    })
}

/// The field that a key of a filter begins with, and what follows. No datamodel has two fields that both fit.
fn asked_of<'a>(model: &Model, key: &'a str) -> (FieldId, &'a str) {
    let fields = model
        .field_ids()
        .filter_map(|id| Some((id, key.strip_prefix(&model.field(id).name)?)));
    let whole = |(_, rest): &(FieldId, &str)| rest.is_empty() || rest.starts_with('_');
    let (field, rest) = fields
        .filter(whole)
        .min_by_key(|(_, rest)| rest.len())
        .unwrap();
    (field, rest.strip_prefix('_').unwrap_or(rest))
}

/// A single value counts as a list of it.
fn listed(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items.clone(),
        single => vec![single.clone()],
    }
}

fn compares(field: &Field, cell: &Value, operator: &str, given: &Value) -> Option<bool> {
    let given = &meant(field, given);
    match (operator, given) {
        ("" | "in", Value::Null) => return Some(cell.is_null()),
        ("not" | "not_in", Value::Null) => return Some(!cell.is_null()),
        // An order or a pattern compared with null holds for nothing.
        (_, Value::Null) => return Some(false),
        ("in", _) => {
            let items = listed(given);
            return if cell.is_null() {
                if items.contains(&Value::Null) {
                    Some(true)
                } else if items.is_empty() {
                    Some(false)
                } else {
                    None
                }
            } else {
                Some(
                    items
                        .iter()
                        .any(|i| !i.is_null() && compare(cell, i) == Ordering::Equal),
                )
            };
        }
        ("not_in", _) => return not(compares(field, cell, "in", given)),
        _ => {}
    }
    if cell.is_null() {
        return None;
    }
    let order = || compare(cell, given);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    Some(match operator {
        "" => order() == Ordering::Equal,
        "not" => order() != Ordering::Equal,
        "lt" => order() == Ordering::Less,
        "lte" => order() != Ordering::Greater,
        "gt" => order() == Ordering::Greater,
        "gte" => order() != Ordering::Less,
        "contains" => text(cell).contains(&text(given)),
        "not_contains" => !text(cell).contains(&text(given)),
        "starts_with" => text(cell).starts_with(&text(given)),
        "not_starts_with" => !text(cell).starts_with(&text(given)),
        "ends_with" => text(cell).ends_with(&text(given)),
        "not_ends_with" => !text(cell).ends_with(&text(given)),
        other => panic!("{other}"),
    })
}

/// The value that a given one stands for: times and UUIDs have several ways to be written.
fn meant(field: &Field, given: &Value) -> Value {
    match (field.kind, given) {
        (_, Value::Array(items)) => items.iter().map(|item| meant(field, item)).collect(),
        (FieldKind::Scalar(ScalarType::DateTime), Value::String(text)) => {
            let time = TIMES.iter().find(|(_, ways)| ways.contains(&text.as_str()));
            json!(time.map_or(text.as_str(), |(time, _)| *time))
        }
        (FieldKind::Scalar(ScalarType::Uuid), Value::String(text)) => json!(text.to_lowercase()),
        (_, value) => value.clone(),
    }
}
