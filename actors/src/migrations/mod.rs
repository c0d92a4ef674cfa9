//! Brings a database to a datamodel, and Gom's own tables up to date. Any number of servers may do so at
//! once: a lock of our own lets them through one by one, and the second finds nothing left to do.
//! Decides nothing itself: what has to be done is the engine's plan.

mod catalog;
mod error;
mod examine;
mod system;

use std::collections::HashSet;
use std::time::SystemTime;

use gom_engine::datamodel::DataModel;
use gom_engine::migrate::{self, MigrationStep, MigrationTarget, Misfit, Rename};
use tokio_postgres::{Client, GenericClient, Transaction};

use crate::database::SqlErrorKind;

pub use self::catalog::introspect;
pub use self::error::MigrateError;
use self::examine::Outline;
pub use self::examine::{Before, DeploymentPlan};
pub use self::system::SYSTEM_SCHEMA;

/// Ours alone in the database, whatever the schema: the first bytes of "gom migrate" as a number.
const LOCK: i64 = 0x67_6f_6d_20_6d_69_67_72;

/// How long a step, or a migration of our own tables, may wait for others' locks before all of it is given up: a migration that waits for a table makes
/// all sessions behind it wait too.
const LOCK_TIMEOUT: &str = "10s";

/// The same for each table that is locked because it is empty: it cannot be written or read meanwhile.
const EMPTY_LOCK_TIMEOUT: &str = "2s";

/// What a database shall be brought to.
#[derive(Debug, Clone, Copy)]
pub struct Deployment<'a> {
    /// The datamodel.
    pub model: &'a DataModel,
    /// The datamodel as it was written, for the record.
    pub text: &'a str,
    /// The schema for the model's tables.
    pub schema: &'a str,
    /// Models and fields that have other names since the last deployment: their rows are kept.
    pub renames: &'a [Rename],
    /// Whether steps may run that delete rows or values.
    pub allow_data_loss: bool,
    /// Also drops tables and columns that were never Gom's.
    pub drop_unknown: bool,
    /// Dropping counts as a loss even where nothing is in it: another version may serve what has just been added.
    pub keep_empty: bool,
}

impl<'a> Deployment<'a> {
    /// Without renames, and with no permission to lose or drop anything.
    pub fn new(model: &'a DataModel, text: &'a str, schema: &'a str) -> Self {
        Deployment {
            model,
            text,
            schema,
            renames: &[],
            allow_data_loss: false,
            drop_unknown: false,
            keep_empty: false,
        }
    }
}

/// Where a database stands.
#[derive(Debug, Clone)]
pub struct Status {
    /// The version of Gom's own tables, and the one that this program brings.
    pub system_version: Option<i32>,
    /// The version of Gom's own tables that this program brings.
    pub known_system_version: i32,
    /// What was applied last to this schema.
    pub last: Option<Applied>,
    /// What distinguishes the database from the datamodel.
    pub differences: Vec<String>,
}

/// A datamodel that was applied.
#[derive(Debug, Clone)]
pub struct Applied {
    /// When.
    pub at: SystemTime,
    /// The version of the program.
    pub gom_version: String,
    /// The text of the datamodel.
    pub datamodel: String,
}

/// The steps that would bring the database to the datamodel, and the rows that do not fit it; changes nothing.
pub async fn plan<C: GenericClient>(
    client: &C,
    deployment: &Deployment<'_>,
) -> Result<DeploymentPlan, MigrateError> {
    let outline = Outline::make(client, deployment).await?;
    let steps = outline.look(client).await?.steps;
    let misfits = outline.misfits(client).await?;
    let swapped = outline.planned.swapped_tables();
    Ok(DeploymentPlan {
        steps,
        misfits,
        swapped,
        before: outline.before,
        left_alone: outline.planned.left_alone,
    })
}

/// The rows that do not fit the datamodel, in a database that is served as it is; changes nothing.
///
/// # Errors
/// If the database does not answer.
pub async fn misfits<C: GenericClient>(
    client: &C,
    deployment: &Deployment<'_>,
) -> Result<Vec<Misfit>, MigrateError> {
    Ok(Outline::make(client, deployment)
        .await?
        .misfits(client)
        .await?)
}

/// The tables of the datamodel whose changes are not logged, because they have no trigger or a disabled one.
///
/// # Errors
/// If the database does not answer.
pub async fn unlogged_tables<C: GenericClient>(
    client: &C,
    model: &DataModel,
    schema: &str,
) -> Result<Vec<String>, MigrateError> {
    let triggers = catalog::triggers(client, schema).await?;
    Ok(migrate::unlogged_tables(model, schema, &triggers))
}

/// Every difference between the database and the datamodel, in words; changes nothing.
pub async fn verify<C: GenericClient>(
    client: &C,
    model: &DataModel,
    schema: &str,
) -> Result<Vec<String>, MigrateError> {
    check_schema(schema)?;
    let wanted = migrate::layout(model, schema);
    let found = introspect(client, schema).await?;
    let last = last_applied(client, schema).await?;
    let previous = last.and_then(|last| examine::layout_of(&last.datamodel, schema));
    let target = MigrationTarget {
        previous: previous.as_ref(),
        ..MigrationTarget::new(&wanted)
    };
    let mut differences: Vec<String> = migrate::differences(&target, &found)
        .iter()
        .map(ToString::to_string)
        .collect();
    let triggers = catalog::triggers(client, schema).await?;
    let mut missing = migrate::change_log_steps(model, schema, &triggers, None);
    missing.extend(migrate::watch_steps(
        model,
        schema,
        &catalog::watches(client, schema).await?,
    ));
    differences.extend(
        missing
            .into_iter()
            .map(|step| format!("still to do: {}", step.description)),
    );
    let planned = migrate::plan(model, &target, &found, &[])?;
    let swapped = planned.swapped_tables().into_iter();
    differences.extend(
        swapped.map(|table| format!("still to do: the columns of `{table}` change places")),
    );
    let misfits = examine::misfits(client, &planned.checks).await?;
    differences.extend(misfits.iter().map(ToString::to_string));
    Ok(differences)
}

/// Whether the database has a change log. One that was never brought to a datamodel has none.
pub async fn has_change_log<C: GenericClient>(client: &C) -> Result<bool, MigrateError> {
    system::has_table(client, "gom.change").await
}

/// The names of Gom's own tables that the database has. One that was never brought to a datamodel has none, and one that an
/// earlier version has served lacks the later ones.
pub async fn system_tables<C: GenericClient>(client: &C) -> Result<HashSet<String>, MigrateError> {
    system::tables(client).await
}

/// The version of Gom's own tables that this program brings.
pub fn system_version() -> i32 {
    system::known_version()
}

/// The version of Gom's own tables that the database has; nothing before the first.
pub async fn applied_system_version<C: GenericClient>(
    client: &C,
) -> Result<Option<i32>, MigrateError> {
    system::applied_version(client).await
}

/// Where the database stands; changes nothing.
pub async fn status<C: GenericClient>(
    client: &C,
    model: &DataModel,
    schema: &str,
) -> Result<Status, MigrateError> {
    Ok(Status {
        system_version: system::applied_version(client).await?,
        known_system_version: system::known_version(),
        last: last_applied(client, schema).await?,
        differences: verify(client, model, schema).await?,
    })
}

/// Whether the schema was migrated to this very datamodel once, and to another since: a server that migrates it now is of the
/// previous version, in the middle of an update or after a rollback.
///
/// # Errors
/// If the database does not answer.
pub async fn has_gone_on<C: GenericClient>(
    client: &C,
    deployment: &Deployment<'_>,
) -> Result<bool, MigrateError> {
    if !system::has_table(client, "gom.applied_datamodel").await? {
        return Ok(false);
    }
    let query = "SELECT EXISTS (SELECT 1 FROM gom.applied_datamodel WHERE schema_name = $1 AND datamodel = $2)";
    let known: bool = client
        .query_one(query, &[&deployment.schema, &deployment.text])
        .await?
        .get(0);
    let last = last_applied(client, deployment.schema).await?;
    let newer_tables = system::newer(client).await?.is_some();
    Ok(known && (newer_tables || last.is_some_and(|last| last.datamodel != deployment.text)))
}

async fn last_applied<C: GenericClient>(
    client: &C,
    schema: &str,
) -> Result<Option<Applied>, MigrateError> {
    if !system::has_table(client, "gom.applied_datamodel").await? {
        return Ok(None);
    }
    let query = "SELECT applied_at, gom_version, datamodel FROM gom.applied_datamodel
                 WHERE schema_name = $1 ORDER BY id DESC LIMIT 1";
    let row = client.query_opt(query, &[&schema]).await?;
    Ok(row.map(|row| Applied {
        at: row.get(0),
        gom_version: row.get(1),
        datamodel: row.get(2),
    }))
}

/// The texts of all datamodels that were applied to the schema.
async fn ever_applied<C: GenericClient>(
    client: &C,
    schema: &str,
) -> Result<Vec<String>, MigrateError> {
    if !system::has_table(client, "gom.applied_datamodel").await? {
        return Ok(Vec::new());
    }
    let query = "SELECT DISTINCT datamodel FROM gom.applied_datamodel WHERE schema_name = $1";
    let rows = client.query(query, &[&schema]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Brings Gom's own tables up to date, waiting for others who are doing the same.
pub async fn migrate_system(client: &mut Client) -> Result<(), MigrateError> {
    lock(client).await?;
    let result = system::run(client).await;
    unlock(client).await;
    result
}

/// Brings Gom's own tables up to date and the model's tables to the datamodel, waiting for others who are
/// doing the same. The model's part is one transaction: all steps or none. Returns what was done;
/// `begin` is called with each step before it is run. Rows are compared only with a datamodel that is new there: else see
/// [`misfits`].
///
/// `client` must be the caller's alone. While steps run, the tables that they touch are locked.
pub async fn apply(
    client: &mut Client,
    deployment: &Deployment<'_>,
    begin: &(dyn Fn(&MigrationStep) + Sync),
) -> Result<DeploymentPlan, MigrateError> {
    check_schema(deployment.schema)?;
    lock(client).await?;
    let result = apply_locked(client, deployment, begin).await;
    unlock(client).await;
    result
}

async fn apply_locked(
    client: &mut Client,
    deployment: &Deployment<'_>,
    begin: &(dyn Fn(&MigrationStep) + Sync),
) -> Result<DeploymentPlan, MigrateError> {
    system::run(client).await?;
    let transaction = client.transaction().await?;
    let limits =
        format!("SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; SET LOCAL statement_timeout = 0");
    transaction.batch_execute(&limits).await?;
    let outline = Outline::make(&transaction, deployment).await?;
    let mut plan = DeploymentPlan {
        before: outline.before,
        ..DeploymentPlan::default()
    };
    let look = outline.look(&transaction).await?;
    plan.steps = look.steps.clone();
    permit(&plan, deployment)?;
    let misfits = outline.refused(&transaction).await?;
    if !misfits.is_empty() {
        return Err(MigrateError::Misfits(misfits));
    }
    if !look.unharmed.is_empty() && !plan.steps.is_empty() {
        // What was empty stays empty from here on.
        lock_tables(&transaction, &look.unharmed).await?;
        plan.steps = outline.look_again(&transaction, &look).await?.steps;
        permit(&plan, deployment)?;
    }
    plan.left_alone = outline.planned.left_alone;
    for step in &plan.steps {
        begin(step);
        let failed = |error| MigrateError::Step {
            step: step.description.clone(),
            error,
        };
        transaction.batch_execute(&step.sql).await.map_err(failed)?;
    }
    record(&transaction, deployment, &plan.steps).await?;
    transaction.commit().await?;
    Ok(plan)
}

async fn lock_tables(transaction: &Transaction<'_>, tables: &[String]) -> Result<(), MigrateError> {
    let tables = tables.join(", ");
    let statement = format!(
        "SET LOCAL lock_timeout = '{EMPTY_LOCK_TIMEOUT}'; LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE; \
         SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"
    );
    let failed = |error: tokio_postgres::Error| match SqlErrorKind::of(&error) {
        Some(SqlErrorKind::LockTimeout) => MigrateError::Busy { tables, error },
        _ => MigrateError::Database(error),
    };
    transaction.batch_execute(&statement).await.map_err(failed)
}

fn permit(plan: &DeploymentPlan, deployment: &Deployment<'_>) -> Result<(), MigrateError> {
    let losses = plan.losses();
    match losses.is_empty() || deployment.allow_data_loss {
        true => Ok(()),
        false => Err(MigrateError::DataLoss(losses)),
    }
}

/// Notes what was applied, unless nothing is new about it.
async fn record(
    transaction: &Transaction<'_>,
    deployment: &Deployment<'_>,
    steps: &[MigrationStep],
) -> Result<(), MigrateError> {
    let last = last_applied(transaction, deployment.schema).await?;
    if steps.is_empty() && last.is_some_and(|last| last.datamodel == deployment.text) {
        return Ok(());
    }
    let done: Vec<&str> = steps.iter().map(|s| s.description.as_str()).collect();
    let statement = "INSERT INTO gom.applied_datamodel (schema_name, gom_version, datamodel, steps)
                     VALUES ($1, $2, $3, $4)";
    let version = env!("CARGO_PKG_VERSION");
    transaction
        .execute(
            statement,
            &[&deployment.schema, &version, &deployment.text, &done],
        )
        .await?;
    Ok(())
}

fn check_schema(schema: &str) -> Result<(), MigrateError> {
    let reserved =
        schema == SYSTEM_SCHEMA || schema == "information_schema" || schema.starts_with("pg_");
    if reserved || schema.is_empty() {
        return Err(MigrateError::ReservedSchema(schema.to_string()));
    }
    Ok(())
}

async fn lock(client: &Client) -> Result<(), MigrateError> {
    // The one in front may take its time, so this wait has no limit of its own.
    let statement = format!(
        "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; \
         SELECT pg_advisory_lock({LOCK}); COMMIT"
    );
    let result = client.batch_execute(&statement).await;
    if result.is_err() {
        // Leaves no failed transaction behind, if there still is a connection.
        let _ = client.batch_execute("ROLLBACK").await;
    }
    Ok(result?)
}

/// A lock that cannot be given back has gone with its connection.
async fn unlock(client: &Client) {
    if let Err(error) = client
        .batch_execute(&format!("SELECT pg_advisory_unlock({LOCK})"))
        .await
    {
        tracing::warn!(%error, "the migration lock could not be given back; its connection is gone");
    }
}
