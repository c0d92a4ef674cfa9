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
    /// The datamodel cannot be read, or is wrong.
    #[error(transparent)]
    Datamodel(#[from] datamodel::ReadError),
    /// The policy cannot be read, or does not fit the datamodel.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The ledger of push cannot be served.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Names of the datamodel clash in the API.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// `database.url` is no connection string.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The certificates for connections to the database cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The private PostgreSQL cannot be started.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// Why, without values of rows: it goes into logs.
    #[error(
        "the database cannot be brought to the datamodel: {0}; `gom migrate plan` shows all of it"
    )]
    Deploy(String),
    /// A secret is missing, or the file that holds it cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Two kinds of tokens of the application clash.
    #[error(transparent)]
    TokenKind(#[from] TokenKindError),
    /// An endpoint of the application cannot be served at its path.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// The services of logins cannot be started.
    #[error(transparent)]
    AuthServices(#[from] AuthServicesError),
    /// Push cannot be set up.
    #[error(transparent)]
    Push(#[from] PushError),
    /// The environment variables of OpenTelemetry cannot be followed.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// The change log cannot be followed.
    #[error(transparent)]
    Live(#[from] LiveStartError),
    /// A port cannot be bound.
    #[error("the server cannot listen on {address}: {cause}; correct {setting}")]
    Listen {
        /// Host and port.
        address: String,
        /// What the system reported.
        cause: io::Error,
        /// The settings that name the address.
        setting: &'static str,
    },
    /// The system refuses signals, threads or sockets.
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
