//! What the triggers wrote to the log.

use gom_engine::events::{LogKind, LogRow};
use tokio_postgres::Client;

use crate::world::SCHEMA;

/// What was logged since `last` was 0 or was passed here before.
pub async fn log(client: &Client, last: &mut i64) -> Vec<LogRow> {
    let sql = "select sequence, table_name, kind::text, node, partner, columns, old::text, links::text from gom.change \
               where sequence > $1 and schema_name = $2 order by sequence";
    let rows = client.query(sql, &[&*last, &SCHEMA]).await.unwrap();
    *last = rows.last().map_or(*last, |row| row.get(0));
    let row = |row: &tokio_postgres::Row| LogRow {
        table: row.get(1),
        kind: LogKind::of(row.get::<_, &str>(2).chars().next().unwrap()).unwrap(),
        node: row.get(3),
        partner: row.get(4),
        columns: row.get::<_, Option<Vec<String>>>(5).unwrap_or_default(),
        old: row.get(6),
        links: row.get(7),
    };
    rows.iter().map(row).collect()
}

/// The ids of all nodes of each model, in the datamodel's order.
pub async fn ids(client: &Client, tables: impl Iterator<Item = &str>) -> Vec<Vec<String>> {
    let mut ids = Vec::new();
    for table in tables {
        let sql = format!("select id::text from \"{SCHEMA}\".\"{table}\" order by 1");
        ids.push(client.query(&sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect());
    }
    ids
}
