//! The rows of a draft's tables: written and read by SQL of the test's own.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Client;

use crate::{SCHEMA, fill};
use gom_test_support::dice::Dice;
use gom_test_support::random::drafts::{
    Draft, End, FieldDraft, IdKind, Kind, ModelDraft, RelationDraft,
};

/// By keys of the draft, which no rename changes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    pub ids: BTreeMap<usize, BTreeSet<String>>,
    /// By model, field and id.
    pub cells: BTreeMap<(usize, usize, String), Option<String>>,
    pub lists: BTreeMap<(usize, usize, String), Vec<String>>,
    /// By relation: an id at its first end, and one at its second.
    pub links: BTreeMap<usize, BTreeSet<(String, String)>>,
}

impl Rows {
    pub fn of_field(&self, model: usize, field: usize) -> impl Iterator<Item = &Option<String>> {
        self.cells
            .iter()
            .filter(move |((m, f, _), _)| (*m, *f) == (model, field))
            .map(|(_, cell)| cell)
    }

    pub fn of_field_mut(
        &mut self,
        model: usize,
        field: usize,
    ) -> impl Iterator<Item = &mut Option<String>> {
        self.cells
            .iter_mut()
            .filter(move |((m, f, _), _)| (*m, *f) == (model, field))
            .map(|(_, cell)| cell)
    }

    pub fn forget_field(&mut self, field: usize) {
        self.cells.retain(|(_, f, _), _| *f != field);
        self.lists.retain(|(_, f, _), _| *f != field);
    }

    /// How many partners each row at an end of a relation has.
    pub fn partners(&self, relation: &RelationDraft, end: usize) -> impl Iterator<Item = usize> {
        let links = &self.links[&relation.key];
        self.ids[&relation.ends[end].model].iter().map(move |id| {
            links
                .iter()
                .filter(|(a, b)| if end == 0 { a == id } else { b == id })
                .count()
        })
    }

    /// What is there now.
    pub async fn read(client: &Client, draft: &Draft) -> Rows {
        let mut rows = Rows::default();
        for model in &draft.models {
            let ids = pairs(
                client,
                &format!("SELECT id::text, '' FROM {}", table(model.stored())),
            )
            .await;
            rows.ids.insert(
                model.key,
                ids.into_iter().filter_map(|(id, _)| id).collect(),
            );
            for field in &model.fields {
                rows.read_field(client, model, field).await;
            }
        }
        for relation in &draft.relations {
            let query = links_of(draft, relation);
            let links = pairs(client, &query)
                .await
                .into_iter()
                .filter_map(|(a, b)| Some((a?, b?)));
            rows.links.insert(relation.key, links.collect());
        }
        rows
    }

    async fn read_field(&mut self, client: &Client, model: &ModelDraft, field: &FieldDraft) {
        if field.list {
            let list = table(&format!("{}_{}", model.stored(), field.stored()));
            let query = format!(
                "SELECT \"nodeId\"::text, {} FROM {list} ORDER BY position",
                shown("value", field.kind)
            );
            for (id, item) in pairs(client, &query).await {
                self.lists
                    .entry((model.key, field.key, id.unwrap()))
                    .or_default()
                    .push(item.unwrap());
            }
            return;
        }
        let query = format!(
            "SELECT id::text, {} FROM {}",
            shown(field.stored(), field.kind),
            table(model.stored())
        );
        for (id, cell) in pairs(client, &query).await {
            self.cells.insert((model.key, field.key, id.unwrap()), cell);
        }
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn table(name: &str) -> String {
    format!("\"{SCHEMA}\".{}", quoted(name))
}

/// A column's value as text.
fn shown(column: &str, kind: Kind) -> String {
    let column = quoted(column);
    if kind == Kind::Float {
        format!("{column}::float8::text")
    } else {
        format!("{column}::text")
    }
}

/// The columns of a table of links: by the ends' models in their alphabet, of a model with itself by the fields.
fn sides(draft: &Draft, relation: &RelationDraft) -> [&'static str; 2] {
    let name = |end: usize| {
        let field = relation.ends[end].field.clone().unwrap_or_default();
        (draft.model(relation.ends[end].model).name.clone(), field)
    };
    if name(0) <= name(1) {
        ["A", "B"]
    } else {
        ["B", "A"]
    }
}

/// An end's id and that of the other one.
fn links_of(draft: &Draft, relation: &RelationDraft) -> String {
    let Some(inline) = relation.inline else {
        let [a, b] = sides(draft, relation);
        return format!(
            "SELECT \"{a}\"::text, \"{b}\"::text FROM {}",
            table(&format!("_{}", relation.name))
        );
    };
    let column = quoted(&inline_column(relation, inline));
    let own = table(draft.model(relation.ends[inline].model).stored());
    let [a, b] = if inline == 0 {
        ["id".to_owned(), column]
    } else {
        [column, "id".to_owned()]
    };
    format!("SELECT {a}::text, {b}::text FROM {own}")
}

pub fn inline_column(relation: &RelationDraft, inline: usize) -> String {
    let end = &relation.ends[inline];
    end.column.clone().or_else(|| end.field.clone()).unwrap()
}

async fn pairs(client: &Client, query: &str) -> Vec<(Option<String>, Option<String>)> {
    let rows = client
        .query(query, &[])
        .await
        .unwrap_or_else(|error| panic!("{query}: {error:?}"));
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Writes some rows that the draft allows. `number` counts all rows that there ever were.
pub async fn write(client: &Client, draft: &Draft, number: &mut usize, dice: &mut Dice) {
    let mut sql = Vec::new();
    for model in &draft.models {
        // A row that must have a partner might find none.
        let needs_partner = |end: &End| end.model == model.key && end.required;
        let has_needs = draft
            .relations
            .iter()
            .flat_map(|relation| &relation.ends)
            .any(needs_partner);
        for _ in 0..if has_needs { 0 } else { dice.between(0, 3) } {
            *number += 1;
            let id = id_of(model.id, *number);
            let mut names = vec!["id".to_owned()];
            let mut values = vec![format!("'{id}'")];
            for field in &model.fields {
                if field.list {
                    let list = table(&format!("{}_{}", model.stored(), field.stored()));
                    for position in 1..=dice.below(3) {
                        let value = value(draft, field, *number, dice);
                        sql.push((
                            1,
                            format!(
                                "INSERT INTO {list} VALUES ('{id}', {}, {value})",
                                position * 1_000
                            ),
                        ));
                    }
                } else if field.required || dice.chance(60) {
                    names.push(quoted(field.stored()));
                    values.push(value(draft, field, *number, dice));
                }
            }
            let (names, values) = (names.join(", "), values.join(", "));
            sql.push((
                0,
                format!(
                    "INSERT INTO {} ({names}) VALUES ({values})",
                    table(model.stored())
                ),
            ));
        }
    }
    sql.sort_by_key(|(phase, _)| *phase);
    for (_, statement) in sql {
        fill(client, &statement).await;
    }
    let mut rows = Rows::read(client, draft).await;
    for relation in &draft.relations {
        link(client, draft, relation, &mut rows, dice).await;
    }
}

async fn link(
    client: &Client,
    draft: &Draft,
    relation: &RelationDraft,
    rows: &mut Rows,
    dice: &mut Dice,
) {
    let [at_a, at_b] = [0, 1].map(|end| {
        rows.ids[&relation.ends[end].model]
            .iter()
            .cloned()
            .collect::<Vec<_>>()
    });
    for a in &at_a {
        for b in &at_b {
            let links = &rows.links[&relation.key];
            let free = |end: usize, id: &String| {
                relation.ends[end].list
                    || !links
                        .iter()
                        .any(|(a, b)| if end == 0 { a == id } else { b == id })
            };
            if links.contains(&(a.clone(), b.clone()))
                || !free(0, a)
                || !free(1, b)
                || !dice.chance(40)
            {
                continue;
            }
            let statement = match relation.inline {
                Some(inline) => {
                    let (own, partner) = if inline == 0 { (a, b) } else { (b, a) };
                    let own_table = table(draft.model(relation.ends[inline].model).stored());
                    let column = quoted(&inline_column(relation, inline));
                    format!("UPDATE {own_table} SET {column} = '{partner}' WHERE id = '{own}'")
                }
                None => {
                    let columns = sides(draft, relation).map(quoted).join(", ");
                    format!(
                        "INSERT INTO {} ({columns}) VALUES ('{a}', '{b}')",
                        table(&format!("_{}", relation.name))
                    )
                }
            };
            fill(client, &statement).await;
            rows.links
                .get_mut(&relation.key)
                .unwrap()
                .insert((a.clone(), b.clone()));
        }
    }
}

fn id_of(kind: IdKind, number: usize) -> String {
    match kind {
        IdKind::Id => format!("row{number}"),
        IdKind::Uuid => format!("{number:08x}-0000-4000-8000-000000000000"),
        IdKind::Int => number.to_string(),
    }
}

/// A literal.
fn value(draft: &Draft, field: &FieldDraft, number: usize, dice: &mut Dice) -> String {
    const TEXTS: [&str; 8] = ["a", "b", "7", "-3", "it''s \"q\"", "", "é", "a\\b"];
    let value = match field.kind {
        Kind::Text if field.unique => format!("u{number}"),
        Kind::Text => (*dice.pick(&TEXTS)).to_owned(),
        Kind::Int if field.unique => number.to_string(),
        Kind::Int => dice.below(4).to_string(),
        Kind::Float => (*dice.pick(&["0.5", "1", "-2.25"])).to_owned(),
        Kind::Boolean => dice.chance(50).to_string(),
        Kind::Time => (*dice.pick(&["2020-01-01 00:00:00", "2024-02-29 23:59:59.999"])).to_owned(),
        Kind::Json => (*dice.pick(&["{}", "[1, null]"])).to_owned(),
        Kind::Uuid => format!("{:08x}-0000-4000-8000-00000000000f", dice.below(5)),
        Kind::Enum => dice.pick(&draft.colors).clone(),
    };
    format!("'{value}'")
}
