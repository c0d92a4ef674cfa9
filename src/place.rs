//! The database that a command works on: the configured one, or the private one, started for the command or
//! already run by a server.

use std::fs;
use std::path::Path;
use std::time::Duration;

use clap::{Args, Command};
use gom_actors::database::{Database, DatabaseOptions, Lent};
use gom_actors::migrations;
use gom_embedded_postgres::{DATABASE, EmbeddedError, EmbeddedPostgres, USER};
use tokio::time::{Instant, sleep};
use tokio_postgres::Config;

use super::{Failure, SettingsArguments};
use gom_server::application::Application;
use gom_server::identity::TokenKind;
use gom_server::settings::{Purpose, Settings};

/// Between two attempts to connect, and between two lines that say so.
const PAUSE: Duration = Duration::from_millis(250);
const SAY_EVERY: Duration = Duration::from_secs(5);

/// What commands take that work on a database.
#[derive(Debug, Args)]
pub(super) struct DatabaseArguments {
    #[command(flatten)]
    settings: SettingsArguments,
    /// How long to wait for PostgreSQL, if it is not there yet [default: not at all]
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,
}

impl DatabaseArguments {
    /// The settings, `more` being stronger than the arguments, and how long to wait.
    ///
    /// # Errors
    /// If the settings cannot be used.
    pub fn load(
        self,
        application: &'static dyn Application,
        more: impl IntoIterator<Item = (&'static str, Option<String>)>,
    ) -> Result<(Settings, Duration), Failure> {
        let patience = Duration::from_secs(self.wait.unwrap_or_default());
        let loaded = self.settings.load(application, Purpose::Tool, more)?;
        Ok((loaded.settings, patience))
    }
}

/// What commands take that work on one user of a database.
#[derive(Debug, Args)]
pub(super) struct UserArguments {
    #[command(flatten)]
    pub database: DatabaseArguments,
    /// Whose: the claim `sub` of their tokens
    #[arg(value_name = "SUBJECT", id = SUBJECT)]
    pub subject: String,
}

/// The id of the argument that names a user.
const SUBJECT: &str = "user_subject";

/// The command with the forms of an application's subjects in its help, and in that of the commands within it.
pub(super) fn with_subject_forms(command: Command, kinds: &[TokenKind]) -> Command {
    let forms = kinds
        .iter()
        .map(|kind| format!("; {} is {}", kind.holder, kind.subject_form));
    let forms: String = forms.collect();
    let command = command.mut_args(|argument| {
        if argument.get_id() != SUBJECT {
            return argument;
        }
        let help = argument.get_help().map(ToString::to_string);
        let help = help.unwrap_or_default();
        argument.help(help + &forms)
    });
    command.mut_subcommands(|within| with_subject_forms(within, kinds))
}

/// Does work on the database that the settings name, and closes it. `patience` is as in [`Place::open`].
///
/// # Errors
/// If the place cannot be opened, or the work fails.
pub(super) fn work_in<T>(
    application: &'static dyn Application,
    settings: &Settings,
    patience: Duration,
    work: impl AsyncFnOnce(&Place) -> Result<T, Failure>,
) -> Result<T, Failure> {
    actix::System::new().block_on(async {
        let place = Place::open(application, settings, patience).await?;
        let result = work(&place).await;
        place.close().await;
        result
    })
}

/// A database, and the private PostgreSQL that it is in, if this command started it.
pub(super) struct Place {
    pub application: &'static dyn Application,
    pub database: Database,
    is_private: bool,
    embedded: Option<EmbeddedPostgres>,
}

impl Place {
    /// Needs an actix system. Waits for the database as long as `patience`; with none, its first use finds out whether it is there.
    ///
    /// # Errors
    /// If the private PostgreSQL cannot be started, the connection string is wrong, or the database does not answer in time.
    pub async fn open(
        application: &'static dyn Application,
        settings: &Settings,
        patience: Duration,
    ) -> Result<Place, Failure> {
        let configured = settings
            .database
            .configured()
            .map_err(|error| Failure::because("", &error))?;
        let is_private = configured.is_none();
        let (options, embedded) = match configured {
            Some(options) => (options, None),
            None => private(settings).await?,
        };
        let database = Database::start(options).map_err(|error| Failure::because("", &error))?;
        let place = Place {
            application,
            database,
            is_private,
            embedded,
        };
        if !patience.is_zero()
            && let Err(failure) = place.lend_within(patience).await
        {
            place.close().await;
            return Err(failure);
        }
        Ok(place)
    }

    /// Makes Gom's own tables where the database is ours to change: whatever datamodel it is served with.
    ///
    /// # Errors
    /// If the database does not answer, or refuses.
    pub async fn prepare_system(&self, settings: &Settings) -> Result<(), Failure> {
        if settings.database.deploy() {
            let mut client = self
                .database
                .lend()
                .await
                .map_err(|error| Failure::because("", &error))?;
            let failed =
                |error| Failure::because("Gom's own tables cannot be brought up to date", &error);
            migrations::migrate_system(&mut client)
                .await
                .map_err(failed)?;
        }
        Ok(())
    }

    /// As [`Place::prepare_system`], for who only reads: a database that others use, too, stays as it is. The private one may
    /// just have been made.
    ///
    /// # Errors
    /// If the database does not answer, or refuses.
    pub async fn prepare_to_read(&self, settings: &Settings) -> Result<(), Failure> {
        if self.is_private {
            self.prepare_system(settings).await
        } else {
            Ok(())
        }
    }

    /// A connection, waited for so long. Says on standard error every few seconds what it waits for.
    async fn lend_within(&self, patience: Duration) -> Result<Lent, Failure> {
        let begun = Instant::now();
        let mut said: Option<Instant> = None;
        loop {
            let error = match self.database.lend().await {
                Ok(client) => return Ok(client),
                Err(error) => error,
            };
            if begun.elapsed() >= patience {
                return Err(Failure::because("", &error));
            }
            if said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
                let (waited, most) = (begun.elapsed().as_secs(), patience.as_secs());
                eprintln!("waiting for PostgreSQL ({waited} s of {most} s): {error}");
                said = Some(Instant::now());
            }
            sleep(PAUSE).await;
        }
    }

    pub async fn close(self) {
        drop(self.database);
        if let Some(embedded) = self.embedded {
            embedded.stop().await;
        }
    }
}

async fn private(
    settings: &Settings,
) -> Result<(DatabaseOptions, Option<EmbeddedPostgres>), Failure> {
    match EmbeddedPostgres::start(settings.embedded.options()).await {
        Ok(embedded) => Ok((
            DatabaseOptions::new(embedded.connection_config()),
            Some(embedded),
        )),
        Err(error) => {
            // A server of ours runs it: what it serves is ours to use, too.
            if let EmbeddedError::InUse { path, .. } = &error
                && let Some(config) = running(path)
            {
                return Ok((DatabaseOptions::new(config), None));
            }
            Err(Failure::because("", &error))
        }
    }
}

/// How to connect to the PostgreSQL that runs on a data folder, by the file in which it says so: the fifth
/// line names the folder of its socket.
fn running(folder: &Path) -> Option<Config> {
    let text = fs::read_to_string(folder.join("cluster/postmaster.pid")).ok()?;
    let sockets = text.lines().nth(4).filter(|line| !line.is_empty())?;
    let mut config = Config::new();
    config.host_path(sockets).user(USER).dbname(DATABASE);
    Some(config)
}
