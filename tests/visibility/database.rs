//! The rows as they are in PostgreSQL, read past the API.

use std::collections::HashMap;

use gom_engine::datamodel::{DataModel, Field, FieldKind, RelationStorage, ScalarType, Side};
use serde_json::Value;
use tokio_postgres::Client;

use gom_test_support::random::world::World;

/// Replaces all rows.
pub async fn fill(client: &Client, schema: &str, world: &World) {
    let mut sql = String::new();
    for model in &world.model.models {
        sql.push_str(&format!("delete from \"{schema}\".\"{}\";\n", model.table));
    }
    sql.push_str(&world.insertion(schema));
    client
        .batch_execute(&sql)
        .await
        .unwrap_or_else(|error| panic!("{error:?}\n{sql}"));
}

/// Reads all rows, their values as the API writes them.
pub async fn read(client: &Client, schema: &str, model: &DataModel) -> World {
    let mut rows = Vec::new();
    for definition in &model.models {
        let cells: Vec<String> = definition.fields.iter().map(cell).collect();
        let sql = format!(
            "select coalesce(json_agg(json_build_array({}) order by \"{}\" collate \"C\"), '[]')::text from \"{schema}\".\"{}\"",
            cells.join(", "),
            definition.id_field().column,
            definition.table
        );
        rows.push(ask(client, &sql).await);
    }
    let rows: Vec<Vec<Vec<Value>>> = rows
        .into_iter()
        .map(|rows| serde_json::from_value(rows).unwrap())
        .collect();
    let positions: Vec<HashMap<&str, usize>> = model
        .models
        .iter()
        .zip(&rows)
        .map(|(m, rows)| {
            rows.iter()
                .enumerate()
                .map(|(i, row)| (row[m.id.0].as_str().unwrap(), i))
                .collect()
        })
        .collect();
    let mut links = Vec::new();
    for relation in &model.relations {
        let (a, b, from, condition) = match &relation.storage {
            RelationStorage::Inline { side, column } => {
                let own = &model.model(relation.end(*side).model);
                let (id, link) = (own.id_field().column.clone(), column.clone());
                let (a, b) = if *side == Side::A {
                    (id, link)
                } else {
                    (link, id)
                };
                (
                    a,
                    b,
                    own.table.clone(),
                    format!(" where \"{column}\" is not null"),
                )
            }
            RelationStorage::Table {
                table,
                a_column,
                b_column,
                ..
            } => (
                a_column.clone(),
                b_column.clone(),
                table.clone(),
                String::new(),
            ),
        };
        let sql = format!(
            "select coalesce(json_agg(json_build_array(\"{a}\", \"{b}\") order by \"{a}\", \"{b}\"), '[]')::text \
             from \"{schema}\".\"{from}\"{condition}"
        );
        let pairs: Vec<(String, String)> = serde_json::from_value(ask(client, &sql).await).unwrap();
        let at = |id: &str, model: usize| positions[model][id];
        let of_relation = pairs
            .iter()
            .map(|(x, y)| (at(x, relation.a.model.0), at(y, relation.b.model.0)));
        links.push(of_relation.collect());
    }
    drop(positions);
    World {
        model: model.clone(),
        rows,
        links,
    }
}

async fn ask(client: &Client, sql: &str) -> Value {
    let row = client
        .query_one(sql, &[])
        .await
        .unwrap_or_else(|error| panic!("{error:?}\n{sql}"));
    serde_json::from_str(row.get(0)).unwrap()
}

fn cell(field: &Field) -> String {
    if !field.is_column() {
        return "null".into();
    }
    let column = &field.column;
    match field.kind {
        FieldKind::Scalar(ScalarType::DateTime) => {
            format!("to_char(\"{column}\", 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')")
        }
        FieldKind::Scalar(ScalarType::Float) => format!("trim_scale(\"{column}\")"),
        _ => format!("\"{column}\""),
    }
}
