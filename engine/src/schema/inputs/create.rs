//! Inputs that make rows: `XCreateInput` and what nests in it.

use super::{InputFields, InputKey, back_field, relations};
use crate::datamodel::{DataModel, Field, FieldId, FieldKind, IdStrategy, ModelId, ScalarType};
use crate::schema::builder::{Builder, plain};
use crate::schema::types::*;

/// How a column's value comes into a new row.
#[derive(PartialEq, Eq)]
enum InputPresence {
    Never,
    Optionally,
    Always,
}

fn given(field: &Field) -> InputPresence {
    if field.is_server_set() {
        return InputPresence::Never;
    }
    match (field.id_strategy, field.kind) {
        (Some(IdStrategy::Sequence), _) => InputPresence::Never,
        (Some(IdStrategy::Auto), FieldKind::Scalar(ScalarType::Int)) => InputPresence::Never,
        (Some(IdStrategy::Auto), _) => InputPresence::Optionally,
        (Some(IdStrategy::None), _) => InputPresence::Always,
        (None, _) if field.required && field.default.is_none() => InputPresence::Always,
        (None, _) => InputPresence::Optionally,
    }
}

/// Whether the create input of `model` has any field. Nested inputs always have one (`connect`), so
/// this needs no look into them.
pub(in crate::schema) fn has_create(
    datamodel: &DataModel,
    model: ModelId,
    without: Option<FieldId>,
) -> bool {
    let of = datamodel.model(model);
    let has_values = of
        .fields
        .iter()
        .any(|f| f.is_scalar_list() || f.is_column() && given(f) != InputPresence::Never);
    has_values || !relations(datamodel, model, without).is_empty()
}

/// Columns, then scalar lists, then relations, each in the datamodel's order.
pub(super) fn data(builder: &mut Builder, model: ModelId, without: Option<FieldId>) -> InputFields {
    let of = builder.datamodel.model(model);
    let mut fields = InputFields::new();
    for id in of.field_ids().filter(|id| of.field(*id).is_column()) {
        let field = of.field(id);
        let given = given(field);
        let Some(ty) = builder
            .value_type(field)
            .filter(|_| given != InputPresence::Never)
        else {
            continue;
        };
        let ty = if given == InputPresence::Always {
            ty.required()
        } else {
            ty
        };
        fields.insert(field.name.clone(), plain(ty, InputMeaning::Value(id)));
    }
    for id in of.field_ids().filter(|id| of.field(*id).is_scalar_list()) {
        let list = TypeRef::Input(builder.input(InputKey::CreateList(model, id)));
        fields.insert(
            of.field(id).name.clone(),
            plain(list, InputMeaning::ListValue(id)),
        );
    }
    for (id, relation) in relations(builder.datamodel, model, without) {
        let field = of.field(id);
        let (model, without) = (relation.target, back_field(builder.datamodel, relation));
        let ty = if field.list {
            TypeRef::Input(builder.input(InputKey::CreateMany { model, without }))
        } else {
            let one = TypeRef::Input(builder.input(InputKey::CreateOne { model, without }));
            if field.required { one.required() } else { one }
        };
        fields.insert(field.name.clone(), plain(ty, InputMeaning::Relation(id)));
    }
    fields
}

/// `create` and `connect`.
pub(super) fn nested(
    builder: &mut Builder,
    model: ModelId,
    without: Option<FieldId>,
    many: bool,
) -> InputFields {
    let sized = |ty: TypeRef| if many { ty.list() } else { ty };
    let mut fields = InputFields::new();
    if has_create(builder.datamodel, model, without) {
        let create = TypeRef::Input(builder.input(InputKey::Create { model, without }));
        fields.insert(
            "create".to_owned(),
            plain(sized(create), InputMeaning::Create),
        );
    }
    let connect = TypeRef::Input(builder.input(InputKey::WhereUnique(model)));
    fields.insert(
        "connect".to_owned(),
        plain(sized(connect), InputMeaning::Connect),
    );
    fields
}

/// `{ set: [T!] }` of a scalar list, in create and in update.
pub(super) fn list_values(builder: &mut Builder, model: ModelId, list: FieldId) -> InputFields {
    let field = builder.datamodel.field(model, list);
    let set = builder
        .value_type(field)
        .map(|ty| ("set".to_owned(), plain(ty.list(), InputMeaning::Set)));
    set.into_iter().collect()
}
