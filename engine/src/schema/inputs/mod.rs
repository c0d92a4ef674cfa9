//! The input types: which there are, what they are called, and what is in them.

mod create;
mod filters;
mod update;

use indexmap::IndexMap;

use super::builder::Builder;
use super::names::capitalized;
use super::types::*;
use crate::datamodel::{DataModel, FieldId, ModelId, RelationRef};

pub(super) use create::has_create;
pub(super) use update::{has_update, has_update_many};

pub(super) type InputFields = IndexMap<String, InputField>;

/// An input type of a model. `without` is the field of that model that leads back to where a nested
/// write comes from: it is left out. It is `None` at the top, and where the datamodel has no such
/// field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum InputKey {
    Where(ModelId),
    ScalarWhere(ModelId),
    WhereUnique(ModelId),
    SubscriptionWhere(ModelId),

    Create {
        model: ModelId,
        without: Option<FieldId>,
    },
    CreateOne {
        model: ModelId,
        without: Option<FieldId>,
    },
    CreateMany {
        model: ModelId,
        without: Option<FieldId>,
    },
    CreateList(ModelId, FieldId),

    Update(ModelId),
    UpdateManyMutation(ModelId),
    UpdateManyData(ModelId),
    UpdateData {
        model: ModelId,
        without: Option<FieldId>,
    },
    UpdateOne {
        model: ModelId,
        without: Option<FieldId>,
    },
    UpdateOneRequired {
        model: ModelId,
        without: Option<FieldId>,
    },
    UpdateMany {
        model: ModelId,
        without: Option<FieldId>,
    },
    UpdateWithWhere {
        model: ModelId,
        without: Option<FieldId>,
    },
    UpdateManyWithWhere(ModelId),
    UpdateList(ModelId, FieldId),
    Upsert {
        model: ModelId,
        without: Option<FieldId>,
    },
    UpsertWithWhere {
        model: ModelId,
        without: Option<FieldId>,
    },
}

impl InputKey {
    pub(super) fn model(self) -> ModelId {
        use InputKey::*;
        match self {
            Where(model) | ScalarWhere(model) | WhereUnique(model) | SubscriptionWhere(model) => {
                model
            }
            Update(model)
            | UpdateManyMutation(model)
            | UpdateManyData(model)
            | UpdateManyWithWhere(model) => model,
            CreateList(model, _) | UpdateList(model, _) => model,
            Create { model, .. } | CreateOne { model, .. } | CreateMany { model, .. } => model,
            UpdateData { model, .. }
            | UpdateOne { model, .. }
            | UpdateOneRequired { model, .. } => model,
            UpdateMany { model, .. } | UpdateWithWhere { model, .. } => model,
            Upsert { model, .. } | UpsertWithWhere { model, .. } => model,
        }
    }

    pub(super) fn name(self, datamodel: &DataModel) -> String {
        use InputKey::*;
        let model = datamodel.model(self.model());
        let without = |field: Option<FieldId>, other: &str| match field {
            Some(field) => format!("Without{}", capitalized(&model.field(field).name)),
            None => other.to_owned(),
        };
        let middle = match self {
            Where(_) => "Where".to_owned(),
            ScalarWhere(_) => "ScalarWhere".to_owned(),
            WhereUnique(_) => "WhereUnique".to_owned(),
            SubscriptionWhere(_) => "SubscriptionWhere".to_owned(),
            Create { without: w, .. } => format!("Create{}", without(w, "")),
            CreateOne { without: w, .. } => format!("CreateOne{}", without(w, "")),
            CreateMany { without: w, .. } => format!("CreateMany{}", without(w, "")),
            CreateList(_, field) => format!("Create{}", model.field(field).name),
            Update(_) => "Update".to_owned(),
            UpdateManyMutation(_) => "UpdateManyMutation".to_owned(),
            UpdateManyData(_) => "UpdateManyData".to_owned(),
            UpdateData { without: w, .. } => format!("Update{}Data", without(w, "")),
            UpdateOne { without: w, .. } => format!("UpdateOne{}", without(w, "")),
            UpdateOneRequired { without: w, .. } => format!("UpdateOneRequired{}", without(w, "")),
            UpdateMany { without: w, .. } => format!("UpdateMany{}", without(w, "")),
            UpdateWithWhere { without: w, .. } => {
                format!("UpdateWithWhereUnique{}", without(w, "Nested"))
            }
            UpdateManyWithWhere(_) => "UpdateManyWithWhereNested".to_owned(),
            UpdateList(_, field) => format!("Update{}", model.field(field).name),
            Upsert { without: w, .. } => format!("Upsert{}", without(w, "Nested")),
            UpsertWithWhere { without: w, .. } => {
                format!("UpsertWithWhereUnique{}", without(w, "Nested"))
            }
        };
        format!("{}{middle}Input", model.name)
    }
}

/// The fields of the input type `key`.
pub(super) fn fields(builder: &mut Builder, key: InputKey) -> InputFields {
    use InputKey::*;
    match key {
        Where(model) => filters::full(builder, model),
        ScalarWhere(model) => filters::scalars_only(builder, model),
        WhereUnique(model) => filters::unique(builder, model),
        SubscriptionWhere(model) => filters::subscription(builder, model),
        Create { model, without } => create::data(builder, model, without),
        CreateOne { model, without } => create::nested(builder, model, without, false),
        CreateMany { model, without } => create::nested(builder, model, without, true),
        CreateList(model, field) | UpdateList(model, field) => {
            create::list_values(builder, model, field)
        }
        Update(model) => update::data(builder, model, None),
        UpdateData { model, without } => update::data(builder, model, without),
        UpdateManyMutation(model) | UpdateManyData(model) => update::values(builder, model),
        UpdateOne { model, without } => update::to_one(builder, model, without, false),
        UpdateOneRequired { model, without } => update::to_one(builder, model, without, true),
        UpdateMany { model, without } => update::to_many(builder, model, without),
        UpdateWithWhere { model, without } => update::with_where(builder, model, without),
        UpdateManyWithWhere(model) => update::many_with_where(builder, model),
        Upsert { model, without } => update::upsert(builder, model, without, false),
        UpsertWithWhere { model, without } => update::upsert(builder, model, without, true),
    }
}

/// The relation fields of a data type in the datamodel's order: all but the one that leads back.
fn relations(
    datamodel: &DataModel,
    model: ModelId,
    without: Option<FieldId>,
) -> Vec<(FieldId, RelationRef)> {
    let of = datamodel.model(model);
    let relation = |id: FieldId| of.field(id).relation().map(|relation| (id, relation));
    of.field_ids()
        .filter(|id| Some(*id) != without)
        .filter_map(relation)
        .collect()
}

/// The field of the target model that leads back over the same relation, if the datamodel has it.
fn back_field(datamodel: &DataModel, relation: RelationRef) -> Option<FieldId> {
    datamodel
        .relation(relation.relation)
        .end(relation.side.other())
        .field
}
