//! The server: assembled from settings (`assemble`), run until it is requested to stop (`run`).

mod assemble;
mod run;
mod start_error;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev;
use gom_actors::database::Database;
use gom_actors::push::Push;
use gom_embedded_postgres::EmbeddedPostgres;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use crate::application::Application;
use crate::deployment::Deploying;
use crate::http::MetricsServer;
use crate::identity::ServiceTokens;
use crate::settings::Settings;
use crate::stop::Stop;
use crate::telemetry::Traces;

pub use self::assemble::live;
pub use self::start_error::StartError;

/// How long a deployment that is cancelled has to release its locks in the database.
const GIVE_UP: Duration = Duration::from_secs(1);

/// A server that listens and has not begun to answer.
pub struct Server {
    server: dev::Server,
    addresses: Vec<SocketAddr>,
    database: Database,
    embedded: Option<EmbeddedPostgres>,
    tokens: Arc<ServiceTokens>,
    push: Push,
    /// How long requests and messages to devices may take to finish once it stops.
    shutdown_timeout: Duration,
    /// How long it accepts requests after it was requested to stop.
    drain_delay: Duration,
    stop: Stop,
    metrics: Option<MetricsServer>,
    traces: Option<Traces>,
    /// What is left to do, because the database was not there, or takes longer.
    deployment: Option<Deploying>,
    /// Tells sockets and event streams that the server stops; a stop would wait for them.
    stop_sockets: watch::Sender<bool>,
}

impl Server {
    /// Reads the datamodel, starts the private PostgreSQL if there is no other, and binds the port. Does not
    /// wait for a database that is elsewhere: `/readyz` tells when it is there.
    ///
    /// Needs an actix system. Signals are listened for from here on.
    ///
    /// # Errors
    /// What only the operator can put right; [`StartError::Stopped`] if a signal came first.
    pub async fn build(
        settings: Settings,
        application: &'static dyn Application,
    ) -> Result<Self, StartError> {
        let stop = Stop::on_signals()?;
        let given_up = async {
            stop.requested().await;
            sleep(GIVE_UP).await;
        };
        tokio::select! {
            built = Self::assemble(settings, application, stop.clone()) => match built {
                Ok(server) if stop.is_requested() => {
                    if let Some(embedded) = server.embedded {
                        let end = Instant::now() + server.shutdown_timeout;
                        // Else it ends with this process.
                        let _ = timeout_at(end, embedded.stop()).await;
                    }
                    Err(StartError::Stopped)
                }
                built => built,
            },
            () = given_up => Err(StartError::Stopped),
        }
    }

    /// Where the server listens; never port 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The database that holds the served rows and the server's own tables.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The private PostgreSQL, if there is one.
    pub fn embedded(&self) -> Option<&EmbeddedPostgres> {
        self.embedded.as_ref()
    }

    /// What verifies this server's service tokens and issues them.
    pub fn tokens(&self) -> &ServiceTokens {
        &self.tokens
    }
}
