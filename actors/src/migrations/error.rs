//! Why a migration was not done. Each text contains the remedy.

use std::error::Error as _;

use gom_engine::migrate::{MigrationStep, Misfit, RenameError};

use super::{EMPTY_LOCK_TIMEOUT, LOCK_TIMEOUT};
use crate::database::SqlErrorKind;

/// Nothing was changed, except that Gom's own tables may have been brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// PostgreSQL refused a statement, or the connection was lost.
    #[error("the database refused: {}", describe(.0))]
    Database(#[from] tokio_postgres::Error),
    /// A step failed.
    #[error("cannot {step}: {}; nothing was changed", describe(.error))]
    Step {
        /// What was to be done: `add the column …`.
        step: String,
        /// PostgreSQL's refusal.
        error: tokio_postgres::Error,
    },
    /// Somebody uses tables that are to be locked before what is empty in them goes.
    #[error(
        "another session held a lock on one of {tables} for longer than {EMPTY_LOCK_TIMEOUT}: {}; nothing was changed. \
         End the long transaction (pg_stat_activity shows it), or wait until it is quiet", describe(.error)
    )]
    Busy {
        /// The tables, separated by commas.
        tables: String,
        /// PostgreSQL's refusal.
        error: tokio_postgres::Error,
    },
    /// Rows that the datamodel does not allow.
    #[error("{}", describe_misfits(.0.iter().map(ToString::to_string)))]
    Misfits(Vec<Misfit>),
    /// A rename that fits neither the datamodel nor the database.
    #[error(transparent)]
    Rename(#[from] RenameError),
    /// Steps that lose data, without the permission to.
    #[error("{}", describe_losses(.0))]
    DataLoss(Vec<MigrationStep>),
    /// Gom's own migrations could not be run.
    #[error("Gom's own tables cannot be brought up to date: {}", describe_system(.0))]
    System(Box<refinery::Error>),
    /// A later version of the program has migrated Gom's own tables.
    #[error(
        "the database was migrated by a newer version of gom (its system tables are at version {found}, \
         this program has {known}); use that version"
    )]
    NewerVersion {
        /// The version that the database has.
        found: i32,
        /// The version that this program brings.
        known: i32,
    },
    /// The schema is one of PostgreSQL's or Gom's own.
    #[error(
        "the schema `{0}` cannot hold the datamodel's tables: it has a use of its own; choose another"
    )]
    ReservedSchema(String),
}

impl MigrateError {
    /// Whether a retry may succeed: the connection was lost, or another session held a lock.
    pub fn is_temporary(&self) -> bool {
        causes(self.cause()).any(|error| {
            let refused = error.downcast_ref::<tokio_postgres::Error>();
            error.is::<std::io::Error>()
                || refused
                    .is_some_and(|e| e.is_closed() || SqlErrorKind::of(e).is_some_and(is_temporary))
        })
    }

    /// Whether another session held a lock for too long. Each attempt makes others wait, so the next one should be later.
    pub fn is_lock_timeout(&self) -> bool {
        causes(self.cause()).any(|error| {
            let refused = error.downcast_ref::<tokio_postgres::Error>();
            refused.is_some_and(|e| SqlErrorKind::of(e) == Some(SqlErrorKind::LockTimeout))
        })
    }

    /// The same for a log: without values of rows. PostgreSQL quotes them in details, and in what it says of the data
    /// themselves.
    pub fn without_values(&self) -> String {
        match self {
            MigrateError::Database(error) => format!("the database refused: {}", message(error)),
            MigrateError::Step { step, error } => {
                format!("cannot {step}: {}; nothing was changed", message(error))
            }
            MigrateError::Misfits(misfits) => {
                let lines = misfits.iter().map(|misfit| {
                    format!("{}: {}; {}", misfit.problem, misfit.extent(), misfit.remedy)
                });
                describe_misfits(lines)
            }
            MigrateError::Busy { .. }
            | MigrateError::Rename(_)
            | MigrateError::DataLoss(_)
            | MigrateError::System(_)
            | MigrateError::NewerVersion { .. }
            | MigrateError::ReservedSchema(_) => self.to_string(),
        }
    }

    fn cause(&self) -> Option<Cause<'_>> {
        match self {
            MigrateError::Database(error)
            | MigrateError::Step { error, .. }
            | MigrateError::Busy { error, .. } => Some(error),
            MigrateError::System(error) => Some(&**error),
            _ => None,
        }
    }
}

fn is_temporary(kind: SqlErrorKind) -> bool {
    matches!(
        kind,
        SqlErrorKind::Disconnected
            | SqlErrorKind::NoRoom
            | SqlErrorKind::Restarting
            | SqlErrorKind::LockTimeout
            | SqlErrorKind::Conflict
            | SqlErrorKind::RolledBack
    )
}

type Cause<'a> = &'a (dyn std::error::Error + 'static);

/// An error and what it came from.
fn causes(error: Option<Cause<'_>>) -> impl Iterator<Item = Cause<'_>> {
    std::iter::successors(error, |error| (*error).source())
}

impl From<refinery::Error> for MigrateError {
    fn from(error: refinery::Error) -> Self {
        MigrateError::System(Box::new(error))
    }
}

fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => {
            let more = [db.detail(), db.hint()].into_iter().flatten();
            more.fold(db.message().to_string(), |text, part| {
                format!("{text}; {part}")
            })
        }
        None => match error.source() {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        },
    }
}

fn describe_system(error: &refinery::Error) -> String {
    let mut refusals =
        causes(Some(error)).filter_map(|error| SqlErrorKind::of(error.downcast_ref()?));
    if refusals.any(|kind| kind == SqlErrorKind::LockTimeout) {
        return format!(
            "{error}: another session held a lock for longer than {LOCK_TIMEOUT}, and the migration was undone. \
             End the long transaction (pg_stat_activity shows it), or try again when it is quiet"
        );
    }
    error.to_string()
}

fn describe_losses(steps: &[MigrationStep]) -> String {
    let mut text = String::from("these steps lose data:\n");
    for step in steps {
        let reason = step
            .data_loss
            .as_ref()
            .map(|loss| format!(" ({loss})"))
            .unwrap_or_default();
        text.push_str(&format!("  {}{reason}\n", step.description));
    }
    text.push_str(
        "nothing was changed. If something was renamed, say so with --rename OLD=NEW; \
         if the data may go, with --allow-data-loss",
    );
    text
}

/// PostgreSQL's message, without anything from a row.
fn message(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        // Data exceptions have the value in their message.
        Some(db) if SqlErrorKind::of(error) == Some(SqlErrorKind::BadValue) => {
            format!("a value does not fit ({})", db.code().code())
        }
        Some(db) => db.message().to_owned(),
        None => describe(error),
    }
}

fn describe_misfits(misfits: impl Iterator<Item = String>) -> String {
    let mut text = String::from("there are rows that the datamodel does not allow:\n");
    misfits.for_each(|misfit| text.push_str(&format!("  {misfit}\n")));
    text.push_str("nothing was changed");
    text
}
