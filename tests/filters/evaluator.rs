//! What Prisma's rules and Gom's decisions (docs/CONFORMANCE.md) say about rows in memory, as plainly as
//! possible. Shares nothing with the compiler but the datamodel: it reads the request's own keys.

use serde_json::{Map, Value, json};

use crate::requests::Request;
use crate::rows::{cursor, page};
use crate::world::World;

/// What the root fields of the request answer; `None` is error 3033.
pub fn answers(world: &World, request: &Request) -> [Option<Value>; 2] {
    let model = request.model;
    let listed = refused(&request.page.filter) || refused(&request.nested_page.filter);
    let all: Vec<usize> = (0..world.rows[model.0].len()).collect();
    let list = (!listed).then(|| {
        let (rows, _) = page(world, model, &all, &request.page);
        rows.iter().map(|row| shown(world, request, *row)).collect()
    });
    let connection = (!refused(&request.page.filter)).then(|| {
        let (rows, more) = page(world, model, &all, &request.page);
        let ids: Vec<&Value> = rows.iter().map(|row| world.id(model, *row)).collect();
        let edges: Vec<Value> =
            ids.iter().map(|id| json!({"cursor": cursor(id), "node": {"id": id}})).collect();
        let info = json!({
            "hasNextPage": more && request.page.first.is_some(),
            "hasPreviousPage": more && request.page.last.is_some(),
            "startCursor": ids.first().map(|id| cursor(id)),
            "endCursor": ids.last().map(|id| cursor(id)),
        });
        json!({"pageInfo": info, "edges": edges, "aggregate": {"count": ids.len()}})
    });
    [list, connection]
}

fn shown(world: &World, request: &Request, row: usize) -> Value {
    let mut object = Map::new();
    object.insert("id".into(), world.id(request.model, row).clone());
    for field in &world.model.model(request.model).fields {
        let Some(relation) = field.relation() else { continue };
        let partners = world.partners(relation, row);
        if !field.list {
            let partner = partners.first().map(|p| json!({"id": world.id(relation.target, *p)}));
            object.insert(field.name.clone(), partner.unwrap_or_default());
        } else if field.name == request.nested {
            let (rows, _) = page(world, relation.target, &partners, &request.nested_page);
            let list = rows.iter().map(|p| json!({"id": world.id(relation.target, *p)})).collect();
            object.insert("nested".into(), list);
        }
    }
    Value::Object(object)
}

/// A to-many relation filter given as null, wherever it stands.
fn refused(filter: &Value) -> bool {
    match filter {
        Value::Object(entries) => entries.iter().any(|(key, value)| {
            let many = ["_some", "_every", "_none"].iter().any(|suffix| key.ends_with(suffix));
            (many && value.is_null()) || refused(value)
        }),
        Value::Array(items) => items.iter().any(refused),
        _ => false,
    }
}
