//! Writes that must be done: a small model of what a write names and changes. All that they name is the viewer's to write, and so
//! is all that they leave; anyone who refuses one of them refuses too much.

use gom_engine::datamodel::{FieldId, ModelId, RelationStorage};
use gom_engine::schema::OutputMeaning;
use serde_json::{Map, Value, json};

use crate::effects::State;
use crate::requests::{Selected, What, field_of};
use crate::sight::Sight;
use crate::writes::{KEY, Write};
use gom_test_support::dice::Dice;
use gom_test_support::random::world::World;

/// Ties what is tied already: nothing but stamps and times may change.
pub fn tie_again(
    world: &World,
    schema: &gom_engine::schema::Schema,
    sight: &Sight,
    dice: &mut Dice,
) -> Option<Write> {
    let publication = world.model.model_named("Publication")?;
    let own =
        |model: ModelId, row: usize| sight.visible[model.0][row] && sight.writable[model.0][row];
    let mut places: Vec<(ModelId, usize, FieldId, Vec<usize>)> = Vec::new();
    for model in world
        .model
        .model_ids()
        .filter(|model| *model != publication)
    {
        let definition = world.model.model(model);
        for row in (0..world.rows[model.0].len()).filter(|row| own(model, *row)) {
            for field in definition.field_ids() {
                let Some(relation) = definition.field(field).relation() else {
                    continue;
                };
                let partners = world.partners(relation, row);
                // The shop has other rules for these.
                if relation.target == publication || partners.is_empty() {
                    continue;
                }
                let storage = &world.model.relation(relation.relation).storage;
                let held_there = matches!(storage, RelationStorage::Inline { side, .. } if *side != relation.side);
                let may_tie = |partner: &usize| {
                    sight.visible[relation.target.0][*partner]
                        && (!held_there || own(relation.target, *partner))
                };
                if partners.iter().all(may_tie) {
                    places.push((model, row, field, partners));
                }
            }
        }
    }
    if places.is_empty() {
        return None;
    }
    let (model, row, field, partners) = dice.pick(&places).clone();
    let definition = world.model.model(model);
    let relation = definition.field(field).relation()?;
    let unique = |model: ModelId, row: usize| json!({ &world.model.model(model).id_field().name: world.id(model, row) });
    let all: Vec<Value> = partners
        .iter()
        .map(|partner| unique(relation.target, *partner))
        .collect();
    let nested = match definition.field(field).list {
        true if dice.chance(60) => json!({ "set": all }),
        true => json!({ "connect": [dice.pick(&all)] }),
        false => json!({ "connect": all[0] }),
    };
    let mut arguments = Map::new();
    arguments.insert("where".into(), unique(model, row));
    arguments.insert(
        "data".into(),
        json!({ &definition.field(field).name: nested }),
    );
    let id = Selected {
        key: "k".into(),
        name: definition.id_field().name.clone(),
        what: What::Column(definition.id),
    };
    let meaning = OutputMeaning::Update(model);
    Some(Write {
        name: field_of(schema, schema.mutation, meaning),
        meaning,
        arguments,
        fields: vec![id],
    })
}

/// The links are what they were, and so are all rows but for who wrote them when.
pub fn is_as_before(before: &State, after: &State) -> Result<(), String> {
    if before.world.links != after.world.links {
        return Err("links have changed".into());
    }
    for (model, (old, new)) in before.world.rows.iter().zip(&after.world.rows).enumerate() {
        let definition = before.world.model.model(ModelId(model));
        let kept: Vec<usize> = (0..definition.fields.len())
            .filter(|field| {
                !["updatedBy", "updatedAt"].contains(&definition.fields[*field].name.as_str())
            })
            .collect();
        let shown = |rows: &[Vec<Value>]| -> Vec<Vec<Value>> {
            rows.iter()
                .map(|row| kept.iter().map(|field| row[*field].clone()).collect())
                .collect()
        };
        if shown(old) != shown(new) {
            return Err(format!("rows of {} have changed", definition.name));
        }
    }
    Ok(())
}

/// Whether nothing but columns of a row is written that the viewer may write.
pub fn writes_columns_of_an_own_row(before: &State, write: &Write) -> bool {
    let OutputMeaning::Update(model) = write.meaning else {
        return false;
    };
    let world = &before.world;
    let definition = world.model.model(model);
    if definition.name == "Publication" {
        return false;
    }
    let id = write.arguments["where"].get(&definition.id_field().name);
    let row = (0..world.rows[model.0].len()).find(|row| Some(world.id(model, *row)) == id);
    let own = row.is_some_and(|row| {
        before.sight.visible[model.0][row] && before.sight.writable[model.0][row]
    });
    let data = write.arguments["data"].as_object();
    own && data.is_some_and(|data| {
        data.keys().all(|name| {
            definition.field_named(name).is_some_and(|field| {
                let field = definition.field(field);
                // A new unique value may be taken; an id decides whose the row is.
                field.relation().is_none() && !field.unique
            })
        })
    })
}

/// The nested verbs of a document's data.
pub fn verbs(value: &Value, found: &mut Vec<&'static str>) {
    const VERBS: [&str; 9] = [
        "create",
        "update",
        "upsert",
        "delete",
        "connect",
        "set",
        "disconnect",
        "updateMany",
        "deleteMany",
    ];
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                found.extend(VERBS.iter().find(|verb| *verb == key).copied());
                verbs(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| verbs(item, found)),
        _ => {}
    }
}

/// Where a refusal is not right, why.
pub fn refused_too_much(
    before: &State,
    write: &Write,
    codes: &[(String, String)],
) -> Option<String> {
    let refused = codes
        .iter()
        .any(|(code, path)| code == "FORBIDDEN" && path == KEY);
    (refused && writes_columns_of_an_own_row(before, write))
        .then(|| "refused, though it writes columns of a row that is the viewer's".to_owned())
}

/// Whether the shop's own rules may refuse the write whatever rows it concerns: writes of publications, deletions that cascade
/// to customers or publications, and chosen ids.
pub fn has_rules_of_its_own(world: &World, write: &Write) -> bool {
    let deleted = matches!(
        write.meaning,
        OutputMeaning::Delete(_) | OutputMeaning::DeleteMany(_)
    );
    let model = world.model.model(write.model()).name.as_str();
    let data = Value::Object(write.arguments.clone());
    let mut nested = Vec::new();
    verbs(&data, &mut nested);
    deleted && ["Bp", "Promotion", "User"].contains(&model)
        || nested.iter().any(|verb| verb.starts_with("delete"))
        || chooses_an_id(&data)
        || format!("{} {data}", write.name)
            .to_lowercase()
            .contains("publication")
}

pub fn nests(write: &Write) -> bool {
    let mut nested = Vec::new();
    verbs(&Value::Object(write.arguments.clone()), &mut nested);
    // `create` and `update` of an upsert are verbs, too, and arguments.
    let branches = if matches!(write.meaning, OutputMeaning::Upsert(_)) {
        2
    } else {
        0
    };
    nested.len() > branches
}

/// An id beside other values is no `where`.
fn chooses_an_id(value: &Value) -> bool {
    match value {
        Value::Object(entries) => {
            entries.len() > 1 && entries.contains_key("uid") || entries.values().any(chooses_an_id)
        }
        Value::Array(items) => items.iter().any(chooses_an_id),
        _ => false,
    }
}
