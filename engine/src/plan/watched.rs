//! What a live query has read: the models whose changes may change its answer.

use std::collections::BTreeSet;

use super::context::Planner;
use super::rights::Rights;
use crate::datamodel::ModelId;
use crate::request::{Operation, Selected, SelectedField, Selection, Value, Variables};
use crate::schema::{InputMeaning, OutputMeaning};
use crate::sql::Filter;

impl Planner {
    /// The models that an operation looks at: those that it selects, those that its filters lead
    /// to, and those that decide what the viewer may see of them.
    pub fn watched(
        &self,
        operation: &Operation,
        variables: &Variables,
        rights: Option<&Rights>,
    ) -> BTreeSet<ModelId> {
        let mut models = BTreeSet::new();
        for field in operation
            .fields
            .iter()
            .filter(|field| field.inclusion.holds(variables))
        {
            self.watch_field(None, field, variables, &mut models);
        }
        if let Some(rights) = rights {
            for model in models.clone() {
                self.watch_filter(model, rights.visible(model), &mut models);
            }
        }
        models
    }

    fn watch_field(
        &self,
        parent: Option<ModelId>,
        field: &SelectedField,
        variables: &Variables,
        models: &mut BTreeSet<ModelId>,
    ) {
        let Selected::Field(meaning) = field.meaning else {
            return;
        };
        let model = match meaning {
            OutputMeaning::FindMany(model)
            | OutputMeaning::FindOne(model)
            | OutputMeaning::Connection(model) => Some(model),
            OutputMeaning::ToOne(id) | OutputMeaning::ToMany(id) => parent
                .and_then(|parent| self.model().field(parent, id).relation())
                .map(|relation| relation.target),
            _ => parent,
        };
        models.extend(model);
        for (_, template) in &field.arguments {
            if let Some(value) = template.resolve(variables) {
                self.watch_value(&value, models);
            }
        }
        match &field.selection {
            Selection::Leaf => {}
            Selection::Object { fields, .. } => {
                fields
                    .iter()
                    .for_each(|field| self.watch_field(model, field, variables, models));
            }
            Selection::Node(of_models) => {
                for (model, _, fields) in of_models {
                    models.insert(*model);
                    fields
                        .iter()
                        .for_each(|field| self.watch_field(Some(*model), field, variables, models));
                }
            }
        }
    }

    /// Inputs name the models whose fields they filter by.
    fn watch_value(&self, value: &Value, models: &mut BTreeSet<ModelId>) {
        match value {
            Value::Object(input, entries) => {
                let model = self.schema.input(*input).model;
                models.insert(model);
                for (meaning, value) in entries {
                    // A filter by no partner at all names no input of the partner's.
                    if let InputMeaning::RelatedIs(field) = meaning {
                        models.extend(
                            self.model()
                                .field(model, *field)
                                .relation()
                                .map(|one| one.target),
                        );
                    }
                    self.watch_value(value, models);
                }
            }
            Value::List(items) => items.iter().for_each(|item| self.watch_value(item, models)),
            _ => {}
        }
    }

    fn watch_filter(&self, model: ModelId, filter: &Filter, models: &mut BTreeSet<ModelId>) {
        match filter {
            Filter::And(parts) | Filter::Or(parts) | Filter::Nor(parts) => {
                parts
                    .iter()
                    .for_each(|part| self.watch_filter(model, part, models));
            }
            Filter::NotTrue(part) => self.watch_filter(model, part, models),
            Filter::Related { field, filter, .. } => {
                if let Some(relation) = self.model().field(model, *field).relation() {
                    models.insert(relation.target);
                    self.watch_filter(relation.target, filter, models);
                }
            }
            Filter::Unrelated { field } => {
                models.extend(
                    self.model()
                        .field(model, *field)
                        .relation()
                        .map(|relation| relation.target),
                );
            }
            Filter::CompareView { view, .. } => self.watch_filter(model, &view.shown, models),
            Filter::Compare { .. } | Filter::IdIn(_) | Filter::IdIs(_) => {}
        }
    }
}
