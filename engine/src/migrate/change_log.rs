//! The triggers by which every change of a row is written into the change log, with a function for
//! each table that names the table's columns itself: nothing is looked up when a row is written.

use std::collections::HashMap;

use super::layout::DatabaseLayout;
use super::names::{fit, quote_identifier, quote_literal};
use super::plan::MigrationPlan;
use super::step::MigrationStep;
use crate::datamodel::{DataModel, Model, RelationStorage};

/// The name of the trigger on every table.
pub(super) const TRIGGER: &str = "gom_change";
/// What the names of the functions, in the schema `gom`, begin with.
const PREFIX: &str = "log ";

/// Triggers of ours and their functions in a schema: [`FoundTrigger`]s. The parameter is the
/// schema's name.
pub const TRIGGERS_QUERY: &str = "
SELECT c.relname::text, p.proname::text, p.prosrc
FROM pg_catalog.pg_trigger t
JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
WHERE n.nspname = $1 AND t.tgname = 'gom_change' AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
  -- After each row's insertion, deletion and update, on no condition.
  AND t.tgtype = 29 AND t.tgqual IS NULL AND t.tgattr::text = ''
UNION ALL
SELECT NULL, p.proname::text, NULL
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = 'gom' AND p.proname LIKE 'log %' AND position(quote_literal($1) IN p.prosrc) > 0
  AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_trigger t WHERE t.tgfoid = p.oid)
ORDER BY 2";

/// A trigger that a table has, or a function of ours without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundTrigger {
    /// The table, without its schema; `None` for a function without a trigger.
    pub table: Option<String>,
    /// The function's name, without its schema.
    pub function: String,
    /// The function's body; `None` for a trigger that does not call it as ours do.
    pub source: Option<String>,
}

/// A table whose changes are logged.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LoggedTable {
    table: String,
    function: String,
    source: String,
}

/// The steps after which all changes of the datamodel's tables are logged, and nothing is left of
/// tables that are gone. They come after those that make the tables.
///
/// `planned`: what is done to the tables before, if anything. A function is made again whose
/// columns change their types: the connections that have planned it would refuse every write with
/// SQLSTATE 42804.
pub fn change_log_steps(
    model: &DataModel,
    schema: &str,
    found: &[FoundTrigger],
    planned: Option<&MigrationPlan>,
) -> Vec<MigrationStep> {
    let present: HashMap<&str, &FoundTrigger> = found
        .iter()
        .filter_map(|found| Some((found.table.as_deref()?, found)))
        .collect();
    let wanted = logged(model, schema);
    let mut steps = Vec::new();
    for one in &wanted {
        let up_to_date = present.get(one.table.as_str()).is_some_and(|found| {
            found.function == one.function && found.source.as_deref() == Some(one.source.as_str())
        });
        let is_retyped = planned.is_some_and(|planned| planned.retyped.contains(&one.table));
        if !up_to_date || is_retyped {
            steps.push(step(one, schema));
        }
    }
    let mut stale: Vec<&str> = found.iter().map(|found| found.function.as_str()).collect();
    stale.retain(|function| !wanted.iter().any(|one| one.function == *function));
    stale.dedup();
    for function in stale {
        let sql = format!(
            "DROP FUNCTION IF EXISTS gom.{}()",
            quote_identifier(function)
        );
        let description = format!("drop the function `gom.{function}`, whose table is gone");
        steps.push(MigrationStep::harmless(description, sql));
    }
    steps
}

/// The tables of the datamodel that have no trigger of ours, of any version: their changes reach no
/// subscriber.
pub fn unlogged_tables(model: &DataModel, schema: &str, found: &[FoundTrigger]) -> Vec<String> {
    let has_trigger = |table: &String| {
        found
            .iter()
            .any(|trigger| trigger.table.as_ref() == Some(table))
    };
    logged(model, schema)
        .into_iter()
        .map(|one| one.table)
        .filter(|table| !has_trigger(table))
        .collect()
}

/// The step after which no earlier cursor is taken any more, if a table that was served before has
/// lost its trigger, was called otherwise, or held its links the other way round: a subscriber with
/// such a cursor would miss the table's changes silently. It comes last, because stampers wait for
/// it. A table that was never served has no subscriber from before.
///
/// `deployed`: the layouts of all datamodels that were deployed here; nothing for one that this
/// program cannot read.
pub fn epoch_step(
    model: &DataModel,
    schema: &str,
    found: &[FoundTrigger],
    planned: &MigrationPlan,
    deployed: &[Option<DatabaseLayout>],
) -> Option<MigrationStep> {
    let mut tables = logged(model, schema).into_iter().map(|one| one.table);
    let table = tables.find(|table| {
        let earlier = planned.earlier_name(table);
        let was_served = deployed.iter().any(|deployed| match deployed {
            Some(layout) => layout.table(earlier).is_some(),
            None => planned.found.table(table).is_some(),
        });
        let is_seen = found
            .iter()
            .any(|trigger| trigger.table.as_deref() == Some(earlier));
        was_served && (!is_seen || earlier != table || planned.swapped.contains(table))
    })?;
    Some(MigrationStep::harmless(
        format!(
            "begin a new epoch of the change log: changes of `{table}` may not have been logged under this name"
        ),
        "UPDATE gom.feed SET epoch = gom.new_epoch(), oldest = position".to_owned(),
    ))
}

fn step(one: &LoggedTable, schema: &str) -> MigrationStep {
    let function = quote_identifier(&one.function);
    let table = format!(
        "{}.{}",
        quote_identifier(schema),
        quote_identifier(&one.table)
    );
    let source = quote_literal(&one.source);
    let sql = format!(
        "CREATE OR REPLACE FUNCTION gom.{function}() RETURNS trigger LANGUAGE plpgsql AS {source};\n\
         DROP TRIGGER IF EXISTS {TRIGGER} ON {table};\n\
         CREATE TRIGGER {TRIGGER} AFTER INSERT OR UPDATE OR DELETE ON {table}\n\
         FOR EACH ROW EXECUTE FUNCTION gom.{function}()"
    );
    MigrationStep::harmless(format!("log the changes of `{}`", one.table), sql)
}

/// Every table of the datamodel, with the function that logs its changes.
fn logged(model: &DataModel, schema: &str) -> Vec<LoggedTable> {
    let mut all = Vec::new();
    let mut add = |table: &str, body: String| {
        let function = fit(&format!("{PREFIX}{schema}.{table}"));
        all.push(LoggedTable {
            table: table.to_owned(),
            function,
            source: body,
        });
    };
    for one in &model.models {
        add(&one.table, of_nodes(model, one, schema));
        for field in one.fields.iter().filter(|field| field.is_scalar_list()) {
            let table = format!("{}_{}", one.table, field.column);
            let body = of_list(schema, &table);
            add(&table, body);
        }
    }
    for relation in &model.relations {
        if let RelationStorage::Table {
            table,
            a_column,
            b_column,
            ..
        } = &relation.storage
        {
            add(table, of_links(schema, table, a_column, b_column));
        }
    }
    all
}

/// `INSERT INTO gom.change …` for a table, with these columns and values beside those of every row.
fn insert(schema: &str, table: &str, columns: &str, values: &str) -> String {
    format!(
        "INSERT INTO gom.change (schema_name, table_name, kind, node{columns}) VALUES ({}, {}, {values});",
        quote_literal(schema),
        quote_literal(table)
    )
}

fn of_nodes(whole: &DataModel, model: &Model, schema: &str) -> String {
    let table = &model.table;
    let id = quote_identifier(&model.id_field().column);
    let links: Vec<&str> = links(whole, model);
    let scalars = model
        .fields
        .iter()
        .filter(|field| field.is_column())
        .map(|field| field.column.as_str());
    let mut columns: Vec<&str> = scalars.collect();
    columns.extend(
        links
            .iter()
            .filter(|link| !columns.contains(link))
            .copied()
            .collect::<Vec<_>>(),
    );
    let differing = columns.iter().map(|column| {
        let (name, literal) = (quote_identifier(column), quote_literal(column));
        format!("CASE WHEN NEW.{name} IS DISTINCT FROM OLD.{name} THEN {literal} END")
    });
    let differing = differing.collect::<Vec<_>>().join(", ");
    let of_links = links
        .iter()
        .map(|column| {
            format!(
                "{}, NEW.{}",
                quote_literal(column),
                quote_identifier(column)
            )
        })
        .collect::<Vec<_>>();
    let (links_column, links_value) = if of_links.is_empty() {
        ("", String::new())
    } else {
        (
            ", links",
            format!(", jsonb_build_object({})", of_links.join(", ")),
        )
    };
    let created = insert(
        schema,
        table,
        links_column,
        &format!("'C', NEW.{id}::text{links_value}"),
    );
    let updated = insert(
        schema,
        table,
        &format!(", columns, old{links_column}"),
        &format!(
            "'U', NEW.{id}::text, array_remove(ARRAY[{differing}], NULL), to_jsonb(OLD){links_value}"
        ),
    );
    let deleted = insert(
        schema,
        table,
        ", old",
        &format!("'D', OLD.{id}::text, to_jsonb(OLD)"),
    );
    format!(
        "\nBEGIN\n\
         \x20 IF TG_OP = 'UPDATE' AND NEW.{id} = OLD.{id} THEN\n    {updated}\n    RETURN NULL;\n  END IF;\n\
         \x20 -- A row that changes its id is another one from then on.\n\
         \x20 IF TG_OP <> 'INSERT' THEN\n    {deleted}\n  END IF;\n\
         \x20 IF TG_OP <> 'DELETE' THEN\n    {created}\n  END IF;\n\
         \x20 RETURN NULL;\nEND\n"
    )
}

/// The columns of a model's table that hold links.
fn links<'a>(whole: &'a DataModel, model: &Model) -> Vec<&'a str> {
    let of_relation = |relation: &'a crate::datamodel::Relation| match &relation.storage {
        RelationStorage::Inline { side, column }
            if whole.model(relation.end(*side).model).name == model.name =>
        {
            Some(column.as_str())
        }
        _ => None,
    };
    whole.relations.iter().filter_map(of_relation).collect()
}

fn of_links(schema: &str, table: &str, a: &str, b: &str) -> String {
    let (a, b) = (quote_identifier(a), quote_identifier(b));
    let row = |kind: &str, row: &str| {
        insert(
            schema,
            table,
            ", partner",
            &format!("'{kind}', {row}.{a}::text, {row}.{b}::text"),
        )
    };
    added_and_removed(
        &row("L", "NEW"),
        &row("R", "OLD"),
        &format!("(NEW.{a}, NEW.{b}) IS DISTINCT FROM (OLD.{a}, OLD.{b})"),
    )
}

fn of_list(schema: &str, table: &str) -> String {
    let place = "jsonb_build_object('position', NEW.\"position\")";
    let came = insert(
        schema,
        table,
        ", links",
        &format!("'A', NEW.\"nodeId\"::text, {place}"),
    );
    let old = "jsonb_build_object('position', OLD.\"position\", 'value', OLD.\"value\")";
    let went = insert(
        schema,
        table,
        ", old",
        &format!("'V', OLD.\"nodeId\"::text, {old}"),
    );
    added_and_removed(&came, &went, "NEW IS DISTINCT FROM OLD")
}

/// An update of such a row is a row that goes and one that comes.
fn added_and_removed(came: &str, went: &str, differ: &str) -> String {
    format!(
        "\nBEGIN\n\
         \x20 IF TG_OP = 'UPDATE' AND NOT ({differ}) THEN\n    RETURN NULL;\n  END IF;\n\
         \x20 IF TG_OP <> 'INSERT' THEN\n    {went}\n  END IF;\n\
         \x20 IF TG_OP <> 'DELETE' THEN\n    {came}\n  END IF;\n\
         \x20 RETURN NULL;\nEND\n"
    )
}
