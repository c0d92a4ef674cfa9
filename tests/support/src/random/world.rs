//! Random rows and links of the datamodel: in memory for the evaluator, as SQL for the database.

use std::fmt::Write;

use gom_engine::datamodel::{
    DataModel, Field, FieldKind, ModelId, RelationRef, RelationStorage, ScalarType, Side,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

/// Few, so that rows share them and filters hit them; awkward, so that quoting and patterns matter.
pub const TEXTS: &[&str] = &[
    "", "a", "b", "ab", "aB", "A", "a%b", "a_b", "axb", "a\\b", "\\", "%", "_", "it's", "\"q\"",
    "null", "{a,b}", "$1", "é", "e\u{301}", "😀x", "\u{1}", " a",
];
pub const FLOATS: &[f64] = &[0.0, 0.1, 0.3, -1.5, 1e-7, 12345678.25, 1e15];
pub const COLORS: &[&str] = &["RED", "GREEN", "BLUE"];
pub const UUIDS: &[&str] = &[
    "00000000-0000-4000-8000-000000000000",
    "0f3c1c52-8a6e-4a51-9d0c-1f0e6a6d0c11",
    "a0000000-0000-4000-8000-00000000000f",
    "ffffffff-ffff-4fff-bfff-ffffffffffff",
    "9b2f54b4-0000-4000-8000-000000000001",
];
/// A time as it is compared, and ways to write it.
pub const TIMES: &[(&str, &[&str])] = &[
    (
        "2019-12-31T23:59:59.999",
        &["2019-12-31T23:59:59.999Z", "2020-01-01T00:59:59.999+01:00"],
    ),
    (
        "2020-01-01T00:00:00.000",
        &[
            "2020",
            "2020-01-01",
            "2020-01-01T00:00:00Z",
            "2019-12-31T22:00:00-02:00",
        ],
    ),
    (
        "2020-01-01T00:00:00.001",
        &["2020-01-01T00:00:00.001", "2020-01-01T00:00:00.001Z"],
    ),
    (
        "2024-02-29T12:30:00.000",
        &["2024-02-29T12:30", "2024-02-29T12:30:00.000Z"],
    ),
];

#[derive(Debug, Clone)]
pub struct World {
    pub model: DataModel,
    /// Per model, per row, per field the value; null for relations.
    pub rows: Vec<Vec<Vec<Value>>>,
    /// Per relation the linked rows: at side A, at side B.
    pub links: Vec<Vec<(usize, usize)>>,
}

impl World {
    /// The rows that are linked to a row by a relation field.
    pub fn partners(&self, relation: RelationRef, row: usize) -> Vec<usize> {
        let links = self.links[relation.relation.0].iter();
        let partner = links.filter_map(|&(a, b)| match relation.side {
            Side::A => (a == row).then_some(b),
            Side::B => (b == row).then_some(a),
        });
        partner.collect()
    }

    pub fn id(&self, model: ModelId, row: usize) -> &Value {
        &self.rows[model.0][row][self.model.model(model).id.0]
    }

    /// The rows and links as SQL.
    pub fn insertion(&self, schema: &str) -> String {
        let mut sql = String::new();
        for id in self.model.model_ids() {
            let model = self.model.model(id);
            let columns: Vec<usize> = (0..model.fields.len())
                .filter(|f| model.fields[*f].is_column())
                .collect();
            let names: Vec<String> = columns
                .iter()
                .map(|f| quoted(&model.fields[*f].column))
                .collect();
            let table = quoted(&model.table);
            for row in &self.rows[id.0] {
                let values: Vec<String> = columns.iter().map(|f| literal(&row[*f])).collect();
                let (names, values) = (names.join(", "), values.join(", "));
                writeln!(
                    sql,
                    "insert into \"{schema}\".{table} ({names}) values ({values});"
                )
                .unwrap();
                for (field, items) in model
                    .fields
                    .iter()
                    .zip(row)
                    .filter(|(field, _)| field.is_scalar_list())
                {
                    let (list, id) = (quoted(&model.list_table(field)), literal(&row[model.id.0]));
                    for (position, item) in items.as_array().into_iter().flatten().enumerate() {
                        let (position, item) = ((position + 1) * 1_000, literal(item));
                        writeln!(
                            sql,
                            "insert into \"{schema}\".{list} values ({id}, {position}, {item});"
                        )
                        .unwrap();
                    }
                }
            }
        }
        for (relation, links) in self.model.relations.iter().zip(&self.links) {
            for &(a, b) in links {
                let at = |side| match side {
                    Side::A => (relation.a.model, literal(self.id(relation.a.model, a))),
                    Side::B => (relation.b.model, literal(self.id(relation.b.model, b))),
                };
                match &relation.storage {
                    RelationStorage::Inline { side, column } => {
                        let ((own, own_id), (_, partner_id)) = (at(*side), at(side.other()));
                        let (table, column) =
                            (quoted(&self.model.model(own).table), quoted(column));
                        let set = format!("\"{schema}\".{table} set {column} = {partner_id}");
                        let id = quoted(&self.model.model(own).id_field().column);
                        writeln!(sql, "update {set} where {id} = {own_id};").unwrap();
                    }
                    RelationStorage::Table {
                        table,
                        a_column,
                        b_column,
                        ..
                    } => {
                        let table =
                            format!("\"{schema}\".\"{table}\" (\"{a_column}\", \"{b_column}\")");
                        let (a, b) = (at(Side::A).1, at(Side::B).1);
                        writeln!(sql, "insert into {table} values ({a}, {b});").unwrap();
                    }
                }
            }
        }
        sql
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::String(text) => format!("'{}'", text.replace('\'', "''")),
        other => other.to_string(),
    }
}

pub fn worlds(model: &DataModel) -> impl Strategy<Value = World> + use<> {
    let rows: Vec<_> = model
        .models
        .iter()
        .map(|m| {
            let row: Vec<BoxedStrategy<Value>> = m.fields.iter().map(cell).collect();
            vec(row, 3..14).boxed()
        })
        .collect();
    let pairs = vec(vec(any::<(Index, Index)>(), 0..24), model.relations.len());
    let model = model.clone();
    (rows, pairs).prop_map(move |(mut rows, pairs)| {
        for (definition, rows) in model.models.iter().zip(&mut rows) {
            for (number, row) in rows.iter_mut().enumerate() {
                for (field, cell) in definition.fields.iter().zip(row) {
                    if field.id_strategy.is_some() || (field.unique && !cell.is_null()) {
                        *cell = one_of_its_kind(field, number);
                    }
                }
            }
        }
        let links = model.relations.iter().zip(pairs).map(|(relation, pairs)| {
            let (at_a, at_b) = (
                rows[relation.a.model.0].len(),
                rows[relation.b.model.0].len(),
            );
            let mut links: Vec<(usize, usize)> = Vec::new();
            for (a, b) in pairs
                .into_iter()
                .map(|(a, b)| (a.index(at_a), b.index(at_b)))
            {
                let taken_a = !relation.a.list && links.iter().any(|l| l.0 == a);
                let taken_b = !relation.b.list && links.iter().any(|l| l.1 == b);
                if !taken_a && !taken_b && !links.contains(&(a, b)) {
                    links.push((a, b));
                }
            }
            links
        });
        let links = links.collect();
        World {
            model: model.clone(),
            rows,
            links,
        }
    })
}

fn cell(field: &Field) -> BoxedStrategy<Value> {
    let value = match field.kind {
        FieldKind::Relation(_) => return Just(Value::Null).boxed(),
        FieldKind::Enum(_) => select(COLORS).prop_map(|v| json!(v)).boxed(),
        FieldKind::Scalar(scalar) => match scalar {
            ScalarType::Id | ScalarType::String => select(TEXTS).prop_map(|v| json!(v)).boxed(),
            ScalarType::Int => (-2..4).prop_map(|v| json!(v)).boxed(),
            ScalarType::Float => select(FLOATS).prop_map(|v| json!(v)).boxed(),
            ScalarType::Boolean => any::<bool>().prop_map(|v| json!(v)).boxed(),
            ScalarType::DateTime => select(TIMES).prop_map(|v| json!(v.0)).boxed(),
            ScalarType::Json => select(&["{}", "[1]", "{\"a\":null}"][..])
                .prop_map(|v| json!(v))
                .boxed(),
            ScalarType::Uuid => select(UUIDS).prop_map(|v| json!(v)).boxed(),
        },
    };
    if field.list {
        return vec(value, 0..4).prop_map(Value::Array).boxed();
    }
    if field.required {
        value
    } else {
        prop_oneof![2 => value, 1 => Just(Value::Null)].boxed()
    }
}

/// Ids whose order is not that of the rows, nor that of their numbers.
fn one_of_its_kind(field: &Field, number: usize) -> Value {
    const AWKWARD: [&str; 7] = ["b", "B%", "b_", "a'", "10", "9", "é"];
    match field.kind {
        FieldKind::Scalar(ScalarType::Int) => json!((number * 5) % 14 + 1),
        FieldKind::Scalar(ScalarType::Uuid) => {
            json!(format!(
                "{:08x}-0000-4000-8000-000000000000",
                (number as u32 + 1).wrapping_mul(0x9E37_79B9)
            ))
        }
        _ => json!(format!(
            "{}{}",
            AWKWARD[number % AWKWARD.len()],
            number / AWKWARD.len()
        )),
    }
}
