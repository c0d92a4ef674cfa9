//! What a server finds out about a database while it serves it: rows that do not fit the datamodel, and whether tables that
//! had no triggers have got them. Beside serving, because the first reads whole tables; in the log only, because refusing to
//! serve would help nobody.

use std::time::Duration;

use gom_actors::database::{Database, RunError};
use gom_actors::migrations::{self, MigrateError};
use tokio::time::{sleep, timeout};

use super::{Deployed, Deployer};
use crate::datamodel::LoadedDatamodel;

/// How long one table may take.
const STATEMENT_TIMEOUT: &str = "30s";

/// How long all tables may take.
const SURVEY_TIMEOUT: Duration = Duration::from_secs(600);

/// Between the first two looks for triggers; it doubles with each look, up to the longest.
const TRIGGERS_INTERVAL: Duration = Duration::from_secs(3);
const MAX_INTERVAL: Duration = Duration::from_secs(60);

impl Deployer {
    /// Begins to look.
    pub(super) fn survey(&self) {
        let deployed = self.deployed.clone();
        let (database, datamodel) = (self.database.clone(), self.datamodel.clone());
        let (schema, stop) = (self.schema.clone(), self.stop.clone());
        actix_web::rt::spawn(async move {
            let look = async {
                let error = match timeout(
                    SURVEY_TIMEOUT,
                    report_rows(&database, &datamodel, &schema),
                )
                .await
                {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(error.without_values()),
                    Err(_) => Some("it took too long".to_owned()),
                };
                if let Some(error) = error {
                    tracing::warn!(
                        error,
                        "the rows were not compared with the datamodel; `gom migrate verify` does it"
                    );
                }
                let mut interval = TRIGGERS_INTERVAL;
                while !deployed.unlogged().is_empty() {
                    sleep(interval).await;
                    interval = longer(interval);
                    // A database that is away has its own lines in the log.
                    let _ = look_for_triggers(&database, &datamodel, &schema, &deployed).await;
                }
            };
            tokio::select! {
                () = look => {}
                () = stop.requested() => {}
            }
        });
    }
}

#[derive(Debug, thiserror::Error)]
enum SurveyError {
    #[error(transparent)]
    Database(#[from] RunError),
    #[error(transparent)]
    Migrate(#[from] MigrateError),
}

impl SurveyError {
    fn without_values(&self) -> String {
        match self {
            SurveyError::Database(error) => error.to_string(),
            SurveyError::Migrate(error) => error.without_values(),
        }
    }
}

fn longer(interval: Duration) -> Duration {
    (interval * 2).min(MAX_INTERVAL)
}

async fn report_rows(
    database: &Database,
    datamodel: &LoadedDatamodel,
    schema: &str,
) -> Result<(), SurveyError> {
    let client = database.lend().await?;
    let timeout = format!("SET statement_timeout = '{STATEMENT_TIMEOUT}'");
    client
        .batch_execute(&timeout)
        .await
        .map_err(MigrateError::Database)?;
    let deployment = migrations::Deployment {
        keep_empty: true,
        ..migrations::Deployment::new(&datamodel.model, &datamodel.text, schema)
    };
    for misfit in migrations::misfits(&*client, &deployment).await? {
        tracing::warn!(
            problem = misfit.problem,
            rows = misfit.extent(),
            remedy = misfit.remedy,
            "there are rows that the datamodel does not allow"
        );
    }
    Ok(())
}

async fn look_for_triggers(
    database: &Database,
    datamodel: &LoadedDatamodel,
    schema: &str,
    deployed: &Deployed,
) -> Result<(), SurveyError> {
    let client = database.lend().await?;
    let unlogged = migrations::unlogged_tables(&*client, &datamodel.model, schema).await?;
    if unlogged.is_empty() {
        tracing::info!("all tables have their triggers now: their changes are seen");
    }
    deployed.set_unlogged(unlogged);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_for_triggers_become_rarer() {
        let intervals: Vec<u64> =
            std::iter::successors(Some(TRIGGERS_INTERVAL), |interval| Some(longer(*interval)))
                .map(|interval| interval.as_secs())
                .take(7)
                .collect();
        assert_eq!(intervals, [3, 6, 12, 24, 48, 60, 60]);
    }
}
