//! The server: put together from settings, run until it is told to stop.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::middleware::{NormalizePath, TrailingSlash, from_fn};
use actix_web::rt::net::TcpStream;
use actix_web::{App, HttpServer, web};
use gom_actors::database::{Database, DatabaseOptions, TlsError, UrlError};
use gom_actors::embedded::{EmbeddedError, EmbeddedOptions, EmbeddedPostgres};
use gom_actors::live::{Live, LiveOptions};
use gom_actors::migrations::MigrateError;
use gom_actors::push::Push;
use gom_actors::redis::RedisOptionsError;
use gom_engine::events::{Cursor, Subscription};
use gom_engine::schema::CannotServe;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::datamodel;
use crate::deployment::{Deployed, Deployment};
use crate::graphql::{Api, Engine, EngineOptions, write_event};
use crate::http::{self, Console, Edge, EdgeError, Examples, State, Welcome};
use crate::identity::{SecretError, ServiceTokens, obtain_service_secret, redis_options};
use crate::ledger;
use crate::policy::{self, PolicyError};
use crate::push::{self, PushError};
use crate::seed::DemoShop;
use crate::settings::Settings;
use crate::socket::{Census, LocalSockets, OwnSocket};

/// A proxy in front keeps its connections for about a minute; ours must not end first.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Datamodel(#[from] datamodel::ReadError),
    #[error("{0}")]
    Policy(#[from] PolicyError),
    #[error("{0}")]
    CannotServe(#[from] CannotServe),
    #[error("{0}")]
    Url(#[from] UrlError),
    #[error("{0}")]
    Tls(#[from] TlsError),
    #[error("{0}")]
    Embedded(#[from] EmbeddedError),
    #[error("the database cannot be brought to the datamodel: {0}")]
    Deploy(#[from] MigrateError),
    #[error("{0}")]
    Secret(#[from] SecretError),
    #[error("{0}")]
    Edge(#[from] EdgeError),
    #[error("{0}")]
    Push(#[from] PushError),
    #[error("{0}")]
    Redis(#[from] RedisOptionsError),
    #[error("the server cannot listen on {address}: {cause}; correct --port (server.port) or server.host")]
    Listen { address: String, cause: io::Error },
    #[error("the server cannot start: {0}")]
    Io(#[from] io::Error),
}

/// A server that listens and has not begun to answer.
pub struct Application {
    server: Server,
    addresses: Vec<SocketAddr>,
    database: Database,
    embedded: Option<EmbeddedPostgres>,
    tokens: Arc<ServiceTokens>,
    push: Push,
    /// How long requests, and then messages to devices, may take to finish once it is told to stop.
    drain: Duration,
    /// Left to do, because the database was not there.
    deployment: Option<Deployment>,
    /// Tells sockets and event streams that the server stops; a stop would wait for them.
    stop_sockets: watch::Sender<bool>,
}

impl Application {
    /// Reads the datamodel, starts the private PostgreSQL if there is no other, and binds the port. Does not
    /// wait for a database that is elsewhere: `/readyz` tells when it is there.
    ///
    /// Needs an actix system.
    ///
    /// # Errors
    /// What only the operator can put right.
    pub async fn build(settings: Settings) -> Result<Self, StartError> {
        let datamodel = datamodel::read(&settings)?;
        let engine = Engine::new(datamodel.model.clone(), &EngineOptions::of(&settings))?;
        let policy = policy::load(&settings, &datamodel.model, &engine.schema)?;
        let engine = Arc::new(engine.govern(policy, settings.shop.time_zone()));
        let listener = listen(&settings)?;
        let workers = match settings.server.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let ledger = Arc::new(ledger::engine(&settings)?);
        let (options, embedded) = database(&settings, workers).await?;
        let tokens = Arc::new(ServiceTokens::new(&obtain_service_secret(&settings)?));
        let database = Database::start(options)?;
        let examples = if settings.datamodel.file.is_none() { Examples::Shop } else { Examples::Any };
        let console = settings.graphql.console.then(|| Console::new(examples));
        let welcome = if settings.server.welcome { Welcome::Full } else { Welcome::Brief };
        let own_shop = embedded.is_some() && settings.datamodel.file.is_none();
        let deployment = Deployment {
            database: database.clone(),
            datamodel,
            schema: settings.database.schema.clone(),
            deployed: Deployed::default(),
            apply: settings.database.deploy(),
            physical: Some(engine.planner.shared_physical()),
            demo: (own_shop && settings.embedded.demo).then(|| DemoShop::new(&settings)),
        };
        let deployed = deployment.deployed.clone();
        let deployment = (!deployment.try_now().await?).then_some(deployment);
        // After the tables that it needs, where they could be made.
        let edge = Edge::start(&settings, &database, &engine)?;

        let live = live(&settings, &database, &engine)?;
        let push = push::start(&settings, &database, &engine, &live, &deployed).await?;
        let limits = Arc::new(settings.limits.clone());
        let (bounds, census) = (Arc::new(settings.sockets.clone()), Census::default());
        let (stop_sockets, stopping) = watch::channel(false);
        let (of_workers, of_live, of_push) = (database.clone(), live.clone(), push.clone());
        let keys = Arc::clone(&tokens);
        let server = HttpServer::new(move || {
            // Called once in each worker's thread: the state is the worker's own.
            let api = Api {
                engine: Arc::clone(&engine),
                database: of_workers.local(),
                live: of_live.local(),
                push: Some(of_push.clone()),
                deployed: deployed.clone(),
            };
            let state = State {
                ledger: Api { engine: Arc::clone(&ledger), ..api.clone() },
                api,
                tokens: Arc::clone(&keys),
                limits: Arc::clone(&limits),
                sockets: LocalSockets::start(edge.sessions.clone(), stopping.clone()),
                edge: Arc::new(edge.local()),
                push: of_push.clone(),
                bounds: Arc::clone(&bounds),
                census: census.clone(),
                console: console.clone(),
                welcome,
            };
            App::new()
                .app_data(web::Data::new(state))
                .wrap(from_fn(http::carry))
                .wrap(from_fn(http::identify))
                .wrap(NormalizePath::new(TrailingSlash::Trim))
                .configure(http::routes)
        })
        .workers(workers)
        .keep_alive(KEEP_ALIVE)
        .on_connect(|connection, data| {
            if let Some(stream) = connection.downcast_ref::<TcpStream>() {
                data.insert(OwnSocket(stream.as_raw_fd()));
            }
        })
        // A client that has gone away is noticed while its request is in hand: its long reads are cancelled.
        .h1_allow_half_closed(false)
        .shutdown_timeout(settings.server.shutdown_timeout.as_secs().max(1))
        .disable_signals()
        .listen(listener)?;
        let addresses = server.addrs();
        Ok(Application {
            server: server.run(),
            addresses,
            database,
            embedded,
            tokens,
            push,
            drain: settings.server.shutdown_timeout,
            deployment,
            stop_sockets,
        })
    }

    /// Where the server listens; never port 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The private PostgreSQL, if there is one.
    pub fn embedded(&self) -> Option<&EmbeddedPostgres> {
        self.embedded.as_ref()
    }

    pub fn tokens(&self) -> &ServiceTokens {
        &self.tokens
    }

    /// Answers requests until SIGTERM or SIGINT; then finishes those in hand and stops the private PostgreSQL.
    /// A second signal does not wait for them.
    ///
    /// # Errors
    /// If the server itself fails, or a database that came later cannot be brought to the datamodel.
    pub async fn run_until_stopped(self) -> Result<(), StartError> {
        let Application { server, database, embedded, deployment, stop_sockets, push, drain, .. } = self;
        let handle = server.handle();
        actix_web::rt::spawn(stop_on_signals(handle.clone(), stop_sockets.clone())?);
        let mut failed = None;
        let deploying = async {
            if let Some(deployment) = deployment
                && let Err(error) = deployment.keep_trying().await
            {
                failed = Some(error);
                stop_sockets.send_replace(true);
                handle.stop(true).await;
            }
            // Done: what is left is the server's.
            std::future::pending::<()>().await;
        };
        let result = tokio::select! {
            result = server => result,
            () = deploying => Ok(()),
        };
        // Writes are over: what is on its way to devices arrives, the rest waits for the next start.
        push.drain(drain).await;
        drop(push);
        // Its connections go before their server does.
        drop(database);
        if let Some(embedded) = embedded {
            embedded.stop().await;
        }
        result?;
        failed.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// Stops the server at the first signal, and at the second does not wait for requests in hand.
fn stop_on_signals(
    handle: ServerHandle,
    stop_sockets: watch::Sender<bool>,
) -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        for graceful in [true, false] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!(graceful, "stopping");
            stop_sockets.send_replace(true);
            // The order to stop is given at once; only its end is waited for.
            actix_web::rt::spawn(handle.stop(graceful));
        }
    })
}

/// Where the database is: the configured one, or a private one, which is started.
async fn database(
    settings: &Settings,
    workers: usize,
) -> Result<(DatabaseOptions, Option<EmbeddedPostgres>), StartError> {
    let chosen = &settings.database;
    let (mut options, embedded) = match chosen.configured()? {
        Some(options) => (options, None),
        None => {
            let embedded = EmbeddedPostgres::start(EmbeddedOptions {
                programs: settings.embedded.programs.clone(),
                ..EmbeddedOptions::new(&settings.embedded.data_dir)
            })
            .await?;
            (DatabaseOptions::new(embedded.connection_config()), Some(embedded))
        }
    };
    options.workers = workers;
    options.max_connections = chosen.max_connections;
    options.shared_per_worker = chosen.read_connections;
    options.leased_per_worker = chosen.write_connections;
    options.max_in_hand = chosen.max_in_hand;
    options.max_waiting = chosen.max_waiting;
    options.statement_cache = chosen.statement_cache;
    options.statement_timeout = chosen.statement_timeout;
    options.connect_timeout = chosen.connect_timeout;
    options.retries = chosen.retries;
    Ok((options, embedded))
}

/// Follows the database's changes for the engine's subscriptions.
pub fn live(settings: &Settings, database: &Database, engine: &Engine) -> Result<Live, RedisOptionsError> {
    let options = LiveOptions {
        schema: settings.database.schema.clone(),
        poll: settings.live.poll_interval,
        keep_for: settings.live.keep_for,
        keep: settings.live.keep,
        redis: redis_options(&settings.redis),
    };
    let planner = engine.planner.clone();
    let encode = move |subscription: &Subscription, payload: &str, cursor: Cursor| {
        let completed = planner.message(subscription, payload);
        web::Bytes::from(write_event(completed.answer.as_deref(), &completed.errors, &cursor))
    };
    Live::start(options, database, engine.planner.clone(), Arc::new(encode))
}

/// Bound before anything is started, so that a port in use is known at once.
fn listen(settings: &Settings) -> Result<TcpListener, StartError> {
    let address = (settings.server.host.as_str(), settings.server.port);
    let failed = |cause| StartError::Listen { address: format!("{}:{}", address.0, address.1), cause };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}
