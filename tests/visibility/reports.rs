//! What a subscriber that asks for leaves must be sent of a transaction, and what it must never be sent: decided by the rows as they
//! were before and after it, for one viewer and one filter.

use std::collections::{BTreeMap, BTreeSet};

use gom_engine::datamodel::{DataModel, FieldId, ModelId};
use serde_json::Value;

use crate::sight::Sight;
use gom_test_support::random::rows::holds;
use gom_test_support::random::world::World;

/// A filter of a model's rows.
pub struct Set {
    pub model: ModelId,
    pub filter: Value,
    /// Which events are admitted, if not all are. Says nothing of leaves.
    pub kinds: Option<Vec<&'static str>>,
}

/// What a message reports of one row.
#[derive(Debug, Clone)]
pub enum Report {
    Left(String),
    Event { id: String, payload: Value },
}

/// A row at a moment, for one viewer.
struct Row {
    visible: bool,
    /// In the set: visible, and the filter holds.
    within: bool,
    /// What the viewer may read of it.
    shown: Vec<Value>,
    /// The same once the row is gone.
    gone: Vec<Value>,
    cells: Vec<Value>,
    /// By field: the partners, and whether the viewer sees each.
    links: BTreeMap<usize, BTreeMap<String, bool>>,
}

/// All rows of a set's model at a moment.
pub struct Moment {
    rows: BTreeMap<String, Row>,
    /// The fields that the viewer may name and that all rows show.
    plain: BTreeSet<usize>,
    named: BTreeSet<usize>,
}

/// A transaction: which positions of the log it may have.
pub struct Transition {
    pub after: u64,
    pub up_to: u64,
    pub what: String,
}

impl Set {
    pub fn at(&self, world: &World, sight: &Sight) -> Moment {
        let model = self.model;
        let definition = world.model.model(model);
        let narrowed = sight.narrow(world);
        let text = |id: &Value| id.as_str().unwrap().to_owned();
        let mut places = 0..;
        let rows = world.rows[model.0].iter().enumerate().map(|(row, cells)| {
            let visible = sight.visible[model.0][row];
            let place = visible.then(|| places.next().unwrap());
            let holds = |place| holds(&narrowed, model, place, &self.filter) == Some(true);
            let links = definition.field_ids().filter_map(|field| {
                let relation = definition.field(field).relation()?;
                let target = relation.target;
                let partners = world.partners(relation, row).into_iter();
                let seen = partners.map(|partner| {
                    let seen = sight.visible[target.0][partner];
                    (text(world.id(target, partner)), seen)
                });
                Some((field.0, seen.collect()))
            });
            let row = Row {
                visible,
                within: place.is_some_and(holds),
                shown: sight.cells(model, row, cells, false),
                gone: sight.cells(model, row, cells, true),
                cells: cells.clone(),
                links: links.collect(),
            };
            (text(&cells[definition.id.0]), row)
        });
        let named: BTreeSet<usize> = (definition.field_ids())
            .filter(|field| sight.names(model, *field))
            .map(|field| field.0)
            .collect();
        let shows = |field: &usize| sight.orders(model, FieldId(*field));
        Moment {
            rows: rows.collect(),
            plain: named.iter().copied().filter(shows).collect(),
            named,
        }
    }

    fn admits(&self, kind: &str) -> bool {
        let kinds = self.kinds.as_ref();
        kinds.is_none_or(|kinds| kinds.contains(&kind))
    }

    /// Compares what was reported of a transaction with the moments around it. `later`: all moments until it has been
    /// read, from the one after the transaction.
    pub fn check(
        &self,
        model: &DataModel,
        before: &Moment,
        later: &[Moment],
        reported: &[Report],
    ) -> Result<Counted, String> {
        let after = &later[0];
        let (mut left, mut events) = (BTreeSet::new(), BTreeMap::new());
        for one in reported {
            let (again, id) = match one {
                Report::Left(id) => (!left.insert(id), id),
                Report::Event { id, payload } => (events.insert(id, payload).is_some(), id),
            };
            if again {
                return Err(format!("{id} is reported twice"));
            }
        }
        if let Some(id) = left.iter().find(|id| events.contains_key(**id)) {
            return Err(format!("{id} has left and has an event"));
        }
        let mut counted = Counted::default();
        let known: BTreeSet<&String> = before.rows.keys().chain(after.rows.keys()).collect();
        let foreign = |id: &&&String| !known.contains(**id);
        if let Some(id) = left.iter().chain(events.keys()).find(foreign) {
            return Err(format!("{id} is reported, and is no row"));
        }
        for id in known {
            let (was, is) = (before.rows.get(id), after.rows.get(id));
            let within = |row: Option<&Row>| row.is_some_and(|row| row.within);
            let stays = later.iter().all(|moment| within(moment.rows.get(id)));
            // An event is filtered by what its row is when it is read, and seen by who saw it after the change.
            let matches = later.iter().any(|moment| within(moment.rows.get(id)));
            let may_read = is.is_some_and(|is| is.visible) && matches;
            let deleted = if self.admits("DELETED") {
                "DELETED"
            } else {
                "left"
            };
            // What must come, and what may.
            let (must, may) = match (was, is) {
                (Some(was), None) if was.within => (deleted, deleted),
                (Some(was), Some(is)) if was.within && !is.within => ("left", "left"),
                (None, Some(is)) if is.within => ("CREATED", "CREATED"),
                (None, Some(_)) if may_read => ("", "CREATED"),
                (Some(was), Some(is)) if is.within => {
                    let comes = !was.within || before.differs(was, is, after);
                    (if comes { "UPDATED" } else { "" }, "UPDATED")
                }
                (Some(_), Some(_)) if may_read => ("", "UPDATED"),
                _ => ("", ""),
            };
            let got = match (left.contains(id), events.get(id)) {
                (true, _) => "left",
                (_, Some(payload)) => payload["mutation"].as_str().unwrap(),
                _ => "",
            };
            let must = match must {
                "CREATED" | "UPDATED" if !stays || !self.admits(must) => "",
                must => must,
            };
            if got.is_empty() && !must.is_empty() {
                return Err(format!("{id}: {must} has not come"));
            }
            if !got.is_empty() && (got != may || !(got == "left" || self.admits(got))) {
                let seen = |row: Option<&Row>| row.map(|row| (row.visible, row.within));
                let (was, is) = (seen(was), seen(is));
                return Err(format!(
                    "{id}: {got} has come, and only {may:?} may; visible and within: {was:?} before, {is:?} after"
                ));
            }
            if let Some(payload) = events.get(id) {
                self.shows(model, before, later, id, payload)
                    .map_err(|found| format!("{id}: {found}: {payload}"))?;
            }
            counted.left += usize::from(got == "left");
            counted.came += usize::from(!within(was) && within(is) && !got.is_empty());
            counted.other += usize::from(within(was) && matches!(got, "UPDATED" | "DELETED"));
        }
        Ok(counted)
    }

    /// An event tells nothing that the viewer may not read.
    fn shows(
        &self,
        model: &DataModel,
        before: &Moment,
        later: &[Moment],
        id: &str,
        payload: &Value,
    ) -> Result<(), String> {
        let definition = model.model(self.model);
        let (was, is) = (before.rows.get(id), later[0].rows.get(id));
        let cell = |object: &Value, field: usize| object[&definition.fields[field].name].clone();
        let columns = || {
            let named = before.named.iter().copied();
            named.filter(|field| definition.fields[*field].is_column())
        };
        let node = &payload["node"];
        let is_of = |moment: &Moment| {
            let row = moment.rows.get(id);
            row.is_some_and(|row| {
                row.visible && columns().all(|field| cell(node, field) == row.shown[field])
            })
        };
        if payload["mutation"] == "DELETED" {
            if !node.is_null() {
                return Err("a deleted row has a node".into());
            }
        } else if !later.iter().any(is_of) {
            return Err("the node is not what the viewer reads".into());
        }
        let previous = &payload["previousValues"];
        if !previous.is_null() {
            let Some(was) = was.filter(|was| was.visible) else {
                return Err("previous values of what the viewer could not see".into());
            };
            let shown = if is.is_some() { &was.shown } else { &was.gone };
            let same = is.is_some_and(|is| is.cells == was.cells);
            for field in columns() {
                let value = cell(previous, field);
                // Nothing is shown where only other rows decide. Where only links have changed, and every row is there for the
                // viewer, it may be as it is when the event is read.
                let hidden = value.is_null() && !before.plain.contains(&field);
                let is_later = same && later.iter().any(|moment| moment.reads(id, field, &value));
                if value != shown[field] && !hidden && !is_later {
                    return Err(format!("previous {}", definition.fields[field].name));
                }
            }
        }
        let updated: BTreeSet<&str> = payload["updatedFields"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|name| name.as_str().unwrap())
            .collect();
        let hidden = definition.fields.iter().enumerate().find(|(field, of)| {
            updated.contains(of.name.as_str()) && !before.named.contains(field)
        });
        if let Some((_, hidden)) = hidden {
            return Err(format!("{} may not be named", hidden.name));
        }
        let (Some(was), Some(is)) = (was, is) else {
            return Ok(());
        };
        let missing = before.plain.iter().find(|field| {
            let name = definition.fields[**field].name.as_str();
            was.visible && was.cells[**field] != is.cells[**field] && !updated.contains(name)
        });
        match missing {
            Some(field) => Err(format!(
                "{} has changed, and is not named",
                definition.fields[*field].name
            )),
            None => Ok(()),
        }
    }
}

impl Moment {
    /// Whether some rows are in the set and some are not.
    pub fn divides(&self) -> bool {
        let within = self.rows.values().filter(|row| row.within).count();
        (1..self.rows.len()).contains(&within)
    }

    /// Whether the viewer reads this value of a row.
    fn reads(&self, id: &str, field: usize, value: &Value) -> bool {
        let row = self.rows.get(id);
        row.is_some_and(|row| row.visible && row.shown[field] == *value)
    }

    /// Whether the viewer can see that a row has changed.
    fn differs(&self, was: &Row, is: &Row, after: &Moment) -> bool {
        let plain = self.plain.intersection(&after.plain);
        plain.into_iter().any(|field| {
            let (Some(old), Some(new)) = (was.links.get(field), is.links.get(field)) else {
                return was.cells[*field] != is.cells[*field];
            };
            let cut = old.iter().any(|(id, seen)| *seen && !new.contains_key(id));
            cut || new.iter().any(|(id, seen)| *seen && !old.contains_key(id))
        })
    }
}

/// How much was reported.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counted {
    pub left: usize,
    pub came: usize,
    pub other: usize,
}

impl std::ops::AddAssign for Counted {
    fn add_assign(&mut self, more: Self) {
        self.left += more.left;
        self.came += more.came;
        self.other += more.other;
    }
}
