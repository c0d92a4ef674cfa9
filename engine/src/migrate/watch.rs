//! The triggers on the change log by which changes of watched models leave jobs, and those by which
//! Gom's own tables follow the model's.

use super::names::{fit, quote_identifier, quote_literal};
use super::step::MigrationStep;
use crate::datamodel::{DataModel, FollowedTables, JobRule, OpenNodes, WatchedModel};

/// What the names of these triggers begin with.
const PREFIX: &str = "watch ";

/// Triggers of ours on the change log that concern a schema: [`FoundWatch`]es. The parameter is the
/// schema's name.
pub const WATCHES_QUERY: &str = "
SELECT t.tgname::text, pg_catalog.obj_description(t.oid, 'pg_trigger')
FROM pg_catalog.pg_trigger t
JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'gom' AND c.relname = 'change' AND t.tgname LIKE 'watch %' AND NOT t.tgisinternal
  AND position(quote_literal($1) IN pg_catalog.obj_description(t.oid, 'pg_trigger')) > 0
ORDER BY 1";

/// A trigger that there is, with what was noted of how it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundWatch {
    /// The trigger's name.
    pub name: String,
    /// The comment of the trigger: how it was made.
    pub source: String,
}

/// A trigger that there shall be.
struct WantedTrigger {
    watch: FoundWatch,
    description: String,
    /// A statement that makes up for what was written before there was a trigger.
    fill: Option<String>,
}

/// The steps after which changes of the watched models leave jobs and those of followed tables are
/// followed, and no others of the schema.
pub fn watch_steps(model: &DataModel, schema: &str, found: &[FoundWatch]) -> Vec<MigrationStep> {
    let watched = model.watched.iter().map(|one| trigger(model, schema, one));
    let wanted: Vec<WantedTrigger> = watched
        .chain(model.followed.iter().map(|one| follower(schema, one)))
        .collect();
    let mut steps = Vec::new();
    for WantedTrigger {
        watch,
        description,
        fill,
    } in wanted.iter().filter(|one| !found.contains(&one.watch))
    {
        let (name, note) = (quote_identifier(&watch.name), quote_literal(&watch.source));
        let mut sql = format!(
            "DROP TRIGGER IF EXISTS {name} ON gom.change;\n\
             CREATE TRIGGER {name} {};\n\
             COMMENT ON TRIGGER {name} ON gom.change IS {note}",
            watch.source
        );
        if let Some(fill) = fill {
            sql.push_str(";\n");
            sql.push_str(fill);
        }
        steps.push(MigrationStep::harmless(description.clone(), sql));
    }
    for stale in found
        .iter()
        .filter(|found| !wanted.iter().any(|one| one.watch.name == found.name))
    {
        let sql = format!(
            "DROP TRIGGER IF EXISTS {} ON gom.change",
            quote_identifier(&stale.name)
        );
        steps.push(MigrationStep::harmless(
            format!("drop the trigger `{}`", stale.name),
            sql,
        ));
    }
    steps
}

fn trigger(model: &DataModel, schema: &str, watched: &WatchedModel) -> WantedTrigger {
    let table = &model.model(watched.model).table;
    let (kinds, jobs) = match watched.jobs {
        JobRule::Each => ("'C', 'U', 'T'", "each"),
        JobRule::Latest => ("'C', 'U', 'T', 'D'", "latest"),
    };
    let source = format!(
        "AFTER INSERT ON gom.change FOR EACH ROW\n\
         WHEN (NEW.schema_name = {} AND NEW.table_name = {} AND NEW.kind IN ({kinds}))\n\
         EXECUTE FUNCTION gom.queue_job({}, '{jobs}')",
        quote_literal(schema),
        quote_literal(table),
        quote_literal(watched.subject)
    );
    let name = fit(&format!("{PREFIX}{} {schema}.{table}", watched.subject));
    let description = format!("queue a job for changes of `{table}`");
    let fill = watched
        .open
        .as_ref()
        .map(|open| open_jobs(model, schema, watched, open));
    WantedTrigger {
        watch: FoundWatch { name, source },
        description,
        fill,
    }
}

/// Queues a job for each node that had something before it when there was no trigger yet.
fn open_jobs(model: &DataModel, schema: &str, watched: &WatchedModel, open: &OpenNodes) -> String {
    let of = model.model(watched.model);
    let id = quote_identifier(&of.field(of.id).column);
    let times: Vec<String> = open
        .since
        .iter()
        .map(|column| quote_identifier(column))
        .collect();
    let since = if times.is_empty() {
        "now()".to_owned()
    } else {
        format!(
            "least(coalesce({}, timezone('UTC', now())), timezone('UTC', now())) AT TIME ZONE 'UTC'",
            times.join(", ")
        )
    };
    format!(
        "INSERT INTO gom.job (subject, schema_name, node, created, dedup, created_at)\n\
         SELECT {}, {}, {id}::text, false, {id}::text, {since} FROM {}.{} WHERE {} = {}\n\
         ON CONFLICT (schema_name, subject, dedup) DO NOTHING",
        quote_literal(watched.subject),
        quote_literal(schema),
        quote_identifier(schema),
        quote_identifier(&of.table),
        quote_identifier(&open.column),
        quote_literal(open.value)
    )
}

fn follower(schema: &str, followed: &FollowedTables) -> WantedTrigger {
    let literals = |names: &[String]| {
        names
            .iter()
            .map(|name| quote_literal(name))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let (tables, names) = (literals(&followed.tables), literals(&followed.names));
    let source = format!(
        "AFTER INSERT ON gom.change FOR EACH ROW\n\
         WHEN (NEW.schema_name = {} AND NEW.table_name IN ({tables}) AND NEW.kind IN ('U', 'D', 'L'))\n\
         EXECUTE FUNCTION gom.{}({names})",
        quote_literal(schema),
        followed.function
    );
    let name = fit(&format!("{PREFIX}{} {schema}", followed.name));
    let fill = format!(
        "SELECT gom.{}({}, {names})",
        followed.fill,
        quote_literal(schema)
    );
    let description = format!(
        "keep `gom.{}` in step with {}",
        followed.name,
        followed.tables.join(", ")
    );
    WantedTrigger {
        watch: FoundWatch { name, source },
        description,
        fill: Some(fill),
    }
}
