//! The layout that a datamodel asks for: Prisma 1's tables, columns and constraints, so that a
//! database made by it is served as it stands, plus indexes of our own. Knows nothing of what a
//! database holds already.

use serde_json::Value as Json;

use super::layout::{
    Column, ColumnDefault, DatabaseLayout, ForeignKey, Index, IndexColumn, OnDelete,
    SequenceLayout, Table, TablePurpose,
};
use super::names::{fit, foreign_key_name, own_index_name, quote_literal, unique_index_name};
use crate::datamodel::{
    DataModel, Field, FieldId, FieldKind, IdStrategy, Model, ModelId, Relation, RelationEnd,
    RelationStorage, ScalarType, Side,
};

/// The type of a column with such values, as `format_type` writes it.
pub fn column_type(scalar: ScalarType) -> &'static str {
    match scalar {
        ScalarType::Id => "character varying(25)",
        ScalarType::String | ScalarType::Json => "text",
        ScalarType::Int => "integer",
        ScalarType::Float => "numeric(65,30)",
        ScalarType::Boolean => "boolean",
        ScalarType::DateTime => "timestamp(3) without time zone",
        ScalarType::Uuid => "uuid",
    }
}

/// The layout of this datamodel in the schema of this name.
pub fn layout(model: &DataModel, schema: &str) -> DatabaseLayout {
    let mut wanted = DatabaseLayout::empty(schema);
    for id in model.model_ids() {
        let table = model_table(model, id, schema);
        wanted.tables.push(table);
        wanted.sequences.extend(sequence(model.model(id)));
    }
    for one in &model.models {
        for field in one.fields.iter().filter(|f| f.is_scalar_list()) {
            wanted.tables.push(list_table(one, field));
        }
    }
    wanted.tables.extend(
        model
            .relations
            .iter()
            .filter_map(|r| relation_table(model, r)),
    );
    wanted
}

fn model_table(whole: &DataModel, id: ModelId, schema: &str) -> Table {
    let model = whole.model(id);
    let mut table = new_table(&model.table, TablePurpose::Model);
    table.primary_key = vec![model.id_field().column.clone()];
    for (position, field) in model.fields.iter().enumerate() {
        if let Some(target) = inline_target(whole, field) {
            let orders = whole
                .lists
                .iter()
                .filter(|list| list.model == id && list.link == FieldId(position))
                .map(|list| model.field(list.order));
            add_link(&mut table, model, field, target, orders);
        } else if field.is_column() {
            table.columns.push(scalar_column(model, field));
        }
        if field.unique && field.is_column() {
            let name = unique_index_name(schema, &model.table, &field.column);
            table
                .indexes
                .push(index(name, &[(&field.column, false)], true));
        }
    }
    table
}

/// The model behind a relation field whose link column is in this field's table.
fn inline_target<'a>(whole: &'a DataModel, field: &Field) -> Option<&'a Model> {
    let view = field.relation()?;
    match whole.relation(view.relation).storage {
        RelationStorage::Inline { side, .. } if side == view.side => Some(whole.model(view.target)),
        _ => None,
    }
}

/// `orders`: the fields by which clients order the list at the other end.
fn add_link<'a>(
    table: &mut Table,
    model: &'a Model,
    field: &Field,
    target: &Model,
    orders: impl Iterator<Item = &'a Field>,
) {
    // Nullable even for a required field: that is how Prisma laid it out, and nested creates rely
    // on it.
    table
        .columns
        .push(column(&field.column, id_type(target), true));
    table.foreign_keys.push(ForeignKey {
        name: foreign_key_name(&table.name, &[&field.column]),
        columns: vec![field.column.clone()],
        target_table: target.table.clone(),
        target_columns: vec![target.id_field().column.clone()],
        on_delete: OnDelete::SetNull,
        plain: true,
    });
    let by_creation = model
        .fields
        .iter()
        .filter(|f| f.created_at && f.is_column())
        .take(1);
    let by_client = orders.filter(|f| f.is_column() && !f.created_at);
    let id = &model.id_field().column;
    let mut indexed = false;
    for order in by_creation.chain(by_client) {
        let name = own_index_name(&table.name, &[&field.column, &order.column]);
        let columns = [(&field.column, false), (&order.column, true), (id, false)];
        table.indexes.push(index(name, &columns, false));
        indexed = true;
    }
    // An index that begins with the link serves its look-ups too; a second one would only cost
    // writes.
    if !indexed {
        let name = own_index_name(&table.name, &[&field.column]);
        table
            .indexes
            .push(index(name, &[(&field.column, false)], false));
    }
}

fn scalar_column(model: &Model, field: &Field) -> Column {
    let sequence = field.id_strategy == Some(IdStrategy::Sequence);
    Column {
        default: sequence.then(|| ColumnDefault::NextValue(sequence_name(model, field))),
        fill: fill(field),
        ..column(&field.column, value_type(field), !field.required)
    }
}

fn value_type(field: &Field) -> &'static str {
    match field.kind {
        FieldKind::Scalar(scalar) => column_type(scalar),
        FieldKind::Enum(_) | FieldKind::Relation(_) => column_type(ScalarType::String),
    }
}

fn id_type(model: &Model) -> &'static str {
    value_type(model.id_field())
}

/// What existing rows get: the field's default, or the time of the migration.
fn fill(field: &Field) -> Option<String> {
    if field.is_server_set() {
        return Some("date_trunc('milliseconds', now() AT TIME ZONE 'UTC')".into());
    }
    Some(match field.default.as_ref()? {
        Json::String(text) => quote_literal(
            text.strip_suffix('Z')
                .filter(|_| is_time(field))
                .unwrap_or(text),
        ),
        other => other.to_string(),
    })
}

fn is_time(field: &Field) -> bool {
    field.kind == FieldKind::Scalar(ScalarType::DateTime)
}

fn sequence(model: &Model) -> Option<SequenceLayout> {
    let id = model.id_field();
    let (start, increment) = id
        .sequence
        .as_ref()
        .map_or((1, 1), |s| (s.initial_value, s.allocation_size));
    (id.id_strategy == Some(IdStrategy::Sequence)).then(|| SequenceLayout {
        name: sequence_name(model, id),
        start,
        increment,
        owner: Some((model.table.clone(), id.column.clone())),
    })
}

fn sequence_name(model: &Model, id: &Field) -> String {
    match &id.sequence {
        Some(sequence) => sequence.name.clone(),
        None => fit(&format!("{}_{}_seq", model.table, id.column)),
    }
}

fn list_table(model: &Model, field: &Field) -> Table {
    let mut table = new_table(&model.list_table(field), TablePurpose::ScalarList);
    table.columns = vec![
        column("nodeId", id_type(model), false),
        column("position", column_type(ScalarType::Int), false),
        column("value", value_type(field), false),
    ];
    table.primary_key = vec!["nodeId".into(), "position".into()];
    let key = link_key(&table.name, "nodeId", model);
    table.foreign_keys.push(key);
    table
}

fn relation_table(whole: &DataModel, relation: &Relation) -> Option<Table> {
    let RelationStorage::Table {
        table,
        a_column,
        b_column,
        id_column,
    } = &relation.storage
    else {
        return None;
    };
    let mut made = new_table(table, TablePurpose::Relation);
    if let Some(id) = id_column {
        made.columns
            .push(column(id, column_type(ScalarType::Id), false));
        made.primary_key = vec![id.clone()];
    }
    for (side, name) in [(Side::A, a_column), (Side::B, b_column)] {
        let end: &RelationEnd = relation.end(side);
        let model = whole.model(end.model);
        made.columns.push(column(name, id_type(model), false));
        let key = link_key(table, name, model);
        made.foreign_keys.push(key);
    }
    if relation.a.model == relation.b.model {
        let name = |end: &RelationEnd| {
            end.field
                .map(|field| whole.field(end.model, field).name.clone())
        };
        made.ends = Some([name(&relation.a), name(&relation.b)]);
    }
    let unique = fit(&format!("{table}_AB_unique"));
    made.indexes
        .push(index(unique, &[(a_column, false), (b_column, false)], true));
    made.indexes.push(index(
        fit(&format!("{table}_B")),
        &[(b_column, false)],
        false,
    ));
    Some(made)
}

/// A foreign key in a table whose rows go when the model's row goes.
fn link_key(table: &str, column: &str, model: &Model) -> ForeignKey {
    ForeignKey {
        name: foreign_key_name(table, &[column]),
        columns: vec![column.to_string()],
        target_table: model.table.clone(),
        target_columns: vec![model.id_field().column.clone()],
        on_delete: OnDelete::Cascade,
        plain: true,
    }
}

fn new_table(name: &str, purpose: TablePurpose) -> Table {
    Table {
        name: name.to_string(),
        purpose,
        columns: Vec::new(),
        primary_key: Vec::new(),
        primary_key_name: None,
        foreign_keys: Vec::new(),
        indexes: Vec::new(),
        ends: None,
    }
}

fn column(name: &str, sql_type: &str, nullable: bool) -> Column {
    Column {
        name: name.into(),
        sql_type: sql_type.into(),
        nullable,
        default: None,
        fill: None,
    }
}

fn index(name: String, columns: &[(&String, bool)], unique: bool) -> Index {
    let columns = columns.iter().map(|(name, descending)| IndexColumn {
        name: (*name).clone(),
        descending: *descending,
    });
    Index {
        name,
        columns: columns.collect(),
        unique,
        plain: true,
        constraint: false,
    }
}
