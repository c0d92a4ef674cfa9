//! From the syntax to the checked model: reads every definition, then looks at what only shows
//! between them.

use std::collections::HashMap;

use super::directives::read_type_directives;
use super::error::Findings;
use super::fields::{self, KnownType, KnownTypes, UnresolvedField};
use super::model::{DataModel, Enum, FieldId, Model, ModelId, RelationRef, ScalarType};
use super::names::{ModelPlaces, check_clashes, check_identifier, check_type_name};
use super::relations::{RelationField, RelationTableText, Resolved, resolve};
use super::syntax::{Document, EnumText, TypeText};

/// A type that becomes a model, with its table.
struct ModelText<'a> {
    text: &'a TypeText,
    table: String,
}

/// `None` exactly when `findings` holds something.
pub(super) fn check(document: &Document, findings: &mut Findings) -> Option<DataModel> {
    let mut taken: HashMap<&str, &str> = HashMap::new();
    let (enums, enum_places) = read_enums(&document.enums, &mut taken, findings);
    let mut models: Vec<ModelText> = Vec::new();
    let mut table_texts: Vec<ModelText> = Vec::new();
    for text in &document.types {
        if !check_new_name(&text.name.value, text.name.at, "type", &mut taken, findings) {
            continue;
        }
        let directives = read_type_directives(&text.directives, findings);
        let table_at = directives.db.as_ref().map_or(text.name.at, |db| db.at);
        let table = directives
            .db
            .map_or_else(|| text.name.value.clone(), |db| db.value);
        check_identifier("table", &table, table_at, findings);
        let kind = if directives.relation_table {
            &mut table_texts
        } else {
            &mut models
        };
        kind.push(ModelText { text, table });
    }
    if models.is_empty() && enums.is_empty() && findings.is_empty() {
        findings.add(
            0,
            "the datamodel has no type",
            "declare one: `type Order { id: ID! @id }`",
        );
    }
    let model_names: Vec<String> = models.iter().map(|m| m.text.name.value.clone()).collect();
    let table_names: Vec<String> = table_texts
        .iter()
        .map(|m| m.text.name.value.clone())
        .collect();
    let known = KnownTypes {
        models: &model_names,
        enums: &enums,
        relation_tables: &table_names,
    };

    let drafts: Vec<Vec<UnresolvedField>> = models
        .iter()
        .map(|m| read_fields(m, &known, findings))
        .collect();
    let ids: Vec<Option<FieldId>> = models
        .iter()
        .zip(&drafts)
        .map(|(m, drafts)| find_id(m.text, drafts, findings))
        .collect();
    let tables: Vec<RelationTableText> = table_texts
        .iter()
        .filter_map(|t| read_relation_table(t, &known, findings))
        .collect();
    let resolved = resolve(&model_names, &relation_fields(&drafts), &tables, findings);
    if !findings.is_empty() {
        return None;
    }
    let places: Vec<ModelPlaces> = models
        .iter()
        .zip(&drafts)
        .map(|(m, drafts)| ModelPlaces {
            name: m.text.name.at,
            fields: drafts.iter().map(|d| d.at).collect(),
        })
        .collect();
    let Resolved {
        relations,
        places: relation_places,
        fields,
    } = resolved;
    let mut refs: HashMap<(ModelId, FieldId), RelationRef> = fields.into_iter().collect();
    let finished =
        models
            .into_iter()
            .zip(drafts)
            .zip(ids)
            .enumerate()
            .map(|(index, ((m, drafts), id))| {
                let fields = drafts.into_iter().enumerate();
                let fields = fields
                    .map(|(field, draft)| {
                        draft.finish(refs.remove(&(ModelId(index), FieldId(field))))
                    })
                    .collect::<Option<Vec<_>>>()?;
                Some(Model {
                    name: m.text.name.value.clone(),
                    table: m.table,
                    fields,
                    id: id?,
                })
            });
    let models = finished.collect::<Option<Vec<_>>>()?;
    let model = DataModel {
        models,
        enums,
        relations,
        watched: Vec::new(),
        followed: Vec::new(),
        lists: Vec::new(),
    };
    check_clashes(&model, &places, &enum_places, &relation_places, findings);
    findings.is_empty().then_some(model)
}

/// Whether the name is still free; reports it otherwise.
fn check_new_name<'a>(
    name: &'a str,
    at: usize,
    kind: &'a str,
    taken: &mut HashMap<&'a str, &'a str>,
    findings: &mut Findings,
) -> bool {
    check_type_name(name, at, findings);
    match taken.insert(name, kind) {
        None => true,
        Some(other) => {
            findings.add(
                at,
                format!("the {other} `{name}` is declared already"),
                "rename or remove one of the two",
            );
            false
        }
    }
}

fn read_enums<'a>(
    texts: &'a [EnumText],
    taken: &mut HashMap<&'a str, &'a str>,
    findings: &mut Findings,
) -> (Vec<Enum>, Vec<usize>) {
    let mut enums = Vec::new();
    let mut places = Vec::new();
    for text in texts {
        if !check_new_name(&text.name.value, text.name.at, "enum", taken, findings) {
            continue;
        }
        let name = text.name.value.clone();
        if text.values.is_empty() {
            findings.add(
                text.name.at,
                format!("the enum `{name}` has no values"),
                "give it at least one",
            );
        }
        let mut values: Vec<String> = Vec::new();
        for value in &text.values {
            if value.value.starts_with("__") {
                findings.add(
                    value.at,
                    format!("the value `{}` begins with two underscores", value.value),
                    "GraphQL keeps such names for itself; choose another",
                );
            }
            if values.contains(&value.value) {
                let message = format!("the enum `{name}` has the value `{}` twice", value.value);
                findings.add(value.at, message, "remove one of the two");
            } else {
                values.push(value.value.clone());
            }
        }
        enums.push(Enum { name, values });
        places.push(text.name.at);
    }
    (enums, places)
}

fn read_fields(
    model: &ModelText,
    known: &KnownTypes,
    findings: &mut Findings,
) -> Vec<UnresolvedField> {
    let mut drafts: Vec<UnresolvedField> = Vec::new();
    for text in &model.text.fields {
        if drafts.iter().any(|d| d.name == text.name.value) {
            findings.add(
                text.name.at,
                format!(
                    "`{}` has the field `{}` twice",
                    model.text.name.value, text.name.value
                ),
                "rename or remove one of the two",
            );
            continue;
        }
        drafts.extend(fields::read(text, &model.table, known, findings));
    }
    drafts
}

fn find_id(
    model: &TypeText,
    drafts: &[UnresolvedField],
    findings: &mut Findings,
) -> Option<FieldId> {
    let mut ids = drafts
        .iter()
        .enumerate()
        .filter(|(_, d)| d.id_strategy.is_some());
    let first = ids.next();
    for (_, draft) in ids {
        findings.add(
            draft.at,
            format!("`{}` has a second id, `{}`", model.name.value, draft.name),
            "keep one `@id`; the other may be `@unique`",
        );
    }
    if first.is_none() && !misspelt_id(model) {
        let remedy = match drafts.iter().find(|d| d.name == "id" && is_id_type(d.kind)) {
            Some(_) => "mark the id: `id: ID! @id`",
            None => "add `id: ID! @id`",
        };
        findings.add(
            model.name.at,
            format!("`{}` has no id", model.name.value),
            remedy,
        );
    }
    first.map(|(index, _)| FieldId(index))
}

fn is_id_type(kind: KnownType) -> bool {
    matches!(
        kind,
        KnownType::Scalar(ScalarType::Id | ScalarType::Uuid | ScalarType::Int)
    )
}

/// An id whose type is unknown was reported already; that the model lacks one would only distract.
fn misspelt_id(model: &TypeText) -> bool {
    model
        .fields
        .iter()
        .any(|f| f.directives.iter().any(|d| d.name.value == "id"))
}

fn relation_fields(drafts: &[Vec<UnresolvedField>]) -> Vec<RelationField<'_>> {
    let mut fields = Vec::new();
    for (model, drafts) in drafts.iter().enumerate() {
        for (field, draft) in drafts.iter().enumerate() {
            if let KnownType::Model(target) = draft.kind {
                fields.push(RelationField {
                    at: draft.at,
                    model: ModelId(model),
                    field: FieldId(field),
                    target,
                    name: &draft.name,
                    column: &draft.column,
                    list: draft.list,
                    required: draft.required,
                    text: &draft.relation,
                    db_at: draft.db_at,
                });
            }
        }
    }
    fields
}

fn read_relation_table(
    table: &ModelText,
    known: &KnownTypes,
    findings: &mut Findings,
) -> Option<RelationTableText> {
    let drafts = read_fields(table, known, findings);
    let complete = drafts.len() == table.text.fields.len();
    let mut ends = Vec::new();
    let mut id_column = None;
    let mut wrong = None;
    for draft in drafts {
        match draft.kind {
            KnownType::Model(target) if !draft.list => {
                ends.push((draft.name, draft.column, target))
            }
            KnownType::Scalar(ScalarType::Id)
                if draft.id_strategy.is_some() && id_column.is_none() =>
            {
                id_column = Some(draft.column);
            }
            _ => wrong = wrong.or(Some(draft.at)),
        }
    }
    let name = table.text.name.clone();
    match <[_; 2]>::try_from(ends) {
        Ok(ends) if wrong.is_none() => Some(RelationTableText {
            name,
            table: table.table.clone(),
            ends,
            id_column,
        }),
        // What is missing was reported as an unknown type.
        _ if !complete => None,
        _ => {
            findings.add(
                wrong.unwrap_or(name.at),
                format!(
                    "the relation table `{}` needs two fields that lead to models, and nothing else",
                    name.value
                ),
                "write one field for each end, and `id: ID! @id` if the table has an id",
            );
            None
        }
    }
}
