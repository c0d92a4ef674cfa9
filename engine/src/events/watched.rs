//! What a live query has read: the rows whose changes may change its answer.

use std::collections::BTreeSet;

use super::{Path, SubscriptionKey};
use crate::datamodel::{FieldId, ModelId};
use crate::plan::{Access, Planner, Rights};
use crate::request::{Operation, Selected, SelectedField, Selection, Variables};
use crate::schema::{InputMeaning, OutputMeaning};
use crate::sql::Filter;

/// Which changes of a model concern somebody.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lead {
    /// Every change.
    All,
    /// Changes of rows that have a value at the end of a path, after the change or, of a path that
    /// says so, before it.
    Value(SubscriptionKey),
    /// Updates of one of these fields.
    Updates(Box<[FieldId]>),
}

/// Changes that concern somebody.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Watched {
    /// Of this model's rows.
    pub model: ModelId,
    /// Which of them.
    pub lead: Lead,
}

impl Planner {
    /// The changes that may change the answer of an operation. They are found by what every row of
    /// the answer has in common, before and after: an equality of its filter or of the viewer's
    /// rule. Rows that only decide whether others are in the answer count where they are updated:
    /// links come and go with changes of both ends.
    pub fn watched(
        &self,
        operation: &Operation,
        variables: &Variables,
        rights: Option<&Rights>,
    ) -> Vec<Watched> {
        let mut watcher = Watcher {
            planner: self,
            variables,
            access: rights.map_or(Access::Full, Access::Limited),
            found: BTreeSet::new(),
        };
        for field in &operation.fields {
            watcher.root(field);
        }
        let all: BTreeSet<ModelId> = watcher
            .found
            .iter()
            .filter(|watched| watched.lead == Lead::All)
            .map(|watched| watched.model)
            .collect();
        let needed = |watched: &Watched| watched.lead == Lead::All || !all.contains(&watched.model);
        watcher.found.into_iter().filter(needed).collect()
    }
}

struct Watcher<'a> {
    planner: &'a Planner,
    variables: &'a Variables,
    access: Access<'a>,
    found: BTreeSet<Watched>,
}

impl Watcher<'_> {
    fn watch(&mut self, model: ModelId, lead: Lead) {
        self.found.insert(Watched { model, lead });
    }

    fn root(&mut self, field: &SelectedField) {
        if !field.inclusion.holds(self.variables) {
            return;
        }
        let Selected::Field(meaning) = field.meaning else {
            return;
        };
        match meaning {
            OutputMeaning::FindMany(model)
            | OutputMeaning::FindOne(model)
            | OutputMeaning::Connection(model) => {
                let key = self.rows(model, self.filter(model, meaning, field));
                self.watch_page(model, field);
                self.selection(model, key.as_ref(), &field.selection);
            }
            _ => {
                if let Selection::Node(of_models) = &field.selection {
                    for (model, _, fields) in of_models {
                        self.watch(*model, Lead::All);
                        self.depend(*model, &self.access.visible(*model));
                        self.fields(*model, None, fields);
                    }
                }
            }
        }
    }

    /// What all rows of a field satisfy; `None`, if it cannot be said.
    fn filter(
        &self,
        model: ModelId,
        meaning: OutputMeaning,
        field: &SelectedField,
    ) -> Option<Filter> {
        let (planner, access) = (self.planner, self.access);
        let given = planner.argument(field, InputMeaning::Where, self.variables);
        let filter = match (meaning, given) {
            (OutputMeaning::FindOne(_), Some(given)) => {
                planner.unique(model, &given, access).ok()?.filter()
            }
            (_, given) => planner.filter(model, given.as_ref(), access).ok()?,
        };
        Some(filter)
    }

    /// The row by which a page begins or ends decides which others are on it, also where it is not one of them.
    fn watch_page(&mut self, model: ModelId, field: &SelectedField) {
        let given = |meaning| {
            self.planner
                .argument(field, meaning, self.variables)
                .is_some()
        };
        if given(InputMeaning::After) || given(InputMeaning::Before) {
            self.watch(model, Lead::All);
        }
    }

    /// Watches rows that a filter finds. Gives what leads to them.
    fn rows(&mut self, model: ModelId, filter: Option<Filter>) -> Option<SubscriptionKey> {
        let key = self.key(model, filter.as_ref());
        match &key {
            None => self.watch(model, Lead::All),
            Some(key) => self.watch_key(model, key),
        }
        key
    }

    /// What all rows of a filter have in common, whose dependencies are watched.
    fn key(&mut self, model: ModelId, filter: Option<&Filter>) -> Option<SubscriptionKey> {
        let visible = self.access.visible(model);
        self.depend(model, &visible);
        let filter = filter?;
        self.depend(model, filter);
        self.planner.key_within(model, filter, &visible)
    }

    /// Rows that have the value after a change, and those that had it before.
    fn watch_key(&mut self, model: ModelId, key: &SubscriptionKey) {
        self.watch(model, Lead::Value(key.clone()));
        let (path, value) = (key.path.before(), key.value.clone());
        self.watch(model, Lead::Value(SubscriptionKey { path, value }));
    }

    fn selection(&mut self, model: ModelId, key: Option<&SubscriptionKey>, selection: &Selection) {
        if let Selection::Object { fields, .. } = selection {
            self.fields(model, key, fields);
        }
    }

    fn fields(&mut self, model: ModelId, key: Option<&SubscriptionKey>, fields: &[SelectedField]) {
        for field in fields {
            let Selected::Field(meaning) = field.meaning else {
                continue;
            };
            if !field.inclusion.holds(self.variables) {
                continue;
            }
            match meaning {
                OutputMeaning::Column(id) => {
                    if let Some(view) = self.access.view(model, id) {
                        self.depend(model, &view.shown);
                    }
                }
                OutputMeaning::ToOne(id) | OutputMeaning::ToMany(id) => {
                    self.partners(model, id, key, field);
                }
                // The parts of a connection are of the same rows.
                _ => self.selection(model, key, &field.selection),
            }
        }
    }

    /// Rows that are shown with those that they are linked to. These change when a link comes or goes, also with the partner
    /// itself: of the partners only updates count that are seen.
    fn partners(
        &mut self,
        model: ModelId,
        id: FieldId,
        key: Option<&SubscriptionKey>,
        field: &SelectedField,
    ) {
        let Some(relation) = self.planner.model().field(model, id).relation() else {
            return;
        };
        let target = self.planner.model().model(relation.target);
        let back = target.field_ids().find(|back| {
            let back = target.field(*back).relation();
            back.is_some_and(|back| {
                back.relation == relation.relation && back.side != relation.side
            })
        });
        // Through a list, each change would lead to as many rows as the list has.
        let back = back.filter(|back| !target.field(*back).list);
        let linked = key.zip(back).and_then(|(key, back)| {
            Some(SubscriptionKey {
                path: Path::through(back, key.path)?,
                value: key.value.clone(),
            })
        });
        let filter = self.filter(relation.target, OutputMeaning::ToMany(id), field);
        let own = self.key(relation.target, filter.as_ref());
        let seen = self.seen(relation.target, filter.as_ref(), field);
        match (&linked, &own, seen) {
            (Some(linked), _, _) => self.watch(relation.target, Lead::Value(linked.clone())),
            (None, Some(own), _) => self.watch_key(relation.target, own),
            (None, None, Some(seen)) if seen.is_empty() => {}
            (None, None, Some(seen)) => {
                let updates = Lead::Updates(seen.into_iter().collect());
                self.watch(relation.target, updates);
            }
            (None, None, None) => self.watch(relation.target, Lead::All),
        }
        self.watch_page(relation.target, field);
        self.selection(relation.target, linked.or(own).as_ref(), &field.selection);
    }

    /// The fields of rows whose updates are seen where they are shown: what is selected, and what decides which of them are, and
    /// in which order. `None`, if that cannot be said.
    fn seen(
        &self,
        model: ModelId,
        filter: Option<&Filter>,
        field: &SelectedField,
    ) -> Option<BTreeSet<FieldId>> {
        let mut seen = BTreeSet::new();
        self.decisive(model, filter?, &mut seen);
        self.decisive(model, &self.access.visible(model), &mut seen);
        let order = self
            .planner
            .argument(field, InputMeaning::OrderBy, self.variables);
        if let Some(order) = order {
            seen.insert(self.planner.ordered_by(&order)?);
        }
        let Selection::Object { fields, .. } = &field.selection else {
            return None;
        };
        for field in fields {
            match field.meaning {
                Selected::Field(OutputMeaning::Column(id)) => {
                    if let Some(view) = self.access.view(model, id) {
                        if view.own.is_some() {
                            // Its changes are not logged, but writes of the row are.
                            return None;
                        }
                        self.decisive(model, &view.shown, &mut seen);
                    }
                    seen.insert(id);
                }
                Selected::Field(
                    OutputMeaning::ScalarList(id)
                    | OutputMeaning::ToOne(id)
                    | OutputMeaning::ToMany(id),
                ) => {
                    seen.insert(id);
                }
                Selected::Typename => {}
                _ => return None,
            }
        }
        seen.remove(&self.planner.model().model(model).id);
        Some(seen)
    }

    /// Watches the rows of others that decide a filter of a model.
    fn depend(&mut self, model: ModelId, filter: &Filter) {
        match filter {
            Filter::And(parts) | Filter::Or(parts) | Filter::Nor(parts) => {
                parts.iter().for_each(|part| self.depend(model, part));
            }
            Filter::NotTrue(part) => self.depend(model, part),
            Filter::Related { field, filter, .. } => {
                if let Some(relation) = self.planner.model().field(model, *field).relation() {
                    let mut fields = BTreeSet::new();
                    self.decisive(relation.target, filter, &mut fields);
                    if !fields.is_empty() {
                        let updates = Lead::Updates(fields.into_iter().collect());
                        self.watch(relation.target, updates);
                    }
                    self.depend(relation.target, filter);
                }
            }
            Filter::CompareView { view, .. } => {
                if view.own.is_some() {
                    // What is compared is not logged, but each write of it is one of the row as well.
                    self.watch(model, Lead::All);
                }
                self.depend(model, &view.shown);
            }
            Filter::Unrelated { .. }
            | Filter::Compare { .. }
            | Filter::IdIn(_)
            | Filter::IdIs(_) => {}
        }
    }

    /// The fields of a row that decide a filter. Its id stays.
    fn decisive(&self, model: ModelId, filter: &Filter, fields: &mut BTreeSet<FieldId>) {
        match filter {
            Filter::And(parts) | Filter::Or(parts) | Filter::Nor(parts) => {
                for part in parts {
                    self.decisive(model, part, fields);
                }
            }
            Filter::NotTrue(part) => self.decisive(model, part, fields),
            Filter::Compare { field, .. } => {
                if self.planner.model().model(model).id != *field {
                    fields.insert(*field);
                }
            }
            Filter::CompareView { field, view, .. } => {
                fields.insert(*field);
                self.decisive(model, &view.shown, fields);
            }
            Filter::Related { field, .. } | Filter::Unrelated { field } => {
                fields.insert(*field);
            }
            Filter::IdIn(_) | Filter::IdIs(_) => {}
        }
    }
}
