//! Names: which ones the language, the API and PostgreSQL keep for themselves, and which ones
//! clash. Knows no directives and no relations.

use std::collections::{HashMap, HashSet};

use super::error::Findings;
use super::model::{DataModel, FieldKind, Model, RelationStorage, ScalarType};

/// PostgreSQL cuts identifiers after this many bytes (`NAMEDATALEN` - 1).
pub const MAX_IDENTIFIER_BYTES: usize = 63;

/// Type names that every API has.
const API_TYPES: [&str; 16] = [
    "Query",
    "Mutation",
    "Subscription",
    "Node",
    "PageInfo",
    "BatchPayload",
    "MutationType",
    "PrismaDatabase",
    "String",
    "Int",
    "Float",
    "Boolean",
    "ID",
    "DateTime",
    "Json",
    "UUID",
];

/// What the API appends to a model's name to make the names of its own types.
const TYPE_SUFFIXES: [&str; 23] = [
    "Connection",
    "Edge",
    "OrderByInput",
    "WhereInput",
    "WhereUniqueInput",
    "ScalarWhereInput",
    "CreateInput",
    "CreateOneInput",
    "CreateManyInput",
    "UpdateInput",
    "UpdateDataInput",
    "UpdateOneInput",
    "UpdateOneRequiredInput",
    "UpdateManyInput",
    "UpdateManyDataInput",
    "UpdateManyMutationInput",
    "UpdateManyWithWhereNestedInput",
    "UpdateWithWhereUniqueNestedInput",
    "UpsertNestedInput",
    "UpsertWithWhereUniqueNestedInput",
    "SubscriptionPayload",
    "SubscriptionWhereInput",
    "PreviousValues",
];

/// What the columns that our own statements add to a table's begin with: no key of a client is such
/// a name, and `check_column` sees to it that no column is.
pub const OWN_COLUMN: char = '~';

/// Columns that every PostgreSQL table has already.
const SYSTEM_COLUMNS: [&str; 6] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];

/// Checks the name of a type or enum by itself.
pub(super) fn check_type_name(name: &str, at: usize, findings: &mut Findings) {
    if name.starts_with("__") {
        findings.add(
            at,
            format!(
                "the name `{name}` begins with two underscores, which GraphQL keeps for itself"
            ),
            "choose another name",
        );
    } else if API_TYPES.contains(&name) || name == "Long" {
        findings.add(
            at,
            format!("`{name}` is a type of the API itself"),
            format!("choose another name, for example `{name}Record`"),
        );
    }
}

/// Checks the name of a field by itself.
pub(super) fn check_field_name(name: &str, at: usize, findings: &mut Findings) {
    if name.starts_with("__") {
        findings.add(
            at,
            format!(
                "the name `{name}` begins with two underscores, which GraphQL keeps for itself"
            ),
            "choose another name",
        );
    } else if ["AND", "OR", "NOT"].contains(&name) {
        findings.add(
            at,
            format!("`{name}` joins conditions in every filter and cannot be a field"),
            "choose another name; `@db(name:)` keeps the column's",
        );
    }
}

/// Checks a name that becomes a table, column or sequence.
pub(super) fn check_identifier(what: &str, name: &str, at: usize, findings: &mut Findings) {
    if name.is_empty() || name.contains('\0') {
        findings.add(
            at,
            format!("the {what}'s name is empty or holds a zero byte"),
            "give it a name",
        );
    } else if name.len() > MAX_IDENTIFIER_BYTES {
        findings.add(
            at,
            format!(
                "the {what}'s name `{name}` has {} bytes, PostgreSQL takes at most {MAX_IDENTIFIER_BYTES}",
                name.len()
            ),
            "give it a shorter one with `@db(name:)` or `name:`",
        );
    }
}

pub(super) fn check_column(name: &str, at: usize, findings: &mut Findings) {
    check_identifier("column", name, at, findings);
    if name.starts_with(OWN_COLUMN) {
        findings.add(
            at,
            format!(
                "the column's name `{name}` begins with `{OWN_COLUMN}`, as those do which statements add"
            ),
            "give the column another name with `@db(name:)`",
        );
    }
    if SYSTEM_COLUMNS.contains(&name) {
        findings.add(
            at,
            format!("every PostgreSQL table has a column `{name}` of its own"),
            format!("keep the field's name and give the column another: `@db(name: \"{name}_\")`"),
        );
    }
}

/// Where the names of a model stand in the text; `fields` in the order of [`Model::fields`].
pub(super) struct ModelPlaces {
    pub name: usize,
    pub fields: Vec<usize>,
}

/// Names that are fine alone but clash with others: in the API's types, fields and filters, or in
/// the database.
pub(super) fn check_clashes(
    model: &DataModel,
    models: &[ModelPlaces],
    enums: &[usize],
    relation_places: &[usize],
    findings: &mut Findings,
) {
    check_generated_types(model, models, enums, findings);
    check_root_fields(model, models, findings);
    for (one, places) in model.models.iter().zip(models) {
        check_filters(one, places, findings);
        check_columns(model, one, places, findings);
    }
    check_tables(model, models, relation_places, findings);
    check_relation_tables(model, relation_places, findings);
}

fn check_generated_types(
    model: &DataModel,
    models: &[ModelPlaces],
    enums: &[usize],
    findings: &mut Findings,
) {
    let named = model
        .models
        .iter()
        .zip(models)
        .map(|(m, places)| (m.name.as_str(), places.name));
    let named = named.chain(
        model
            .enums
            .iter()
            .zip(enums)
            .map(|(e, at)| (e.name.as_str(), *at)),
    );
    for (name, at) in named {
        let maker = TYPE_SUFFIXES
            .iter()
            .filter_map(|suffix| name.strip_suffix(suffix))
            .chain(name.strip_prefix("Aggregate"))
            .find(|rest| model.model_named(rest).is_some());
        if let Some(maker) = maker {
            findings.add(
                at,
                format!("the API makes a type `{name}` for the model `{maker}`"),
                "rename one of the two; `@db(name:)` keeps the table's name",
            );
        }
    }
}

fn check_root_fields(model: &DataModel, models: &[ModelPlaces], findings: &mut Findings) {
    let mut seen: HashMap<String, &str> = HashMap::new();
    for (one, places) in model.models.iter().zip(models) {
        if let Some(other) = seen.insert(lower_first(&one.name), &one.name) {
            findings.add(
                places.name,
                format!(
                    "the models `{other}` and `{}` would share the query `{}`",
                    one.name,
                    lower_first(&one.name)
                ),
                "rename one of the two; `@db(name:)` keeps the table's name",
            );
        }
    }
}

fn lower_first(name: &str) -> String {
    let mut chars = name.chars();
    chars
        .next()
        .map(|c| c.to_lowercase().chain(chars).collect())
        .unwrap_or_default()
}

/// What filters append to a field's name.
fn filter_suffixes(kind: FieldKind, list: bool) -> &'static [&'static str] {
    match (kind, list) {
        (FieldKind::Relation(_), true) => &["_every", "_some", "_none"],
        (FieldKind::Relation(_), false) | (FieldKind::Scalar(_) | FieldKind::Enum(_), true) => &[],
        (FieldKind::Scalar(ScalarType::Json), _) => &[],
        (FieldKind::Scalar(ScalarType::Boolean), _) => &["_not"],
        (FieldKind::Enum(_) | FieldKind::Scalar(ScalarType::Uuid), _) => {
            &["_not", "_in", "_not_in"]
        }
        (FieldKind::Scalar(ScalarType::Int | ScalarType::Float | ScalarType::DateTime), _) => {
            &["_not", "_in", "_not_in", "_lt", "_lte", "_gt", "_gte"]
        }
        (FieldKind::Scalar(ScalarType::Id | ScalarType::String), _) => &[
            "_not",
            "_in",
            "_not_in",
            "_lt",
            "_lte",
            "_gt",
            "_gte",
            "_contains",
            "_not_contains",
            "_starts_with",
            "_not_starts_with",
            "_ends_with",
            "_not_ends_with",
        ],
    }
}

fn check_filters(model: &Model, places: &ModelPlaces, findings: &mut Findings) {
    let mut keys: HashMap<String, &str> = HashMap::new();
    for field in &model.fields {
        for suffix in filter_suffixes(field.kind, field.list) {
            keys.insert(format!("{}{suffix}", field.name), &field.name);
        }
    }
    for (field, at) in model.fields.iter().zip(&places.fields) {
        if let Some(other) = keys.get(&field.name) {
            findings.add(
                *at,
                format!("`{}` is also a filter on the field `{other}`", field.name),
                "rename one of the two; `@db(name:)` keeps the column's name",
            );
        }
    }
}

fn check_columns(whole: &DataModel, model: &Model, places: &ModelPlaces, findings: &mut Findings) {
    let mut seen: HashMap<&str, &str> = HashMap::new();
    for (field, at) in model.fields.iter().zip(&places.fields) {
        let in_this_table = match field.relation() {
            None => field.is_column(),
            Some(r) => matches!(
                &whole.relation(r.relation).storage,
                RelationStorage::Inline { side, .. } if *side == r.side
            ),
        };
        if !in_this_table {
            continue;
        }
        if let Some(other) = seen.insert(&field.column, &field.name) {
            findings.add(
                *at,
                format!(
                    "the fields `{other}` and `{}` share the column `{}`",
                    field.name, field.column
                ),
                "give one of them another `@db(name:)`",
            );
        }
    }
}

fn check_tables(
    model: &DataModel,
    models: &[ModelPlaces],
    relation_places: &[usize],
    findings: &mut Findings,
) {
    let mut tables: Vec<(String, String, usize)> = Vec::new();
    for (one, places) in model.models.iter().zip(models) {
        tables.push((
            one.table.clone(),
            format!("the model `{}`", one.name),
            places.name,
        ));
        for (field, at) in one
            .fields
            .iter()
            .zip(&places.fields)
            .filter(|(f, _)| f.is_scalar_list())
        {
            let owner = format!("the list `{}.{}`", one.name, field.name);
            tables.push((one.list_table(field), owner, *at));
        }
    }
    for (relation, at) in model.relations.iter().zip(relation_places) {
        if let RelationStorage::Table { table, .. } = &relation.storage {
            tables.push((
                table.clone(),
                format!("the relation `{}`", relation.name),
                *at,
            ));
        }
    }
    let mut seen: HashMap<&str, &str> = HashMap::new();
    for (table, owner, at) in &tables {
        check_identifier("table", table, *at, findings);
        if let Some(other) = seen.insert(table, owner) {
            findings.add(
                *at,
                format!("{other} and {owner} share the table `{table}`"),
                "give one of them another name, or another `@db(name:)`",
            );
        }
    }
    // In PostgreSQL a sequence's name must differ from those of tables, too.
    let sequences = model.models.iter().zip(models).filter_map(|(one, places)| {
        let at = places.fields.get(one.id.0)?;
        let sequence = &one.id_field().sequence.as_ref()?.name;
        Some((sequence, format!("the ids of `{}`", one.name), *at))
    });
    let sequences: Vec<_> = sequences.collect();
    for (sequence, owner, at) in &sequences {
        if let Some(other) = seen.insert(sequence, owner) {
            findings.add(
                *at,
                format!("{other} and {owner} share the name `{sequence}` in the database"),
                "give the sequence a name of its own: `@sequence(name:)`",
            );
        }
    }
}

fn check_relation_tables(model: &DataModel, places: &[usize], findings: &mut Findings) {
    for (relation, at) in model.relations.iter().zip(places) {
        let RelationStorage::Table {
            table,
            a_column,
            b_column,
            id_column,
        } = &relation.storage
        else {
            continue;
        };
        let columns = [Some(a_column), Some(b_column), id_column.as_ref()];
        let mut seen = HashSet::new();
        for column in columns
            .into_iter()
            .flatten()
            .filter(|column| !seen.insert(*column))
        {
            findings.add(
                *at,
                format!("two fields of the relation table `{table}` share the column `{column}`"),
                "give one of them another `@db(name:)`",
            );
        }
    }
}

/// The known name that was probably meant, for a message's remedy.
pub(super) fn did_you_mean<'a>(
    name: &str,
    known: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let lower = name.to_lowercase();
    known
        .map(|candidate| (distance(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance * 3 <= candidate.len().max(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance between two short names.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(80).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(80).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let change = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
