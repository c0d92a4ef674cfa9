//! What the connecting user may do.

use tokio_postgres::{Client, Error};

use super::{Subject, user};
use gom_server::settings::Settings;

const TABLES: &str = "select format('%I.%I', n.nspname, c.relname), pg_has_role(c.relowner, 'USAGE'),
  has_schema_privilege(n.oid, 'USAGE') and has_table_privilege(c.oid, 'SELECT') and has_table_privilege(c.oid, 'INSERT')
    and has_table_privilege(c.oid, 'UPDATE') and has_table_privilege(c.oid, 'DELETE'), n.nspname::text
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname in ($1, 'gom') and c.relkind in ('r', 'p') order by 1";
const SCHEMAS: &str = "select has_database_privilege(current_database(), 'CREATE'),
  (select count(*) from pg_namespace where nspname in ($1, 'gom')),
  (select coalesce(bool_and(has_schema_privilege(oid, 'CREATE')), true) from pg_namespace where nspname in ($1, 'gom'))";

pub(super) async fn examine(
    client: &Client,
    settings: &Settings,
    found: &mut Subject<'_>,
) -> Result<(), Error> {
    let schema = settings.database.schema.as_str();
    let user = user(client).await?;
    let row = client.query_one(SCHEMAS, &[&schema]).await?;
    let (in_database, schemas, in_schemas): (bool, i64, bool) =
        (row.get(0), row.get(1), row.get(2));
    // Where both schemas are there, none need be made.
    let creates = in_schemas && (in_database || schemas == 2);
    let tables = client.query(TABLES, &[&schema]).await?;
    let of = |column: usize| -> Vec<String> {
        tables
            .iter()
            .filter(|row| !row.get::<_, bool>(column))
            .map(|row| row.get(0))
            .collect()
    };
    let (foreign, closed) = (of(1), of(2));
    if closed.is_empty() {
        found.ok(
            "use of tables",
            format!("{} tables may be read and written", tables.len()),
        );
    } else {
        let mut schemas: Vec<String> = tables
            .iter()
            .filter(|row| !row.get::<_, bool>(2))
            .map(|row| row.get(3))
            .collect();
        schemas.dedup();
        let grants: Vec<String> = schemas.iter().map(|schema| grant(schema, &user)).collect();
        let text = format!("{user} may not read or not write {}", some(&closed));
        found.problem("use of tables", text, grants.join("; "));
    }
    let alters = foreign.is_empty();
    let remedy =
        format!("let the owner run `gom migrate apply`, or give the tables and schemas to {user}");
    let text = match (creates, alters) {
        (true, true) => {
            return {
                found.ok("migrate", format!("{user} may create and alter tables"));
                Ok(())
            };
        }
        (false, true) => format!("{user} may not create tables or schemas"),
        (_, false) => format!("{user} does not own {}", some(&foreign)),
    };
    if settings.database.deploy() {
        found.problem(
            "migrate",
            format!("{text}, and database.deploy is on"),
            remedy,
        );
    } else {
        found.warning(
            "migrate",
            format!("{text}: it cannot migrate, only serve"),
            remedy,
        );
    }
    Ok(())
}

fn grant(schema: &str, user: &str) -> String {
    let schema = format!("\"{}\"", schema.replace('"', "\"\""));
    format!(
        "GRANT USAGE ON SCHEMA {schema} TO {user}; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {user}"
    )
}

fn some(names: &[String]) -> String {
    match names {
        [first, second, third, rest @ ..] if !rest.is_empty() => {
            format!("{first}, {second}, {third} and {} more tables", rest.len())
        }
        names => names.join(", "),
    }
}
