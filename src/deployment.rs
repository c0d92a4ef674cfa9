//! Getting the database ready to be served, at start if it is there, else as soon as it is: bringing it to the
//! datamodel, where that is wanted, and looking at what only the database tells.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gom_actors::database::Database;
use gom_actors::migrations::{self, MigrateError};
use gom_engine::migrate::{MigrationStep, links_with_required_id};
use gom_engine::sql::Physical;
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;

use crate::datamodel::ReadDatamodel;
use crate::seed::DemoShop;

/// How long the start waits for a database that does not answer at once.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// Whether the database is ready to be served; before that, nothing is read or written.
#[derive(Debug, Clone, Default)]
pub struct Deployed(Arc<AtomicBool>);

impl Deployed {
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
    /// Whether the database is brought to the datamodel; else it is served as it is.
    pub apply: bool,
    /// Learns what the database tells about old relation tables.
    pub physical: Option<Arc<Physical>>,
    /// Tables without any row are filled with the demo shop, and its sellers get accounts.
    pub demo: Option<DemoShop>,
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
        match self.prepare(&mut client).await {
            Ok(()) => {
                self.deployed.set();
                Ok(Attempt::Done)
            }
            // The connection was lost on the way; what was begun is rolled back.
            Err(error) if error.is_temporary() => Ok(Attempt::Later(error.to_string())),
            Err(error) => Err(error),
        }
    }

    async fn prepare(&self, client: &mut Client) -> Result<(), MigrateError> {
        if self.apply {
            let deployment = migrations::Deployment {
                model: &self.datamodel.model,
                text: &self.datamodel.text,
                schema: &self.schema,
                renames: &[],
                allow_data_loss: false,
            };
            let begin = |step: &MigrationStep| tracing::debug!(step = step.description, "deploying");
            let steps = migrations::apply(client, &deployment, &begin).await?;
            tracing::info!(steps = steps.len(), "the database agrees with the datamodel");
        }
        if let Some(physical) = &self.physical {
            let found = migrations::introspect(client, &self.schema).await?;
            physical.set_links_with_required_id(links_with_required_id(&self.datamodel.model, &found));
            physical.set_log(migrations::has_change_log(client).await?);
        }
        if let Some(demo) = &self.demo
            && let Err(error) = demo.open(client, &self.schema).await
        {
            tracing::warn!(%error, "the demo shop cannot be written; `gom seed` tries again");
        }
        Ok(())
    }
}
