//! The rows that a subscription is about, as a set: what decides whether a row is one of them, and
//! which changes may make rows join or leave.

use std::collections::BTreeSet;

use super::{ChangeKind, NodeChange};
use crate::datamodel::{FieldId, ModelId};
use crate::error::{ApiError, ErrorKind};
use crate::plan::Planner;
use crate::sql::Filter;

/// From more places a filter may not be decided: each is a part of a statement.
const MAX_PATHS: usize = 32;

/// The set of a subscription that reports leaves.
#[derive(Debug)]
pub(super) struct Membership {
    /// Which rows are in it: those that the viewer sees, of those that the subscription is about.
    pub filter: Filter,
    /// The fields of the row itself that decide it.
    own: BTreeSet<FieldId>,
    /// What else decides it, by model.
    pub others: Vec<Dependency>,
}

/// Rows of a model that decide for others whether these are in the set.
#[derive(Debug)]
pub struct Dependency {
    /// Whose rows decide.
    pub model: ModelId,
    /// By which of their fields.
    pub fields: Box<[FieldId]>,
    /// The relation fields that lead to them from the subscription's model.
    pub(super) paths: Vec<Box<[FieldId]>>,
}

impl Dependency {
    /// Whether the change may make rows that it leads to join or leave the set. Nodes that were
    /// created or deleted cannot: the links by which they are reached came and went with them, and
    /// these are changes of who has them.
    fn is_changed_by(&self, change: &NodeChange) -> bool {
        change.model == self.model && changes_any(change, &self.fields)
    }
}

/// Whether the change is an update of one of these fields.
fn changes_any(change: &NodeChange, fields: &[FieldId]) -> bool {
    change.kind == ChangeKind::Updated && change.updated.iter().any(|field| fields.contains(field))
}

impl Membership {
    /// # Errors
    /// [`ErrorKind::BadUserInput`] for a filter that is not decided by logged changes, or from too
    /// many places.
    pub(super) fn of(planner: &Planner, model: ModelId, filter: Filter) -> Result<Self, ApiError> {
        let mut found = Vec::new();
        collect(planner, model, &filter, &mut Vec::new(), &mut found)?;
        let (mut own, mut others) = (BTreeSet::new(), Vec::<Dependency>::new());
        let mut paths = 0;
        for Decisive {
            path,
            model,
            fields,
        } in found
        {
            if path.is_empty() {
                own.extend(fields);
                continue;
            }
            paths += 1;
            let path = path.into_boxed_slice();
            match others.iter_mut().find(|other| other.model == model) {
                Some(other) => {
                    let all = other.fields.iter().copied().chain(fields);
                    other.fields = BTreeSet::from_iter(all).into_iter().collect();
                    other.paths.push(path);
                }
                None => others.push(Dependency {
                    model,
                    fields: fields.into_iter().collect(),
                    paths: vec![path],
                }),
            }
        }
        if paths > MAX_PATHS {
            return Err(refused(&format!(
                "the filter and the viewer's rules go through other rows on {paths} ways, of which {MAX_PATHS} are allowed: simplify the filter"
            )));
        }
        Ok(Membership {
            filter,
            own,
            others,
        })
    }

    /// Whether the change may take its own node out of the set.
    pub(super) fn is_decided_by_own(&self, change: &NodeChange) -> bool {
        match change.kind {
            ChangeKind::Created => false,
            ChangeKind::Deleted => true,
            ChangeKind::Updated => change.updated.iter().any(|field| self.own.contains(field)),
        }
    }

    /// The paths from the set's rows to the changed node, if the change may move rows that have it
    /// at the end of one.
    pub(super) fn paths_to(&self, change: &NodeChange) -> Option<&Dependency> {
        self.others.iter().find(|other| other.is_changed_by(change))
    }
}

/// At the end of a path, the fields that decide a filter.
struct Decisive {
    path: Vec<FieldId>,
    model: ModelId,
    fields: BTreeSet<FieldId>,
}

fn collect(
    planner: &Planner,
    model: ModelId,
    filter: &Filter,
    path: &mut Vec<FieldId>,
    found: &mut Vec<Decisive>,
) -> Result<(), ApiError> {
    match filter {
        Filter::And(parts) | Filter::Or(parts) | Filter::Nor(parts) => {
            for part in parts {
                collect(planner, model, part, path, found)?;
            }
        }
        Filter::NotTrue(part) => collect(planner, model, part, path, found)?,
        Filter::Compare { field, .. } => {
            // A row that others are linked to keeps its id.
            if path.is_empty() || planner.model().model(model).id != *field {
                add(model, *field, path, found);
            }
        }
        Filter::CompareView { field, view, .. } => {
            if view.own.is_some() {
                let of = planner.model().model(model);
                return Err(refused(&format!(
                    "the filter compares '{}' of '{}', of which each viewer has values of its own, whose changes are not logged: leave it out of the filter",
                    of.field(*field).name,
                    of.name
                )));
            }
            add(model, *field, path, found);
            collect(planner, model, &view.shown, path, found)?;
        }
        Filter::Related { field, filter, .. } => {
            add(model, *field, path, found);
            if let Some(relation) = planner.model().field(model, *field).relation() {
                path.push(*field);
                let collected = collect(planner, relation.target, filter, path, found);
                path.pop();
                collected?;
            }
        }
        Filter::Unrelated { field } => add(model, *field, path, found),
        Filter::IdIn(_) | Filter::IdIs(_) => {}
    }
    Ok(())
}

fn add(model: ModelId, field: FieldId, path: &[FieldId], found: &mut Vec<Decisive>) {
    match found.iter_mut().find(|known| known.path == path) {
        Some(known) => {
            known.fields.insert(field);
        }
        None => found.push(Decisive {
            path: path.to_vec(),
            model,
            fields: BTreeSet::from([field]),
        }),
    }
}

fn refused(reason: &str) -> ApiError {
    ApiError::new(
        ErrorKind::BadUserInput,
        format!("extensions.leaves: {reason}, or subscribe without leaves"),
    )
}
