//! What the triggers wrote to the log.

use gom_engine::events::{LogKind, LogRow, NodeChange};
use tokio_postgres::Client;

use crate::world::{SCHEMA, World};

/// Runs a transaction and has it stamped: what it changed.
pub async fn run(client: &Client, world: &World, sql: &str) -> Vec<NodeChange> {
    client
        .batch_execute("select gom.stamp_changes()")
        .await
        .unwrap();
    let position = "select position from gom.feed";
    let before: i64 = client.query_one(position, &[]).await.unwrap().get(0);
    client
        .batch_execute(sql)
        .await
        .unwrap_or_else(|error| panic!("{error:?}\n{sql}"));
    client
        .batch_execute("select gom.stamp_changes()")
        .await
        .unwrap();
    let after: i64 = client.query_one(position, &[]).await.unwrap().get(0);
    assert!(after <= before + 1, "one transaction");
    world.planner.changes(
        &rows(client, after, before).await,
        u64::try_from(after).unwrap(),
        0,
    )
}

async fn rows(client: &Client, position: i64, before: i64) -> Vec<LogRow> {
    let sql = "select table_name, kind::text, node, partner, columns, old::text, links::text from gom.change c \
               join gom.stamp s on c.transaction = s.transaction and c.sequence between s.first_sequence and s.last_sequence \
               where s.position = $1 and s.position > $2 and schema_name = $3 order by sequence";
    let rows = client
        .query(sql, &[&position, &before, &SCHEMA])
        .await
        .unwrap();
    let row = |row: &tokio_postgres::Row| LogRow {
        table: row.get(0),
        kind: LogKind::of(row.get::<_, &str>(1).chars().next().unwrap()).unwrap(),
        node: row.get(2),
        partner: row.get(3),
        columns: row.get::<_, Option<Vec<String>>>(4).unwrap_or_default(),
        old: row.get(5),
        links: row.get(6),
    };
    rows.iter().map(row).collect()
}
