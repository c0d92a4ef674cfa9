//! What the log says of a transaction, told from the rows before and after it.

use std::collections::BTreeMap;

use gom_engine::datamodel::RelationStorage;
use gom_engine::events::{LogKind, LogRow};
use serde_json::{Map, Value};
use tokio_postgres::Client;

use crate::world::{SCHEMA, World};

/// All rows as JSON, by table and by what names a row in it.
#[derive(Debug, Default, Clone)]
pub struct Snapshot {
    tables: BTreeMap<String, Table>,
}

#[derive(Debug, Default, Clone)]
struct Table {
    kind: Kind,
    rows: BTreeMap<Vec<String>, Map<String, Value>>,
}

#[derive(Debug, Default, Clone)]
enum Kind {
    /// With the columns that hold links.
    #[default]
    Unknown,
    Nodes(Vec<String>),
    Links,
    List,
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Snapshot {
    pub async fn read(client: &Client, world: &World) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let model = &world.planner.physical().model;
        for id in model.model_ids() {
            let of = model.model(id);
            let links = model.relations.iter().filter_map(|relation| match &relation.storage {
                RelationStorage::Inline { side, column } if relation.end(*side).model == id => {
                    Some(column.clone())
                }
                _ => None,
            });
            let key = [of.id_field().column.as_str()];
            snapshot.table(client, &of.table, Kind::Nodes(links.collect()), &key).await;
            for field in of.fields.iter().filter(|field| field.is_scalar_list()) {
                snapshot.table(client, &of.list_table(field), Kind::List, &["nodeId", "position"]).await;
            }
        }
        for relation in &model.relations {
            if let RelationStorage::Table { table, a_column, b_column, .. } = &relation.storage {
                snapshot.table(client, table, Kind::Links, &[a_column, b_column]).await;
            }
        }
        snapshot
    }

    async fn table(&mut self, client: &Client, name: &str, kind: Kind, key: &[&str]) {
        let sql = format!("select to_jsonb(t)::text from \"{SCHEMA}\".\"{name}\" t");
        let rows = client.query(&sql, &[]).await.unwrap();
        let rows = rows.iter().map(|row| {
            let row: Map<String, Value> = serde_json::from_str(row.get(0)).unwrap();
            (key.iter().map(|column| text(&row[*column])).collect(), row)
        });
        self.tables.insert(name.to_owned(), Table { kind, rows: rows.collect() });
    }

    /// The ids of a table's rows.
    pub fn ids(&self, table: &str) -> Vec<String> {
        self.tables[table].rows.keys().map(|key| key[0].clone()).collect()
    }

    /// The rows of the log for a transaction that made these rows into others.
    pub fn changes_to(&self, after: &Snapshot) -> Vec<LogRow> {
        let mut log = Vec::new();
        let none = Table::default();
        for (name, table) in &after.tables {
            let before = self.tables.get(name).unwrap_or(&none);
            for (key, row) in &before.rows {
                match table.rows.get(key) {
                    None => log.push(one(name, &table.kind, key, Some(row), None)),
                    Some(new) if new != row => log.push(one(name, &table.kind, key, Some(row), Some(new))),
                    Some(_) => {}
                }
            }
            let new = table.rows.iter().filter(|(key, _)| !before.rows.contains_key(*key));
            log.extend(new.map(|(key, row)| one(name, &table.kind, key, None, Some(row))));
        }
        log
    }
}

type Row<'a> = Option<&'a Map<String, Value>>;

fn one(table: &str, kind: &Kind, key: &[String], before: Row<'_>, after: Row<'_>) -> LogRow {
    let log_kind = match (kind, before, after) {
        (Kind::Nodes(_), None, _) => LogKind::Created,
        (Kind::Nodes(_), _, None) => LogKind::Deleted,
        (Kind::Nodes(_), ..) => LogKind::Updated,
        (Kind::Links, None, _) => LogKind::Linked,
        (Kind::Links, ..) => LogKind::Unlinked,
        (_, None, _) => LogKind::Listed,
        _ => LogKind::Unlisted,
    };
    let mut columns = Vec::new();
    if let (Some(before), Some(after)) = (before, after) {
        columns.extend(
            after.iter().filter(|(name, value)| before[*name] != **value).map(|(name, _)| name.clone()),
        );
    }
    let old = before.map(|row| match kind {
        Kind::List => serde_json::json!({"position": row["position"], "value": row["value"]}).to_string(),
        _ => Value::Object(row.clone()).to_string(),
    });
    let links = match (kind, after) {
        (Kind::Nodes(links), Some(row)) if !links.is_empty() => {
            let links = links.iter().map(|column| (column.clone(), row[column].clone()));
            Some(Value::Object(links.collect()).to_string())
        }
        _ => None,
    };
    LogRow {
        table: table.to_owned(),
        kind: log_kind,
        node: key[0].clone(),
        partner: matches!(kind, Kind::Links).then(|| key[1].clone()),
        columns,
        old: old.filter(|_| !matches!(kind, Kind::Links)),
        links,
    }
}
