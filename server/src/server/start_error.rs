//! Why a server does not start, or ends.

use std::io;

use gom_actors::database::{TlsError, UrlError};
use gom_actors::live::LiveStartError;
use gom_actors::migrations::MigrateError;
use gom_embedded_postgres::EmbeddedError;
use gom_engine::schema::SchemaError;

use crate::datamodel;
use crate::http::{AuthServicesError, RouteError};
use crate::identity::{SecretError, TokenKindError};
use crate::ledger::LedgerError;
use crate::policy::PolicyError;
use crate::push::PushError;
use crate::telemetry::TracesError;

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Datamodel(#[from] datamodel::ReadError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error(transparent)]
    Url(#[from] UrlError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// Why, without values of rows: it goes into logs.
    #[error(
        "the database cannot be brought to the datamodel: {0}; `gom migrate plan` shows all of it"
    )]
    Deploy(String),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    TokenKind(#[from] TokenKindError),
    #[error(transparent)]
    Route(#[from] RouteError),
    #[error(transparent)]
    AuthServices(#[from] AuthServicesError),
    #[error(transparent)]
    Push(#[from] PushError),
    #[error(transparent)]
    Traces(#[from] TracesError),
    #[error(transparent)]
    Live(#[from] LiveStartError),
    #[error("the server cannot listen on {address}: {cause}; correct {setting}")]
    Listen {
        address: String,
        cause: io::Error,
        setting: &'static str,
    },
    #[error("the server cannot start")]
    Io(#[from] io::Error),
    /// A signal to stop came meanwhile.
    #[error("the server was requested to stop while it started")]
    Stopped,
    /// It did not wait for what was in flight.
    #[error("a second signal was received: shut down without draining")]
    ForcedShutdown,
}

impl From<MigrateError> for StartError {
    fn from(error: MigrateError) -> Self {
        StartError::Deploy(error.without_values())
    }
}
