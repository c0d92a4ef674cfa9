//! What a write may have done: whatever it says, nothing that its viewer may not see is touched, everything that it touched was
//! and is the viewer's to write, and its answer is what is there.

use std::collections::{BTreeMap, BTreeSet};

use gom_engine::datamodel::{ModelId, RelationStorage};
use gom_engine::schema::{OutputMeaning, Schema, TypeRef};
use serde_json::{Value, json};

use crate::evaluator::{Evaluator, Expected};
use crate::server::Answered;
use crate::sight::{Person, Sight};
use crate::writes::{KEY, Write};
use gom_test_support::random::rows::holds;
use gom_test_support::random::world::World;

/// Rows before or after a write, and whose they are.
pub struct State {
    pub world: World,
    pub sight: Sight,
}

/// A row's links: relation, whether the row stands at end A, the partner's id.
type Links = BTreeSet<(usize, bool, String)>;

struct Row<'a> {
    cells: &'a [Value],
    links: Links,
    visible: bool,
    writable: bool,
}

impl State {
    fn rows(&self, model: ModelId) -> BTreeMap<String, Row<'_>> {
        let id = |model: ModelId, row| self.world.id(model, row).as_str().unwrap().to_owned();
        let mut rows: Vec<Row<'_>> = self.world.rows[model.0]
            .iter()
            .enumerate()
            .map(|(position, cells)| Row {
                cells,
                links: Links::new(),
                visible: self.sight.visible[model.0][position],
                writable: self.sight.writable[model.0][position],
            })
            .collect();
        for (number, (relation, links)) in self
            .world
            .model
            .relations
            .iter()
            .zip(&self.world.links)
            .enumerate()
        {
            for (a, b) in links {
                if relation.a.model == model {
                    rows[*a]
                        .links
                        .insert((number, true, id(relation.b.model, *b)));
                }
                if relation.b.model == model {
                    rows[*b]
                        .links
                        .insert((number, false, id(relation.a.model, *a)));
                }
            }
        }
        rows.into_iter()
            .enumerate()
            .map(|(position, row)| (id(model, position), row))
            .collect()
    }
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Became {
    Refused,
    Done,
}

/// Finds what the write has done that it must not, or says that it has not.
pub fn check(
    schema: &Schema,
    person: &Person,
    before: &State,
    after: &State,
    write: &Write,
    answered: &Answered,
) -> Result<Became, String> {
    const EXPECTED: [&str; 7] = [
        "FORBIDDEN",
        "GRAPHQL_EXECUTION_ERROR",
        "BAD_USER_INPUT",
        "BP_WITH_ACTIVE_ORDERS",
        "NO_CUSTOMERS",
        "PUBLICATION_NOT_WAITING",
        "TOO_MANY_PUBLICATIONS",
    ];
    if let Some((code, _)) = answered
        .errors
        .iter()
        .find(|(code, _)| !EXPECTED.contains(&code.as_str()))
    {
        return Err(format!("an error {code}"));
    }
    let same = before.world.rows == after.world.rows && before.world.links == after.world.links;
    // What fails to be shown is at a deeper place.
    if answered.errors.iter().any(|(_, path)| path == KEY) {
        return if same {
            Ok(Became::Refused)
        } else {
            Err("refused, and rows have changed".into())
        };
    }
    for model in before.world.model.model_ids() {
        check_rows(person, before, after, model)?;
    }
    if write.is_of_many() {
        check_count(before, write, answered)?;
    } else {
        check_answer(schema, before, after, write, answered)?;
    }
    Ok(Became::Done)
}

fn check_rows(
    person: &Person,
    before: &State,
    after: &State,
    model: ModelId,
) -> Result<(), String> {
    let definition = before.world.model.model(model);
    let (old, new) = (before.rows(model), after.rows(model));
    let stamp = |name: &str, row: &Row<'_>| match definition.field_named(name) {
        Some(field) => row.cells[field.0] == json!(person.subject()),
        None => true,
    };
    for (id, was) in &old {
        let name = format!("{} {id}", definition.name);
        let is = new.get(id);
        let untouched = is.is_some_and(|is| is.cells == was.cells && is.links == was.links);
        if !was.visible && !untouched {
            return Err(format!("{name} is invisible and was touched"));
        }
        let Some(is) = is else {
            if !was.writable {
                return Err(format!(
                    "{name} is not the viewer's to write and was deleted"
                ));
            }
            continue;
        };
        if is.cells != was.cells {
            // A visible row may have become the viewer's by a link that the same write made before.
            let own = was.writable || (was.visible && was.links != is.links);
            if !own || !is.writable {
                return Err(format!(
                    "{name} was changed: writable {} -> {}",
                    was.writable, is.writable
                ));
            }
            if !stamp("updatedBy", is) {
                return Err(format!("{name} does not say who changed it"));
            }
        }
        // A link in the row's own columns is a change of the row, unless the partner is gone.
        for (number, at_a, partner) in was.links.symmetric_difference(&is.links) {
            let relation = &before.world.model.relations[*number];
            let other = if *at_a {
                relation.b.model
            } else {
                relation.a.model
            };
            let gone = !after.rows(other).contains_key(partner);
            if !gone && was.writable && !is.writable {
                return Err(format!(
                    "{name} was tied or cut and is the viewer's no more"
                ));
            }
            let RelationStorage::Inline { side, .. } = &relation.storage else {
                // A link in a table is the viewer's if one of its rows is; of a row that was made, it is.
                let of_partner = before
                    .rows(other)
                    .get(partner)
                    .is_none_or(|partner| partner.writable);
                if !was.writable && !of_partner {
                    return Err(format!(
                        "{name} was tied or cut, and neither end is the viewer's to write"
                    ));
                }
                continue;
            };
            let own = relation.end(*side).model == model
                && (*side == gom_engine::datamodel::Side::A) == *at_a;
            if own && !gone && !(was.writable && is.writable) {
                return Err(format!(
                    "{name} was tied or cut and is not the viewer's to write"
                ));
            }
            if own && !gone && !stamp("updatedBy", is) {
                return Err(format!(
                    "{name} was tied or cut and does not say who did it"
                ));
            }
        }
    }
    for (id, is) in new.iter().filter(|(id, _)| !old.contains_key(*id)) {
        let name = format!("{} {id}", definition.name);
        if !is.writable {
            return Err(format!("{name} is new and not the viewer's"));
        }
        if !stamp("createdBy", is) || !stamp("updatedBy", is) {
            return Err(format!("{name} does not say who created it"));
        }
    }
    Ok(())
}

/// A mutation of many is about the rows that the viewer may write.
fn check_count(before: &State, write: &Write, answered: &Answered) -> Result<(), String> {
    let model = write.model();
    let narrowed = before.sight.narrow(&before.world);
    let filter = write.arguments.get("where").cloned().unwrap_or_default();
    let visible =
        (0..before.world.rows[model.0].len()).filter(|row| before.sight.visible[model.0][*row]);
    let expected = visible
        .enumerate()
        .filter(|(_, row)| before.sight.writable[model.0][*row])
        .filter(|(row, _)| holds(&narrowed, model, *row, &filter) == Some(true))
        .count();
    let expected = json!({ KEY: { "count": expected } });
    if answered.data == expected {
        Ok(())
    } else {
        Err(format!("{} instead of {expected}", answered.data))
    }
}

fn check_answer(
    schema: &Schema,
    before: &State,
    after: &State,
    write: &Write,
    answered: &Answered,
) -> Result<(), String> {
    let model = write.model();
    let narrowed = after.sight.narrow(&after.world);
    let evaluator = Evaluator::new(schema, &narrowed, &after.sight);
    if !evaluator.may_ask_all(model, &write.fields) {
        return Err("it shows a field that the viewer may not name".into());
    }
    let id = &narrowed.model.model(model).id;
    let key = write
        .fields
        .iter()
        .find(|field| matches!(&field.what, crate::requests::What::Column(f) if f == id));
    let given = &answered.data[KEY][&key.unwrap().key];
    if matches!(write.meaning, OutputMeaning::Delete(_)) {
        return check_deleted(evaluator, &narrowed, before, write, answered, given);
    }
    let Some(row) = (0..narrowed.rows[model.0].len()).find(|row| narrowed.id(model, *row) == given)
    else {
        // A required link cannot be shown, and the row with it.
        let hidden = given.is_null() && !answered.errors.is_empty();
        return if hidden {
            Ok(())
        } else {
            Err(format!(
                "it shows a row that is not there: {}",
                answered.data
            ))
        };
    };
    let nullable = !matches!(
        schema.object(schema.mutation).fields[&write.name].ty,
        TypeRef::NonNull(_)
    );
    same(
        answered,
        &evaluator.row(KEY, nullable, model, row, &write.fields),
    )
}

/// A row that is gone is shown as it was; where its links led, as it is now.
fn check_deleted(
    evaluator: Evaluator<'_>,
    narrowed: &World,
    before: &State,
    write: &Write,
    answered: &Answered,
    given: &Value,
) -> Result<(), String> {
    let (model, world) = (write.model(), &before.world);
    if given.is_null() {
        // A required link cannot be shown, and the row with it.
        return if answered.errors.is_empty() {
            Err("a deleted row is not shown".into())
        } else {
            Ok(())
        };
    }
    let Some(row) = (0..world.rows[model.0].len()).find(|row| world.id(model, *row) == given)
    else {
        return Err(format!(
            "it shows a row that was not there: {}",
            answered.data
        ));
    };
    let link = |field| {
        let relation = world.model.field(model, field).relation()?;
        let storage = &world.model.relation(relation.relation).storage;
        if !matches!(storage, RelationStorage::Inline { side, .. } if *side == relation.side) {
            return None;
        }
        let partner = world.id(relation.target, *world.partners(relation, row).first()?);
        (0..narrowed.rows[relation.target.0].len())
            .find(|r| narrowed.id(relation.target, *r) == partner)
    };
    let cells = before
        .sight
        .cells(model, row, &world.rows[model.0][row], true);
    same(
        answered,
        &evaluator.deleted(KEY, model, &cells, link, &write.fields),
    )
}

fn same(answered: &Answered, expected: &Expected) -> Result<(), String> {
    let Expected { data, errors } = expected;
    if answered.data != *data {
        return Err(format!("server: {}\nshould: {data}", answered.data));
    }
    if answered.errors.is_empty() == errors.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "errors {:?} instead of {errors:?}",
            answered.errors
        ))
    }
}
