//! Getting the database ready to be served, at start if it is there, else as soon as it is: bringing it to the
//! datamodel, where that is wanted, and looking at what only the database tells.

mod survey;

use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use gom_actors::database::Database;
use gom_actors::migrations::{self, MigrateError};
use gom_engine::migrate::{LeftAlone, MigrationStep, links_with_required_id};
use gom_engine::sql::Physical;
use tokio::time::{Instant, timeout};
use tokio_postgres::Client;

use crate::datamodel::LoadedDatamodel;
use crate::seed::SeedData;
use crate::stop::Stop;

/// How long the start waits for a database that does not answer at once.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest time between two, after somebody held a lock for too long: each attempt makes others wait.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// How long the database may take to hear that a statement is given up.
const CANCEL: Duration = Duration::from_millis(500);
/// Between two lines in the log that say what is waited for.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// Whether the database is ready to be served; before that, nothing is read or written.
#[derive(Debug, Clone)]
pub struct Deployed(Arc<Since>);

#[derive(Debug)]
struct Since {
    begun: Instant,
    done: OnceLock<Instant>,
    unlogged: Mutex<Arc<[String]>>,
}

impl Default for Deployed {
    fn default() -> Self {
        Deployed(Arc::new(Since {
            begun: Instant::now(),
            done: OnceLock::new(),
            unlogged: Mutex::default(),
        }))
    }
}

impl Deployed {
    /// Whether the database has been brought to the datamodel, or has been accepted as it is.
    pub fn is_done(&self) -> bool {
        self.0.done.get().is_some()
    }

    /// Since when it is as it is.
    pub fn since(&self) -> Instant {
        self.0.done.get().copied().unwrap_or(self.0.begun)
    }

    /// Tables of the datamodel whose changes nobody sees.
    pub fn unlogged(&self) -> Arc<[String]> {
        Arc::clone(
            &self
                .0
                .unlogged
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    fn set_unlogged(&self, tables: Vec<String>) {
        *self
            .0
            .unlogged
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = tables.into();
    }

    fn set(&self) {
        // Done once and for all: a second time changes nothing.
        let _ = self.0.done.set(Instant::now());
    }
}

/// Deploys a datamodel: what is to be deployed, and where.
pub struct Deployer {
    /// Where the tables are.
    pub database: Database,
    /// What the tables are compared with.
    pub datamodel: LoadedDatamodel,
    /// The PostgreSQL schema.
    pub schema: String,
    /// Is set when the database is ready, and read by all who serve it.
    pub deployed: Deployed,
    /// Whether the database is brought to the datamodel; else it is served as it is. So it is, too, where a later
    /// datamodel has been deployed since and ours would take something away.
    pub apply: bool,
    /// Learns what the database tells about old relation tables.
    pub physical: Option<Arc<Physical>>,
    /// Tables without any row are filled with the application's demo, and its users get accounts.
    pub demo: Option<Box<dyn SeedData>>,
    /// When to leave off.
    pub stop: Stop,
}

/// A deployment under way.
pub(crate) type Deploying = Pin<Box<dyn Future<Output = Result<(), MigrateError>>>>;

enum Attempt {
    Done,
    /// Why the database was unavailable.
    Later(String),
    /// Somebody held a lock for too long; what and why.
    Locked(String),
}

fn listed(left_alone: &[&LeftAlone]) -> Option<String> {
    let texts: Vec<String> = left_alone.iter().map(ToString::to_string).collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// How long to wait after a pause, if a lock was in the way again.
fn longer(pause: Duration) -> Duration {
    (pause * 2).min(MAX_PAUSE)
}

impl Deployer {
    /// Deploys if the database is available within two seconds. False: it was not, and nothing was deployed.
    ///
    /// # Errors
    /// What trying again would not change.
    pub async fn try_now(&self) -> Result<bool, MigrateError> {
        if self.database.ready(Instant::now() + TIMEOUT).await.is_err() {
            return Ok(false);
        }
        Ok(matches!(self.attempt().await?, Attempt::Done))
    }

    /// Deploys, as [`Deployer::try_now`], but for `patience` at most. What is left to do then goes on when it is polled.
    ///
    /// # Errors
    /// What trying again would not change.
    pub(crate) async fn begin(self, patience: Duration) -> Result<Option<Deploying>, MigrateError> {
        let absent = self.database.ready(Instant::now() + TIMEOUT).await.is_err();
        let mut deploying: Deploying = Box::pin(async move { self.keep_trying().await });
        if absent {
            return Ok(Some(deploying));
        }
        match timeout(patience, &mut deploying).await {
            Ok(done) => done.map(|()| None),
            Err(_) => {
                tracing::info!(
                    "the deployment takes its time: the server starts meanwhile, and is not ready before it is done"
                );
                Ok(Some(deploying))
            }
        }
    }

    /// Returns when it is done, or all is to stop. Says every few seconds what it waits for.
    ///
    /// # Errors
    /// What trying again would not change.
    async fn keep_trying(&self) -> Result<(), MigrateError> {
        let begun = Instant::now();
        let mut said: Option<Instant> = None;
        let mut pause = PAUSE;
        loop {
            let reason = match self.attempt().await? {
                Attempt::Done => return Ok(()),
                Attempt::Later(reason) => {
                    pause = PAUSE;
                    reason
                }
                Attempt::Locked(reason) => {
                    pause = longer(pause);
                    reason
                }
            };
            if self.stop.is_requested() {
                return Ok(());
            }
            if said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
                let seconds = begun.elapsed().as_secs();
                tracing::warn!(
                    reason,
                    seconds,
                    "waiting for PostgreSQL: nothing can be served yet"
                );
                said = Some(Instant::now());
            }
            // Returns at once when all is to stop.
            let _ = timeout(pause, self.stop.requested()).await;
        }
    }

    async fn attempt(&self) -> Result<Attempt, MigrateError> {
        let mut client = match self.database.lend().await {
            Ok(client) => client,
            Err(error) => return Ok(Attempt::Later(error.to_string())),
        };
        let cancel = client.canceller();
        let prepared = tokio::select! {
            prepared = self.prepare(&mut client) => prepared,
            () = self.stop.requested() => {
                // Else the statement in flight would go on, with its locks, until it finds out that nobody waits for it.
                let _ = timeout(CANCEL, cancel.cancel()).await;
                return Ok(Attempt::Later("the server stops".to_owned()));
            }
        };
        match prepared {
            Ok(()) => {
                self.deployed.set();
                self.survey();
                Ok(Attempt::Done)
            }
            Err(error) if error.is_lock_timeout() => Ok(Attempt::Locked(error.without_values())),
            // The connection was lost on the way; what was begun is rolled back.
            Err(error) if error.is_temporary() => Ok(Attempt::Later(error.without_values())),
            Err(error) => Err(error),
        }
    }

    fn migration(&self) -> migrations::Deployment<'_> {
        migrations::Deployment {
            model: &self.datamodel.model,
            text: &self.datamodel.text,
            schema: &self.schema,
            renames: &self.datamodel.renames,
            allow_data_loss: false,
            drop_unknown: false,
            keep_empty: true,
        }
    }

    async fn prepare(&self, client: &mut Client) -> Result<(), MigrateError> {
        if self.apply {
            let deployment = self.migration();
            let begin =
                |step: &MigrationStep| tracing::debug!(step = step.description, "deploying");
            match migrations::apply(client, &deployment, &begin).await {
                Ok(plan) => {
                    let steps = plan.steps.len();
                    let (forbidding, others): (Vec<_>, Vec<_>) =
                        plan.left_alone.iter().partition(|one| one.forbids_rows);
                    let left_alone = listed(&others);
                    tracing::info!(steps, left_alone, "the database agrees with the datamodel");
                    if let Some(columns) = listed(&forbidding) {
                        tracing::warn!(
                            columns,
                            "there are columns that Gom has not made and cannot fill"
                        );
                    }
                }
                Err(error)
                    if !error.is_temporary()
                        && migrations::has_gone_on(client, &deployment).await? =>
                {
                    tracing::warn!(
                        error = error.without_values(),
                        "a later datamodel has been deployed since this one: the database is served as it is"
                    );
                }
                Err(error) => return Err(error),
            }
        }
        let unlogged =
            migrations::unlogged_tables(client, &self.datamodel.model, &self.schema).await?;
        if !unlogged.is_empty() {
            let (count, tables) = (unlogged.len(), unlogged.join(", "));
            tracing::warn!(
                count,
                tables,
                "tables without triggers: no subscriber and no device hears of their changes; `gom migrate apply` makes them"
            );
        }
        self.deployed.set_unlogged(unlogged);
        if let Some(physical) = &self.physical {
            let found = migrations::introspect(client, &self.schema).await?;
            physical
                .set_links_with_required_id(links_with_required_id(&self.datamodel.model, &found));
            physical.set_log(migrations::has_change_log(client).await?);
            physical.set_system_tables(&migrations::system_tables(client).await?);
        }
        if let Some(demo) = &self.demo
            && let Err(error) = demo.open(client, &self.schema).await
        {
            tracing::warn!(%error, "the demo cannot be written; `gom seed` retries");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_after_a_lock_grows_to_half_a_minute() {
        let pauses: Vec<Duration> =
            std::iter::successors(Some(PAUSE), |pause| Some(longer(*pause)))
                .take(9)
                .collect();
        assert!(
            pauses[..6].windows(2).all(|pair| pair[1] == pair[0] * 2),
            "{pauses:?}"
        );
        assert_eq!(pauses.last(), Some(&MAX_PAUSE));
    }
}
