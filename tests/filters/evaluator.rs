//! What Prisma's rules and Gom's decisions (docs/CONFORMANCE.md) say about rows in memory, as plainly as
//! possible. Shares nothing with the compiler but the datamodel: it reads the request's own keys.

use serde_json::{Map, Value, json};

use gom_engine::datamodel::{Field, FieldKind, ScalarType};
use gom_engine::sql::TOO_MANY;

use crate::requests::{AnswerKey, Request};
use gom_test_support::random::rows::{cursor, page};
use gom_test_support::random::world::World;

/// Why a root field has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Error 3033.
    NullFilter,
    /// More rows requested than a page may have.
    PageTooLarge,
}

/// What the root fields of the request answer.
pub fn answers(world: &World, request: &Request) -> [Result<Value, Refused>; 2] {
    let model = request.model;
    let all: Vec<usize> = (0..world.rows[model.0].len()).collect();
    let outer = may_ask(request, &request.page);
    let list = outer.and(may_ask(request, &request.nested_page)).map(|()| {
        let (rows, _) = page(world, model, &all, &request.page);
        capped(
            request,
            &request.page,
            rows.iter().map(|row| shown(world, request, *row)).collect(),
        )
    });
    let connection = outer.map(|()| {
        let (rows, more) = page(world, model, &all, &request.page);
        connection(world, request, &rows, more)
    });
    [list, connection]
}

fn may_ask(request: &Request, page: &crate::requests::Page) -> Result<(), Refused> {
    let asked = page.first.or(page.last);
    if refused(&page.filter) {
        Err(Refused::NullFilter)
    } else if asked
        .zip(request.page_size)
        .is_some_and(|(asked, most)| asked > most)
    {
        Err(Refused::PageTooLarge)
    } else {
        Ok(())
    }
}

/// A list without a requested size has at most as many rows as a page.
fn capped(request: &Request, page: &crate::requests::Page, rows: Vec<Value>) -> Value {
    let sized = page.first.or(page.last).is_some();
    if !sized && request.page_size.is_some_and(|most| rows.len() > most) {
        return serde_json::from_str(TOO_MANY).unwrap();
    }
    Value::Array(rows)
}

/// Edges are a list; the fields of the page apply to all of it, however many rows those are. Where
/// the list is refused, so is the connection, and the rest is not returned.
fn connection(world: &World, request: &Request, rows: &[usize], more: bool) -> Value {
    let ids: Vec<&Value> = rows
        .iter()
        .map(|row| world.id(request.model, *row))
        .collect();
    let mut object = Map::new();
    let mut put = |key: AnswerKey, value: Value| object.insert(request.key(key).to_owned(), value);
    if !request.parts.edges.is_empty() {
        let edge = |id: &&Value| {
            let mut edge = Map::new();
            for part in &request.parts.edges {
                match *part {
                    "cursor" => {
                        edge.insert(request.key(AnswerKey::Cursor).into(), json!(cursor(id)))
                    }
                    _ => edge.insert(
                        request.key(AnswerKey::Node).into(),
                        json!({request.key(AnswerKey::Id): id}),
                    ),
                };
            }
            Value::Object(edge)
        };
        let edges = capped(request, &request.page, ids.iter().map(edge).collect());
        if !edges.is_array() {
            return edges;
        }
        put(AnswerKey::Edges, edges);
    }
    if !request.parts.page_info.is_empty() {
        let mut info = Map::new();
        for part in &request.parts.page_info {
            let (key, value) = match *part {
                "hasNextPage" => (
                    AnswerKey::HasNextPage,
                    json!(more && request.page.first.is_some()),
                ),
                "hasPreviousPage" => (
                    AnswerKey::HasPreviousPage,
                    json!(more && request.page.last.is_some()),
                ),
                "startCursor" => (
                    AnswerKey::StartCursor,
                    json!(ids.first().map(|id| cursor(id))),
                ),
                _ => (AnswerKey::EndCursor, json!(ids.last().map(|id| cursor(id)))),
            };
            info.insert(request.key(key).to_owned(), value);
        }
        put(AnswerKey::PageInfo, Value::Object(info));
    }
    if request.parts.count {
        put(
            AnswerKey::Aggregate,
            json!({request.key(AnswerKey::Count): ids.len()}),
        );
    }
    Value::Object(object)
}

fn shown(world: &World, request: &Request, row: usize) -> Value {
    let mut object = Map::new();
    object.insert(
        request.key(AnswerKey::Id).into(),
        world.id(request.model, row).clone(),
    );
    for (field, key) in &request.values {
        let cell = &world.rows[request.model.0][row][field.0];
        object.insert(
            key.clone(),
            written(world.model.field(request.model, *field), cell),
        );
    }
    for field in &world.model.model(request.model).fields {
        let Some(relation) = field.relation() else {
            continue;
        };
        let partners = world.partners(relation, row);
        if !field.list {
            let partner = partners
                .first()
                .map(|p| json!({"id": world.id(relation.target, *p)}));
            object.insert(field.name.clone(), partner.unwrap_or_default());
        } else if field.name == request.nested {
            let (rows, _) = page(world, relation.target, &partners, &request.nested_page);
            let id = request.key(AnswerKey::NestedId);
            let list = rows
                .iter()
                .map(|p| json!({id: world.id(relation.target, *p)}))
                .collect();
            object.insert(
                request.key(AnswerKey::Nested).into(),
                capped(request, &request.nested_page, list),
            );
        }
    }
    Value::Object(object)
}

/// As the API writes values.
fn written(field: &Field, value: &Value) -> Value {
    match (field.kind, value) {
        (_, Value::Array(items)) => items.iter().map(|item| written(field, item)).collect(),
        (FieldKind::Scalar(ScalarType::DateTime), Value::String(time)) => json!(format!("{time}Z")),
        (FieldKind::Scalar(ScalarType::Json), Value::String(text)) => {
            serde_json::from_str(text).unwrap()
        }
        (_, value) => value.clone(),
    }
}

/// A to-many relation filter given as null, wherever it stands.
fn refused(filter: &Value) -> bool {
    match filter {
        Value::Object(entries) => entries.iter().any(|(key, value)| {
            let many = ["_some", "_every", "_none"]
                .iter()
                .any(|suffix| key.ends_with(suffix));
            (many && value.is_null()) || refused(value)
        }),
        Value::Array(items) => items.iter().any(refused),
        _ => false,
    }
}
