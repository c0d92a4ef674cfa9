//! Inputs that change rows: `XUpdateInput` and what nests in it. Keys whose input would be empty
//! are left out.

use super::create::{self, has_create};
use super::{InputFields, InputKey, back_field, relations};
use crate::datamodel::{DataModel, FieldId, Model, ModelId, ScalarType};
use crate::schema::builder::{self, Builder, plain};
use crate::schema::types::*;

/// Whether clients may write the column in an update.
fn is_writable(model: &Model, field: FieldId) -> bool {
    let f = model.field(field);
    f.is_column() && field != model.id && !f.is_server_set()
}

fn has_values(datamodel: &DataModel, model: ModelId) -> bool {
    let of = datamodel.model(model);
    of.field_ids()
        .any(|id| is_writable(of, id) || of.field(id).is_scalar_list())
}

/// Whether the update input of `model` has any field.
pub(in crate::schema) fn has_update(
    datamodel: &DataModel,
    model: ModelId,
    without: Option<FieldId>,
) -> bool {
    has_values(datamodel, model) || !relations(datamodel, model, without).is_empty()
}

/// Whether there is anything that an update of many rows could write.
pub(in crate::schema) fn has_update_many(datamodel: &DataModel, model: ModelId) -> bool {
    has_values(datamodel, model)
}

/// Columns, then scalar lists: all that an update of many rows can write.
pub(super) fn values(builder: &mut Builder, model: ModelId) -> InputFields {
    let of = builder.datamodel.model(model);
    let mut fields = InputFields::new();
    for id in of.field_ids().filter(|id| is_writable(of, *id)) {
        if let Some(ty) = builder.value_type(of.field(id)) {
            fields.insert(
                of.field(id).name.clone(),
                plain(ty, InputMeaning::Value(id)),
            );
        }
    }
    for id in of.field_ids().filter(|id| of.field(*id).is_scalar_list()) {
        let list = TypeRef::Input(builder.input(InputKey::UpdateList(model, id)));
        fields.insert(
            of.field(id).name.clone(),
            plain(list, InputMeaning::ListValue(id)),
        );
    }
    fields
}

/// Values, then relations.
pub(super) fn data(builder: &mut Builder, model: ModelId, without: Option<FieldId>) -> InputFields {
    let mut fields = values(builder, model);
    let of = builder.datamodel.model(model);
    for (id, relation) in relations(builder.datamodel, model, without) {
        let field = of.field(id);
        let (model, without) = (relation.target, back_field(builder.datamodel, relation));
        let key = match (field.list, field.required) {
            (true, _) => InputKey::UpdateMany { model, without },
            (false, true) => InputKey::UpdateOneRequired { model, without },
            (false, false) => InputKey::UpdateOne { model, without },
        };
        let ty = TypeRef::Input(builder.input(key));
        fields.insert(field.name.clone(), plain(ty, InputMeaning::Relation(id)));
    }
    fields
}

pub(super) fn to_one(
    builder: &mut Builder,
    model: ModelId,
    without: Option<FieldId>,
    required: bool,
) -> InputFields {
    let mut fields = create::nested(builder, model, without, false);
    if !required {
        for (name, meaning) in [
            ("disconnect", InputMeaning::Disconnect),
            ("delete", InputMeaning::Delete),
        ] {
            fields.insert(
                name.to_owned(),
                plain(builder::data(ScalarType::Boolean), meaning),
            );
        }
    }
    if has_update(builder.datamodel, model, without) {
        let update = TypeRef::Input(builder.input(InputKey::UpdateData { model, without }));
        fields.insert("update".to_owned(), plain(update, InputMeaning::Update));
        if has_create(builder.datamodel, model, without) {
            let upsert = TypeRef::Input(builder.input(InputKey::Upsert { model, without }));
            fields.insert("upsert".to_owned(), plain(upsert, InputMeaning::Upsert));
        }
    }
    fields
}

pub(super) fn to_many(
    builder: &mut Builder,
    model: ModelId,
    without: Option<FieldId>,
) -> InputFields {
    let mut fields = create::nested(builder, model, without, true);
    let mut add = |builder: &mut Builder, name: &str, key: InputKey, meaning: InputMeaning| {
        let ty = TypeRef::Input(builder.input(key)).list();
        fields.insert(name.to_owned(), plain(ty, meaning));
    };
    let datamodel = builder.datamodel;
    let has_update = has_update(datamodel, model, without);
    add(
        builder,
        "set",
        InputKey::WhereUnique(model),
        InputMeaning::Set,
    );
    add(
        builder,
        "disconnect",
        InputKey::WhereUnique(model),
        InputMeaning::Disconnect,
    );
    add(
        builder,
        "delete",
        InputKey::WhereUnique(model),
        InputMeaning::Delete,
    );
    if has_update {
        add(
            builder,
            "update",
            InputKey::UpdateWithWhere { model, without },
            InputMeaning::Update,
        );
    }
    if has_values(datamodel, model) {
        add(
            builder,
            "updateMany",
            InputKey::UpdateManyWithWhere(model),
            InputMeaning::UpdateMany,
        );
    }
    add(
        builder,
        "deleteMany",
        InputKey::ScalarWhere(model),
        InputMeaning::DeleteMany,
    );
    if has_update && has_create(datamodel, model, without) {
        add(
            builder,
            "upsert",
            InputKey::UpsertWithWhere { model, without },
            InputMeaning::Upsert,
        );
    }
    fields
}

pub(super) fn with_where(
    builder: &mut Builder,
    model: ModelId,
    without: Option<FieldId>,
) -> InputFields {
    required_keys(
        builder,
        [
            ("where", InputKey::WhereUnique(model), InputMeaning::Where),
            (
                "data",
                InputKey::UpdateData { model, without },
                InputMeaning::Data,
            ),
        ],
    )
}

pub(super) fn many_with_where(builder: &mut Builder, model: ModelId) -> InputFields {
    required_keys(
        builder,
        [
            ("where", InputKey::ScalarWhere(model), InputMeaning::Where),
            ("data", InputKey::UpdateManyData(model), InputMeaning::Data),
        ],
    )
}

pub(super) fn upsert(
    builder: &mut Builder,
    model: ModelId,
    without: Option<FieldId>,
    chosen: bool,
) -> InputFields {
    let mut fields = InputFields::new();
    if chosen {
        fields.extend(required_keys(
            builder,
            [("where", InputKey::WhereUnique(model), InputMeaning::Where)],
        ));
    }
    fields.extend(required_keys(
        builder,
        [
            (
                "update",
                InputKey::UpdateData { model, without },
                InputMeaning::Update,
            ),
            (
                "create",
                InputKey::Create { model, without },
                InputMeaning::Create,
            ),
        ],
    ));
    fields
}

fn required_keys<const N: usize>(
    builder: &mut Builder,
    keys: [(&str, InputKey, InputMeaning); N],
) -> InputFields {
    keys.map(|(name, key, meaning)| {
        let ty = TypeRef::Input(builder.input(key)).required();
        (name.to_owned(), plain(ty, meaning))
    })
    .into_iter()
    .collect()
}
