//! Rows to look at and to measure with: the demo shop, and the benchmark's data set. Both belong to Gom's own
//! datamodel and are written straight into its tables.

mod accounts;
mod data;
mod scale;

use gom_engine::datamodel::{DataModel, FieldKind, RelationStorage, Side};
use tokio_postgres::Client;

pub use accounts::{DEMO_PASSWORD, DemoShop, demo_logins};
use gom_server::identity::{AccountError, PasswordError};
pub use scale::PARTS;

const DEMO: &str = include_str!("demo.sql");

/// Nothing was written, or a portion of the data set is missing: the same again goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum ShopSeedError {
    /// The schema lacks a table of the shop's datamodel.
    #[error(
        "the demo shop and the benchmark's rows are of Gom's own datamodel, whose table {missing} is not in the schema \
         {schema}: run `gom migrate apply` first. Where the settings name another datamodel (datamodel.file), write rows of \
         yours through the API, with a token of `gom token`"
    )]
    NoTables {
        /// The PostgreSQL schema.
        schema: String,
        /// The first table that it lacks.
        missing: String,
    },
    /// The datamodel that is to be deployed is not the shop's.
    #[error(
        "the demo shop and the benchmark's rows are of Gom's own datamodel, and the settings name another \
         (datamodel.file), which has no {missing}: the database was left as it is. Write rows of yours through the \
         API, with a token of `gom token`"
    )]
    AnotherDatamodel {
        /// The first table or column that it lacks.
        missing: String,
    },
    /// PostgreSQL has refused a statement, or the connection was lost.
    #[error("the database refused: {0}")]
    Database(#[from] tokio_postgres::Error),
    /// The table of accounts cannot be read or written.
    #[error("the accounts of the demo shop cannot be written: {0}")]
    Account(#[from] AccountError),
    /// The password cannot be hashed.
    #[error("the accounts of the demo shop cannot be written: {0}")]
    Password(#[from] PasswordError),
}

/// Whether a datamodel has the tables and columns of the demo shop and of the benchmark's rows.
///
/// # Errors
/// If it lacks one.
pub fn check_datamodel(model: &DataModel) -> Result<(), ShopSeedError> {
    for (table, columns) in written() {
        let Some(there) = columns_of(model, table) else {
            let missing = format!("table {table}");
            return Err(ShopSeedError::AnotherDatamodel { missing });
        };
        if let Some(column) = columns.iter().find(|column| !there.contains(column)) {
            let missing = format!("column {column} in the table {table}");
            return Err(ShopSeedError::AnotherDatamodel { missing });
        }
    }
    Ok(())
}

/// The tables of the rows and the columns that they fill: as the statements say it.
fn written() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    let statements = [DEMO].into_iter().chain(PARTS.iter().map(|part| part.sql));
    let inserts = statements.flat_map(|sql| sql.split("INSERT INTO \"").skip(1));
    inserts.filter_map(|insert| {
        let (table, rest) = insert.split_once('"')?;
        let (columns, _) = rest.split_once('(')?.1.split_once(')')?;
        Some((table, columns.split('"').skip(1).step_by(2).collect()))
    })
}

/// Nothing, if the datamodel has no such table.
fn columns_of<'a>(model: &'a DataModel, table: &str) -> Option<Vec<&'a str>> {
    for relation in &model.relations {
        match &relation.storage {
            RelationStorage::Table {
                table: name,
                a_column,
                b_column,
                ..
            } if name == table => return Some(vec![a_column, b_column]),
            _ => {}
        }
    }
    let id = model
        .model_ids()
        .find(|id| model.model(*id).table == table)?;
    let fields = model.model(id).fields.iter();
    let own = fields.filter(|field| !field.list && !matches!(field.kind, FieldKind::Relation(_)));
    let links = model
        .relations
        .iter()
        .filter_map(|relation| match &relation.storage {
            RelationStorage::Inline { side, column } => {
                let end = match side {
                    Side::A => &relation.a,
                    Side::B => &relation.b,
                };
                (end.model == id).then_some(column.as_str())
            }
            RelationStorage::Table { .. } => None,
        });
    Some(
        own.map(|field| field.column.as_str())
            .chain(links)
            .collect(),
    )
}

/// Writes the demo shop, all of it or nothing. Rows that are there stay as they are. Gives the number of
/// rows of all tables that the shop is made of.
///
/// # Errors
/// If the tables are missing, or the database fails.
pub async fn demo(client: &mut Client, schema: &str) -> Result<i64, ShopSeedError> {
    check(client, schema).await?;
    let transaction = client.transaction().await?;
    transaction
        .execute(USE_SCHEMA, &[&search_path(schema), &true])
        .await?;
    transaction.batch_execute(DEMO).await?;
    let rows = transaction.query_one(COUNT_DEMO, &[]).await?.get(0);
    transaction.commit().await?;
    Ok(rows)
}

/// Writes the benchmark's data set. `progress` is called, after each portion, with what it was and how many of the
/// rows of all ([`scale_rows`]) are done.
///
/// # Errors
/// If the tables are missing, or the database fails.
pub async fn scale(
    client: &mut Client,
    schema: &str,
    mut progress: impl FnMut(&'static str, u64),
) -> Result<(), ShopSeedError> {
    check(client, schema).await?;
    client
        .execute(USE_SCHEMA, &[&search_path(schema), &false])
        .await?;
    let mut done = 0;
    for part in &PARTS {
        let statement = client.prepare(part.sql).await?;
        progress(part.label, done);
        for (first, last) in part.portions() {
            let bounds = [first, last].map(|n| i32::try_from(n).unwrap_or(i32::MAX));
            client
                .execute(&statement, &[&bounds[0], &bounds[1]])
                .await?;
            done += u64::from(last - first + 1);
            progress(part.label, done);
        }
    }
    progress("statistics", done);
    for table in scale::TABLES {
        client
            .batch_execute(&format!("VACUUM (ANALYZE) \"{table}\""))
            .await?;
    }
    Ok(())
}

/// The rows of the benchmark's data set.
pub fn scale_rows() -> u64 {
    PARTS.iter().map(|part| u64::from(part.rows)).sum()
}

/// `$1` is the search path, `$2` whether it ends with the transaction.
const USE_SCHEMA: &str = "SELECT set_config('search_path', $1, $2)";

const IS_EMPTY: &str =
    r#"SELECT NOT EXISTS (SELECT FROM "User") AND NOT EXISTS (SELECT FROM "Bp")"#;

const COUNT_DEMO: &str = r#"SELECT
    (SELECT count(*) FROM "User" WHERE "uid" LIKE 'cdemouser%')
  + (SELECT count(*) FROM "Bp" WHERE "uid" LIKE 'cdemobp%')
  + (SELECT count(*) FROM "Order" WHERE "uid" LIKE 'cdemoorder%')
  + (SELECT count(*) FROM "Item" WHERE "uid" LIKE 'cdemoitem%')
  + (SELECT count(*) FROM "Price" WHERE "uid" LIKE 'cdemoprice%')
  + (SELECT count(*) FROM "Promotion" WHERE "uid" LIKE 'cdemopromotion%')
  + (SELECT count(*) FROM "Publication" WHERE "uid" LIKE 'cdemopublication%')"#;

fn search_path(schema: &str) -> String {
    format!("\"{}\"", schema.replace('"', "\"\""))
}

async fn check(client: &Client, schema: &str) -> Result<(), ShopSeedError> {
    let query = "SELECT name FROM unnest($1::text[]) AS name WHERE NOT EXISTS
                 (SELECT FROM pg_catalog.pg_tables WHERE schemaname = $2 AND tablename = name) LIMIT 1";
    let tables = scale::TABLES.as_slice();
    match client.query_opt(query, &[&tables, &schema]).await? {
        None => Ok(()),
        Some(row) => Err(ShopSeedError::NoTables {
            schema: schema.to_owned(),
            missing: row.get(0),
        }),
    }
}
