//! Random transactions.

use std::fmt::Write;

use gom_engine::datamodel::RelationStorage;
use serde_json::json;

use crate::world::{NAMES, PER_MODEL, World, id, literal, table};
use gom_test_support::dice::Dice;

impl World {
    /// Anything.
    pub fn writes(&self, dice: &mut Dice) -> String {
        let mut sql = "begin;\n".to_owned();
        for _ in 0..dice.between(1, 8) {
            sql.push_str(&self.write(dice));
        }
        sql + "commit;"
    }

    /// One statement, or a few.
    pub fn write(&self, dice: &mut Dice) -> String {
        let model = &self.planner.physical().model;
        let id_of = *dice.pick(&self.models());
        let of = model.model(id_of);
        let some = literal(&id(&of.name, dice.below(PER_MODEL)));
        let thing = literal(&id("Thing", dice.below(PER_MODEL)));
        let (this, things) = (table(&of.table), table("Thing"));
        match dice.below(12) {
            0 => format!("delete from {this} where \"id\" = {some};\n"),
            // With the things in a crate.
            1 => {
                let some = literal(&id("Crate", dice.below(PER_MODEL)));
                let crates = table("Crate");
                format!(
                    "delete from {things} where \"crate\" = {some}; delete from {crates} where \"id\" = {some};\n"
                )
            }
            2 => {
                let number = dice.below(PER_MODEL);
                let insertion = self.insertion(id_of, number, dice);
                insertion.lines().next().unwrap().to_owned() + "\n"
            }
            // An upsert.
            3 => {
                let (name, other) = (
                    literal(&json!(*dice.pick(NAMES))),
                    literal(&json!(*dice.pick(NAMES))),
                );
                format!(
                    "insert into {things} (\"id\", \"name\") values ({thing}, {name}) \
                     on conflict (\"id\") do update set \"name\" = {other};\n"
                )
            }
            4 | 5 => {
                let relation = dice.pick(&model.relations);
                let (a, b) = (
                    &model.model(relation.a.model).name,
                    &model.model(relation.b.model).name,
                );
                let pair = (id(a, dice.below(PER_MODEL)), id(b, dice.below(PER_MODEL)));
                self.tie(relation, pair)
            }
            6 | 7 => self.cut(dice),
            // A list, twice.
            8 => {
                let list = table(if dice.chance(50) {
                    "Thing_tags"
                } else {
                    "Thing_times"
                });
                let value = if list.contains("times") {
                    "2020-01-01T00:00:00.500"
                } else {
                    *dice.pick(NAMES)
                };
                let value = literal(&json!(value));
                let mut sql = String::new();
                for _ in 0..dice.between(1, 2) {
                    writeln!(sql, "delete from {list} where \"nodeId\" = {thing};").unwrap();
                    writeln!(
                        sql,
                        "insert into {list} select {thing}, 1000, {value} from {things} where \"id\" = {thing};"
                    )
                    .unwrap();
                }
                sql
            }
            // A link and a column together.
            9 => {
                let name = literal(&json!(*dice.pick(NAMES)));
                let some = literal(&id("Crate", dice.below(PER_MODEL)));
                let crates = table("Crate");
                format!(
                    "update {things} set \"name\" = {name}, \"crate\" = (select \"id\" from {crates} where \"id\" = {some}) \
                     where \"id\" = {thing};\n"
                )
            }
            // Another id.
            10 => {
                let (labels, number) = (table("Label"), dice.below(PER_MODEL) + 1);
                format!(
                    "update {labels} set \"id\" = {number} + 10 where \"id\" = {number} and not exists \
                     (select from {labels} where \"id\" = {number} + 10) and not exists (select from {} where \"A\" = {number});\n",
                    table("_Labelled")
                )
            }
            _ => {
                let value = literal(&json!(*dice.pick(NAMES)));
                match of.name.as_str() {
                    // Several, so that rows come into sight for anyone who looks at names.
                    "Thing" => {
                        format!("update {this} set \"name\" = {value} where \"id\" >= {some};\n")
                    }
                    "Crate" => {
                        format!("update {this} set \"note\" = {value} where \"id\" = {some};\n")
                    }
                    _ => String::new(),
                }
            }
        }
    }

    fn cut(&self, dice: &mut Dice) -> String {
        let model = &self.planner.physical().model;
        let relation = dice.pick(&model.relations);
        match &relation.storage {
            RelationStorage::Inline { side, column } => {
                let of = model.model(relation.end(*side).model);
                let some = literal(&id(&of.name, dice.below(PER_MODEL)));
                format!(
                    "update {} set \"{column}\" = null where \"id\" = {some};\n",
                    table(&of.table)
                )
            }
            RelationStorage::Table {
                table: name,
                a_column,
                ..
            } => {
                let of = &model.model(relation.a.model).name;
                let some = literal(&id(of, dice.below(PER_MODEL)));
                format!(
                    "delete from {} where \"{a_column}\" = {some};\n",
                    table(name)
                )
            }
        }
    }
}
