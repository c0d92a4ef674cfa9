//! Random rows, and the links between them.

use std::fmt::Write;

use gom_engine::datamodel::{self, ModelId, RelationStorage};
use serde_json::{Value, json};

use super::{NAMES, PER_MODEL, SCHEMA, World};
use gom_test_support::dice::Dice;

impl World {
    /// Replaces all rows.
    pub fn fill(&self, dice: &mut Dice) -> String {
        let model = &self.planner.physical().model;
        let mut sql = String::new();
        for of in &model.models {
            writeln!(sql, "delete from {};", table(&of.table)).unwrap();
        }
        for id in self.models() {
            for number in 0..PER_MODEL {
                if dice.chance(80) {
                    sql.push_str(&self.insertion(id, number, dice));
                }
            }
        }
        for relation in model.relations.iter().chain(&model.relations) {
            let (a, b) = (
                &model.model(relation.a.model).name,
                &model.model(relation.b.model).name,
            );
            for _ in 0..PER_MODEL / 2 {
                let pair = (id(a, dice.below(PER_MODEL)), id(b, dice.below(PER_MODEL)));
                sql.push_str(&self.tie(relation, pair));
            }
        }
        sql
    }

    pub fn insertion(&self, model: ModelId, number: usize, dice: &mut Dice) -> String {
        let of = self.planner.physical().model.model(model);
        let mut columns = Vec::new();
        let mut values = Vec::new();
        let mut lists = String::new();
        let id = id(&of.name, number);
        for field in &of.fields {
            if field.is_scalar_list() {
                for position in 1..=dice.below(3) {
                    let value = if field.name == "times" {
                        "2020-01-01T00:00:00.500"
                    } else {
                        *dice.pick(NAMES)
                    };
                    let table = table(&of.list_table(field));
                    let value = literal(&json!(value));
                    let id = literal(&id);
                    writeln!(lists, "insert into {table} (\"nodeId\", \"position\", \"value\") values ({id}, {position}, {value});").unwrap();
                }
            }
            if !field.is_column() {
                continue;
            }
            columns.push(format!("\"{}\"", field.column));
            values.push(if field.id_strategy.is_some() {
                literal(&id)
            } else if field.name == "size" {
                number.to_string()
            } else if field.unique {
                literal(&json!(format!("c{number}")))
            } else if field.name == "json" {
                "'{\"b\": [1], \"a\": 1}'".to_owned()
            } else if !field.required && dice.chance(20) {
                "null".to_owned()
            } else {
                literal(&self.value(model, field, dice))
            });
        }
        let (columns, values) = (columns.join(", "), values.join(", "));
        format!(
            "insert into {} ({columns}) values ({values}) on conflict do nothing;\n{lists}",
            table(&of.table)
        )
    }

    pub fn tie(&self, relation: &datamodel::Relation, (a, b): (Value, Value)) -> String {
        let model = &self.planner.physical().model;
        let there = |end: &datamodel::RelationEnd, id: &Value| {
            let of = model.model(end.model);
            format!(
                "exists (select 1 from {} where \"{}\" = {})",
                table(&of.table),
                of.id_field().column,
                literal(id)
            )
        };
        let both = format!("{} and {}", there(&relation.a, &a), there(&relation.b, &b));
        match &relation.storage {
            RelationStorage::Inline { side, column } => {
                let (own, partner) = if *side == datamodel::Side::A {
                    (&a, &b)
                } else {
                    (&b, &a)
                };
                let of = model.model(relation.end(*side).model);
                // A to-one other end has one partner at most.
                let alone = if relation.end(side.other()).list {
                    String::new()
                } else {
                    format!(
                        " and not exists (select 1 from {} where \"{column}\" = {})",
                        table(&of.table),
                        literal(partner)
                    )
                };
                format!(
                    "update {} set \"{column}\" = {} where \"{}\" = {} and {both}{alone};\n",
                    table(&of.table),
                    literal(partner),
                    of.id_field().column,
                    literal(own)
                )
            }
            RelationStorage::Table {
                table: name,
                a_column,
                b_column,
                ..
            } => format!(
                "insert into {} (\"{a_column}\", \"{b_column}\") select {}, {} where {both} on conflict do nothing;\n",
                table(name),
                literal(&a),
                literal(&b)
            ),
        }
    }
}

pub fn table(name: &str) -> String {
    format!("\"{SCHEMA}\".\"{name}\"")
}

pub fn id(model: &str, number: usize) -> Value {
    match model {
        "Crate" => json!(format!("00000000-0000-4000-8000-00000000000{number}")),
        "Label" => json!(number + 1),
        _ => json!(format!("n{number}")),
    }
}

pub fn literal(value: &Value) -> String {
    match value {
        Value::String(text) => format!("'{}'", text.replace('\'', "''")),
        other => other.to_string(),
    }
}
