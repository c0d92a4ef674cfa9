//! What a server reports about a database that it serves: rows that do not fit the datamodel. Beside serving, because it
//! reads whole tables; in the log only, because refusing to serve would help nobody.

use gom_actors::database::{Database, RunError};
use gom_actors::migrations::{self, MigrateError};

use super::Deployment;
use crate::datamodel::ReadDatamodel;

/// How long one table may take.
const STATEMENT_TIMEOUT: &str = "30s";

impl Deployment {
    /// Begins to look for such rows.
    pub(super) fn survey(&self) {
        let (database, datamodel) = (self.database.clone(), self.datamodel.clone());
        let (schema, stop) = (self.schema.clone(), self.stop.clone());
        actix_web::rt::spawn(async move {
            tokio::select! {
                result = report_rows(&database, &datamodel, &schema) => {
                    if let Err(error) = result {
                        tracing::warn!(%error, "the rows were not compared with the datamodel; `gom migrate verify` does it");
                    }
                }
                () = stop.asked() => {}
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

async fn report_rows(
    database: &Database,
    datamodel: &ReadDatamodel,
    schema: &str,
) -> Result<(), SurveyError> {
    let client = database.lend().await?;
    let timeout = format!("SET statement_timeout = '{STATEMENT_TIMEOUT}'");
    client.batch_execute(&timeout).await.map_err(MigrateError::Database)?;
    let deployment = migrations::Deployment {
        model: &datamodel.model,
        text: &datamodel.text,
        schema,
        renames: &[],
        allow_data_loss: false,
        drop_unknown: false,
        keep_empty: true,
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
