//! The tables: Gom's own, the datamodel's, and the triggers of the change log.

use gom_actors::migrations::{self, Deployment, DeploymentPlan};
use gom_engine::migrate::MigrationStep;
use tokio_postgres::{Client, Error};

use super::{Patient, Subject};

/// Steps that are listed by name.
const MAX_NAMED: usize = 3;
const APPLY: &str = "`gom migrate plan` shows them, `gom migrate apply` does them (or start one server with --deploy)";

const TRIGGERS: &str = "select format('%s on %I.%I', t.tgname, n.nspname, c.relname), t.tgenabled::text
  from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
  where not t.tgisinternal and (n.nspname = $1 and t.tgname like 'gom%' or n.nspname = 'gom') order by 1";

pub(super) async fn examine(
    client: &Client,
    patient: &Patient,
    found: &mut Subject<'_>,
) -> Result<(), Error> {
    let settings = &patient.settings;
    let schema = settings.database.schema.as_str();
    let datamodel = match patient.application.read_datamodel(settings) {
        Ok(datamodel) => datamodel,
        Err(error) => {
            found.problem("schema", error.to_string(), "correct the datamodel");
            return Ok(());
        }
    };
    let deployment = Deployment::new(&datamodel.model, &datamodel.text, schema);
    let has_gone_on = migrations::has_gone_on(client, &deployment)
        .await
        .unwrap_or(false);
    let known = migrations::system_version();
    match migrations::applied_system_version(client).await {
        Ok(None) => found.problem(
            "migrations",
            "Gom's own tables are not there",
            "`gom migrate apply` (or start one server with --deploy)",
        ),
        Ok(Some(version)) if version < known => found.problem(
            "migrations",
            format!("Gom's own tables are at version {version}, this program brings {known}"),
            "`gom migrate apply` (or start one server with --deploy)",
        ),
        Ok(Some(version)) if version > known && has_gone_on => {
            found.ok(
                "migrations",
                format!("version {version} of a newer gom, with which this one works"),
            );
        }
        Ok(Some(version)) if version > known => found.problem(
            "migrations",
            format!(
                "Gom's own tables are at version {version}, and this program only knows {known}"
            ),
            "use the newer gom that migrated it",
        ),
        Ok(Some(version)) => found.ok("migrations", format!("version {version}")),
        Err(error) => found.problem(
            "migrations",
            error.to_string(),
            "see who may read the schema gom",
        ),
    }
    match migrations::plan(client, &deployment).await {
        Ok(plan) => {
            if has_gone_on && !plan.steps.is_empty() {
                // A step back, or the middle of an update: going back would lose what the later datamodel has brought.
                found.ok(
                    "schema",
                    format!(
                        "a later datamodel has been deployed since {}: the database is served as it is",
                        datamodel.name
                    ),
                );
            } else {
                report_steps(&plan.steps, &datamodel.name, found);
            }
            report_rows(&plan, found);
        }
        Err(error) => found.problem(
            "schema",
            error.to_string(),
            "correct the datamodel, or database.schema",
        ),
    }
    triggers(client, schema, found).await
}

fn report_steps(steps: &[MigrationStep], datamodel: &str, found: &mut Subject<'_>) {
    if steps.is_empty() {
        return found.ok("schema", format!("agrees with {datamodel}"));
    }
    let mut text: Vec<&str> = steps
        .iter()
        .take(MAX_NAMED)
        .map(|step| step.description.as_str())
        .collect();
    if steps.len() > MAX_NAMED {
        text.push("…");
    }
    let word = if steps.len() == 1 {
        "step is"
    } else {
        "steps are"
    };
    found.problem(
        "schema",
        format!("{} {word} open: {}", steps.len(), text.join("; ")),
        APPLY,
    );
}

fn report_rows(plan: &DeploymentPlan, found: &mut Subject<'_>) {
    for misfit in &plan.misfits {
        found.problem(
            "rows",
            format!("{}: {}", misfit.problem, misfit.extent()),
            misfit.remedy.clone(),
        );
    }
    if plan.misfits.is_empty() {
        found.ok("rows", "all fit the datamodel");
    }
    if !plan.left_alone.is_empty() {
        let left_alone: Vec<String> = plan.left_alone.iter().map(ToString::to_string).collect();
        found.ok(
            "left alone",
            format!(
                "not in the datamodel, not made by Gom: {}",
                left_alone.join("; ")
            ),
        );
    }
}

async fn triggers(client: &Client, schema: &str, found: &mut Subject<'_>) -> Result<(), Error> {
    let rows = client.query(TRIGGERS, &[&schema]).await?;
    // Enabled for everybody, or always.
    let asleep: Vec<String> = rows
        .iter()
        .filter(|row| !matches!(row.get::<_, &str>(1), "O" | "A"))
        .map(|row| row.get(0))
        .collect();
    if !asleep.is_empty() {
        found.problem(
            "triggers",
            format!("disabled: {}", asleep.join(", ")),
            "ALTER TABLE … ENABLE TRIGGER …: until then, changes of these tables reach no subscriber and no device",
        );
    } else if rows.is_empty() {
        found.problem("triggers", "there are none: no change is seen", APPLY);
    } else {
        found.ok("triggers", format!("{} are enabled", rows.len()));
    }
    Ok(())
}
