//! Runs the engine's catalog queries. Knows nothing of what their rows mean.

use gom_engine::migrate::introspect::{
    COLUMNS_QUERY, CONSTRAINTS_QUERY, CatalogRows, ColumnRow, ConstraintRow, INDEXES_QUERY,
    IndexRow, SCHEMA_QUERY, SEQUENCES_QUERY, TABLES_QUERY, found,
};
use gom_engine::migrate::{
    DatabaseLayout, FoundTrigger, FoundWatch, TRIGGERS_QUERY, WATCHES_QUERY,
};
use tokio_postgres::{Error, GenericClient};

/// What the schema holds, as this connection sees it.
pub async fn introspect<C: GenericClient>(
    client: &C,
    schema: &str,
) -> Result<DatabaseLayout, Error> {
    let mut rows = CatalogRows {
        schema_exists: client.query_opt(SCHEMA_QUERY, &[&schema]).await?.is_some(),
        ..CatalogRows::default()
    };
    if !rows.schema_exists {
        return Ok(found(schema, rows));
    }
    rows.tables = client
        .query(TABLES_QUERY, &[&schema])
        .await?
        .iter()
        .map(|r| r.get(0))
        .collect();
    for row in client.query(COLUMNS_QUERY, &[&schema]).await? {
        rows.columns.push(ColumnRow {
            table: row.get(0),
            name: row.get(1),
            sql_type: row.get(2),
            nullable: row.get(3),
            default: row.get(4),
            sequence: row.get(5),
        });
    }
    for row in client.query(CONSTRAINTS_QUERY, &[&schema]).await? {
        rows.constraints.push(ConstraintRow {
            table: row.get(0),
            name: row.get(1),
            kind: row.get(2),
            columns: row.get(3),
            target_table: row.get(4),
            target_columns: row.get(5),
            on_delete: row.get(6),
            plain: row.get(7),
        });
    }
    for row in client.query(INDEXES_QUERY, &[&schema]).await? {
        rows.indexes.push(IndexRow {
            table: row.get(0),
            name: row.get(1),
            unique: row.get(2),
            plain: row.get(3),
            constraint: row.get(4),
            columns: row.get(5),
            descending: row.get(6),
        });
    }
    let sequences = client.query(SEQUENCES_QUERY, &[&schema]).await?;
    rows.sequences = sequences
        .iter()
        .map(|r| (r.get(0), r.get(1), r.get(2)))
        .collect();
    Ok(found(schema, rows))
}

/// The change log's triggers and functions, as far as they concern the schema.
pub async fn triggers<C: GenericClient>(
    client: &C,
    schema: &str,
) -> Result<Vec<FoundTrigger>, Error> {
    let rows = client.query(TRIGGERS_QUERY, &[&schema]).await?;
    let found = |row: &tokio_postgres::Row| FoundTrigger {
        table: row.get(0),
        function: row.get(1),
        source: row.get(2),
    };
    Ok(rows.iter().map(found).collect())
}

/// The triggers on the change log that concern the schema.
pub async fn watches<C: GenericClient>(client: &C, schema: &str) -> Result<Vec<FoundWatch>, Error> {
    let rows = client.query(WATCHES_QUERY, &[&schema]).await?;
    let found = |row: &tokio_postgres::Row| FoundWatch {
        name: row.get(0),
        source: row.get(1),
    };
    Ok(rows.iter().map(found).collect())
}
