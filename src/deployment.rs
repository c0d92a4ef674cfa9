//! Bringing the database to the datamodel before it is served: at start if it is there, else as soon as it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gom_actors::database::Database;
use gom_actors::migrations::{self, MigrateError};
use gom_engine::migrate::MigrationStep;
use tokio::time::{Instant, sleep};

use crate::datamodel::ReadDatamodel;

/// How long the start waits for a database that does not answer at once.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// Whether the database has been brought to the datamodel; before that, nothing is read or written.
#[derive(Debug, Clone, Default)]
pub struct Deployed(Arc<AtomicBool>);

impl Deployed {
    /// For a database that is served as it is.
    pub fn already() -> Self {
        Deployed(Arc::new(AtomicBool::new(true)))
    }

    pub fn is_done(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// What is to be deployed, and where.
pub struct Deployment {
    pub database: Database,
    pub datamodel: ReadDatamodel,
    /// The PostgreSQL schema.
    pub schema: String,
    pub deployed: Deployed,
}

enum Attempt {
    Done,
    /// The database was not to be had; why.
    Later(String),
}

impl Deployment {
    /// Deploys if the database answers soon. False: it does not, and [`Deployment::keep_trying`] is left to do.
    ///
    /// # Errors
    /// What trying again would not change.
    pub async fn try_now(&self) -> Result<bool, MigrateError> {
        if self.database.ready(Instant::now() + PATIENCE).await.is_err() {
            return Ok(false);
        }
        Ok(matches!(self.attempt().await?, Attempt::Done))
    }

    /// Returns when it is done.
    ///
    /// # Errors
    /// What trying again would not change.
    pub async fn keep_trying(&self) -> Result<(), MigrateError> {
        loop {
            match self.attempt().await? {
                Attempt::Done => return Ok(()),
                Attempt::Later(reason) => {
                    tracing::warn!(reason, "the datamodel cannot be deployed yet");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn attempt(&self) -> Result<Attempt, MigrateError> {
        let mut client = match self.database.lend().await {
            Ok(client) => client,
            Err(error) => return Ok(Attempt::Later(error.to_string())),
        };
        let deployment = migrations::Deployment {
            model: &self.datamodel.model,
            text: &self.datamodel.text,
            schema: &self.schema,
            renames: &[],
            allow_data_loss: false,
        };
        let begin = |step: &MigrationStep| tracing::debug!(step = step.description, "deploying");
        match migrations::apply(&mut client, &deployment, &begin).await {
            Ok(steps) => {
                tracing::info!(steps = steps.len(), "the database agrees with the datamodel");
                self.deployed.set();
                Ok(Attempt::Done)
            }
            // The connection was lost on the way; what was begun is rolled back.
            Err(error) if error.is_temporary() => Ok(Attempt::Later(error.to_string())),
            Err(error) => Err(error),
        }
    }
}
