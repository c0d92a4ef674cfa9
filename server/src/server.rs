//! The server: put together from settings, run until it is told to stop.

mod start_error;

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev;
use actix_web::middleware::{NormalizePath, TrailingSlash, from_fn};
use actix_web::rt::net::TcpStream;
use actix_web::{App, HttpServer, web};
use gom_actors::database::{Database, DatabaseOptions};
use gom_actors::live::{Live, LiveOptions, LiveStartError};
use gom_actors::push::Push;
use gom_embedded_postgres::{EmbeddedOptions, EmbeddedPostgres};
use gom_engine::events::{Cursor, Subscription};
use gom_telemetry::metrics::Moment;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::application::Application;
use crate::datamodel;
use crate::deployment::{Deployed, Deploying, Deployment};
use crate::graphql::{Api, Engine, EngineOptions, write_event};
use crate::http::openapi::Description;
use crate::http::{
    self, AuthServices, Console, HealthChecks, InlineMetrics, Metrics, MetricsServer, Renewals,
    Sending, State, Welcome,
};
use crate::identity::{Cursors, ServiceTokens, obtain_service_secret, redis_options};
use crate::ledger;
use crate::metrics::MetricsCollector;
use crate::policy;
use crate::push;
use crate::settings::Settings;
use crate::socket::{ConnectionLimiter, LocalSockets, OwnSocket};
use crate::stop::Stop;
use crate::telemetry::Traces;

pub use self::start_error::StartError;

/// A proxy in front keeps its connections for about a minute; ours must not end first.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a deployment that is given up has to say so to the database.
const GIVE_UP: Duration = Duration::from_secs(1);
/// How long a deployment holds up the start: whoever checks whether the process lives gets an answer after this time.
const FOR_DEPLOYMENT: Duration = Duration::from_secs(10);
/// What the private PostgreSQL gets of `server.shutdown_timeout` to stop cleanly, at most.
const FOR_EMBEDDED: Duration = Duration::from_secs(3);

/// The last spans have this long to be sent, also where all else has taken its time.
const LAST_SPANS: Duration = Duration::from_millis(300);

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
    /// How long it takes requests after it was told to stop.
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
            stop.asked().await;
            sleep(GIVE_UP).await;
        };
        tokio::select! {
            built = Self::put_together(settings, application, stop.clone()) => match built {
                Ok(server) if stop.is_asked() => {
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

    async fn put_together(
        settings: Settings,
        application: &'static dyn Application,
        stop: Stop,
    ) -> Result<Self, StartError> {
        let role = settings.server.role;
        let traces = Traces::start(|name| std::env::var(name).ok())?;
        let datamodel = application.read_datamodel(&settings)?;
        for warning in &datamodel.warnings {
            tracing::warn!("{warning}");
        }
        let engine = Engine::new(datamodel.model.clone(), &EngineOptions::of(&settings))?;
        let policy = application.load_policy(&settings, &datamodel.model, &engine.schema)?;
        if let Some(policy) = &policy {
            policy::check_cost(policy, &engine.planner, &settings.limits.everyone)?;
        }
        let write_rules = application.write_rules(&datamodel.model, &engine.schema, &settings);
        let mut engine = Box::new(engine.with_policy(policy, write_rules));
        let server = &settings.server;
        let listener = listen(
            &server.host,
            server.port,
            "--port (server.port) or server.host",
        )?;
        let workers = match settings.server.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let ledger = Arc::new(ledger::engine(&settings)?);
        let (options, embedded) = database(&settings, workers).await?;
        let tokens = ServiceTokens::new(&obtain_service_secret(&settings)?);
        let tokens = Arc::new(tokens.require_claims(settings.service.require_claims));
        if role.answers() {
            engine.seal_cursors(Cursors::obtain(&settings)?);
        }
        let engine: Arc<Engine> = Arc::from(engine);
        let database = Database::start(options)?;
        let examples = match settings.datamodel.file {
            None => application.console_examples(),
            Some(_) => http::ANY_EXAMPLES,
        };
        let console = settings.graphql.console.then(|| Console::new(examples));
        let digest = datamodel::digest(&datamodel.text).into();
        let welcome = if settings.server.welcome {
            Welcome::Full
        } else {
            Welcome::Brief
        };
        let additions = Arc::new(application.additions(&engine));
        http::register_routes(&additions);
        let description = Description::new(Arc::clone(&additions));
        let description = settings.server.openapi.then(|| Arc::new(description));
        let own_demo =
            embedded.is_some() && settings.datamodel.file.is_none() && settings.embedded.demo;
        let deployment = Deployment {
            database: database.clone(),
            datamodel,
            schema: settings.database.schema.clone(),
            deployed: Deployed::default(),
            apply: settings.database.deploy(),
            physical: Some(engine.planner.shared_physical()),
            demo: own_demo.then(|| application.seed_data(&settings)).flatten(),
            stop: stop.clone(),
        };
        let deployed = deployment.deployed.clone();
        let deployment = deployment.begin(FOR_DEPLOYMENT).await?;
        // After the tables that it needs, where they could be made.
        let edge = role
            .answers()
            .then(|| AuthServices::start(&settings, &database, &engine, application.token_kinds()))
            .transpose()?;

        let live = live(&settings, &database, &engine).await?;
        let push =
            push::start(application, &settings, &database, &engine, &live, &deployed).await?;
        http::forget_devices(edge.as_ref(), &push);
        let checks = HealthChecks {
            role,
            datamodel: digest,
            database: database.clone(),
            deployed: deployed.clone(),
            live: live.clone(),
            push: push.clone(),
            logins: edge
                .as_ref()
                .map(|edge| (edge.sessions.clone(), edge.limiter.clone())),
            redis: settings.redis.host.is_some(),
            stop: stop.clone(),
        };
        let began = Arc::new(Moment::default());
        began.is_now();
        let collector = MetricsCollector {
            engine: Arc::clone(&engine),
            live: live.clone(),
            push: push.clone(),
            began,
        };
        let metrics = Arc::new(Metrics::new(&settings.metrics, collector));
        let metrics_server = match settings.metrics.port {
            Some(port) => {
                let listener =
                    listen(&settings.metrics.host, port, "metrics.port or metrics.host")?;
                Some(MetricsServer::start(listener, &metrics)?)
            }
            None => None,
        };
        let here = metrics_server.is_none() && settings.metrics.token.is_some();
        let shown = web::Data::new(InlineMetrics(here.then_some(metrics)));

        let limits = Arc::new(settings.limits.clone());
        let (bounds, connections) = (
            Arc::new(settings.sockets.clone()),
            ConnectionLimiter::default(),
        );
        let positions = role
            .answers()
            .then(|| http::positions(&settings, &database))
            .flatten();
        let sending = Sending::of(&settings.server);
        let waiting = http::waiting(&limits, sending.waiting_bytes);
        let asked = http::asked(&limits, sending.request_bytes);
        let renewals = Arc::new(Renewals::new(settings.push.renewals_per_minute));
        let (stop_sockets, stopping) = watch::channel(false);
        let (of_workers, of_live, of_push) = (database.clone(), live.clone(), push.clone());
        let keys = Arc::clone(&tokens);
        let server = HttpServer::new(move || {
            // Called once in each worker's thread: the state is the worker's own.
            let state = edge.as_ref().map(|edge| {
                let api = Api {
                    engine: Arc::clone(&engine),
                    database: of_workers.local(),
                    live: of_live.local_within(&waiting),
                    push: Some(of_push.clone()),
                    deployed: deployed.clone(),
                    admission: http::admission(&waiting, &limits, sending.waiting_bytes),
                };
                State {
                    ledger: Api {
                        engine: Arc::clone(&ledger),
                        ..api.clone()
                    },
                    api,
                    tokens: Arc::clone(&keys),
                    limits: Arc::clone(&limits),
                    sockets: LocalSockets::start(
                        edge.sessions.clone(),
                        bounds.stall_timeout,
                        stopping.clone(),
                    ),
                    edge: Arc::new(edge.local()),
                    push: of_push.clone(),
                    renewals: Arc::clone(&renewals),
                    bounds: Arc::clone(&bounds),
                    connections: connections.clone(),
                    positions: positions.clone(),
                    waiting: waiting.clone(),
                    asked: asked.clone(),
                    sending,
                    console: console.clone(),
                    welcome,
                    additions: Arc::clone(&additions),
                    description: description.clone(),
                }
            });
            let origins = edge
                .as_ref()
                .map(|edge| Arc::clone(&edge.origins))
                .unwrap_or_default();
            let app = App::new()
                .app_data(web::Data::new(checks.clone()))
                .app_data(shown.clone());
            let app = match state {
                Some(state) => app
                    .app_data(web::Data::new(state))
                    .configure(|config| http::routes(&additions, config)),
                None => app.configure(http::worker_routes),
            };
            app.wrap(from_fn(http::carry))
                .wrap(NormalizePath::new(TrailingSlash::Trim))
                .wrap(from_fn(http::without_slash))
                .wrap(http::cors(&origins))
                .wrap(from_fn(http::identify))
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
        // In whole seconds; what is said of the whole process is kept below.
        .shutdown_timeout(settings.server.shutdown_timeout.as_millis().div_ceil(1_000) as u64)
        .disable_signals()
        .listen(listener)?;
        let addresses = server.addrs();
        Ok(Server {
            server: server.run(),
            addresses,
            database,
            embedded,
            tokens,
            push,
            shutdown_timeout: settings.server.shutdown_timeout,
            drain_delay: settings.server.drain_delay,
            stop,
            metrics: metrics_server,
            traces,
            deployment,
            stop_sockets,
        })
    }

    /// Where the server listens; never port 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where metrics are served, if they have a port of their own.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|server| server.address)
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

    /// Answers requests until SIGTERM or SIGINT, and for `server.drain_delay` after; then finishes those in hand, and the
    /// messages on their way, and stops the private PostgreSQL. It has ended within `server.shutdown_timeout` of that,
    /// whatever does not answer; what hangs is left to the end of the process.
    ///
    /// # Errors
    /// If the server itself fails, or a database that came later cannot be brought to the datamodel;
    /// [`StartError::ForcedShutdown`] after a second signal.
    pub async fn run_until_stopped(self) -> Result<(), StartError> {
        let Server {
            mut server,
            database,
            embedded,
            deployment,
            stop_sockets,
            push,
            stop,
            metrics,
            traces,
            ..
        } = self;
        let handle = server.handle();
        let mut deploying = pin!(async {
            match deployment {
                Some(deployment) => deployment.await,
                None => Ok(()),
            }
        });
        let (mut ended, mut deployed) = (false, false);
        let failed = loop {
            tokio::select! {
                result = &mut server => {
                    ended = true;
                    break result.err().map(StartError::from);
                }
                done = &mut deploying, if !deployed => {
                    deployed = true;
                    if let Err(error) = done {
                        break Some(error.into());
                    }
                }
                () = stop.asked() => break None,
            }
        };
        if stop.is_asked() && !deployed {
            // It gives up by itself, and tells the database so.
            let _ = timeout(GIVE_UP, deploying).await;
        }
        if stop.is_asked() && !self.drain_delay.is_zero() {
            let milliseconds = self.drain_delay.as_millis();
            tracing::info!(milliseconds, "draining: still accepting requests");
            tokio::select! {
                () = sleep(self.drain_delay) => {}
                _ = &mut server, if !ended => ended = true,
                () = stop.insisted() => return Err(StartError::ForcedShutdown),
            }
        }
        tracing::info!("stopping");
        let end = Instant::now() + self.shutdown_timeout;
        let for_embedded = self.shutdown_timeout / 4;
        let of_spans = traces.as_ref().map_or(Duration::ZERO, |_| {
            LAST_SPANS.min(self.shutdown_timeout / 4)
        });
        let of_work = embedded
            .as_ref()
            .map_or(end, |_| end - for_embedded.min(FOR_EMBEDDED))
            - of_spans;
        let finishing = async {
            stop_sockets.send_replace(true);
            let left = of_work.saturating_duration_since(Instant::now());
            // What is on its way to devices arrives; what is not taken up waits for another server, or the next start.
            let answering = async {
                if !ended {
                    let _ = tokio::join!(handle.stop(true), server);
                }
            };
            let work = async { tokio::join!(answering, push.drain(left)) };
            if timeout_at(of_work, work).await.is_err() {
                tracing::warn!(
                    "not all that was in hand is finished, and server.shutdown_timeout is over"
                );
            }
            if let Some(metrics) = metrics {
                // The order is given at once.
                let _ = timeout_at(of_work, metrics.handle.stop(false)).await;
            }
            if let Some(traces) = traces {
                traces
                    .shut_down((of_work + of_spans).saturating_duration_since(Instant::now()))
                    .await;
            }
            drop(push);
            // Its connections go before their server does.
            drop(database);
            if let Some(embedded) = embedded
                && timeout_at(end, embedded.stop()).await.is_err()
            {
                tracing::warn!(
                    "the private PostgreSQL has not stopped in time; it ends with this process"
                );
            }
        };
        tokio::select! {
            () = finishing => failed.map_or(Ok(()), Err),
            () = stop.insisted() => Err(StartError::ForcedShutdown),
        }
    }
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
            (
                DatabaseOptions::new(embedded.connection_config()),
                Some(embedded),
            )
        }
    };
    options.workers = workers;
    options.max_connections = chosen.max_connections;
    options.shared_per_worker = chosen.read_connections;
    options.leased_per_worker = chosen.write_connections;
    options.max_in_hand = chosen.max_in_hand;
    options.max_waiting = chosen.max_waiting;
    options.statement_cache = chosen.statement_cache;
    options.statement_cache_bytes = chosen.statement_cache_bytes;
    options.statement_bytes = chosen.statement_bytes;
    options.statement_timeout = chosen.statement_timeout;
    options.connect_timeout = chosen.connect_timeout;
    options.retries = chosen.retries;
    Ok((options, embedded))
}

/// Follows the database's changes for the engine's subscriptions.
///
/// # Errors
/// See [`Live::start_apart`].
pub async fn live(
    settings: &Settings,
    database: &Database,
    engine: &Engine,
) -> Result<Live, LiveStartError> {
    let options = LiveOptions {
        schema: settings.database.schema.clone(),
        poll: settings.live.poll_interval,
        keep_for: settings.live.keep_for,
        keep: settings.live.keep,
        user_budget: settings.live.user_budget,
        max_lag: settings.live.max_lag,
        redis: redis_options(&settings.redis),
    };
    let (planner, cursors) = (engine.planner.clone(), engine.cursors.clone());
    let encode = move |subscription: &Subscription, payload: &str, cursor: Cursor| {
        let completed = planner.message(subscription, payload);
        web::Bytes::from(write_event(
            completed.answer.as_deref(),
            &completed.errors,
            &cursors.seal(cursor),
        ))
    };
    // Sessions, limits and the database's supervisor are on this thread.
    Live::start_apart(options, database, engine.planner.clone(), Arc::new(encode)).await
}

/// Bound before anything is started, so that a port in use is known at once.
fn listen(host: &str, port: u16, setting: &'static str) -> Result<TcpListener, StartError> {
    let failed = |cause| StartError::Listen {
        address: format!("{host}:{port}"),
        cause,
        setting,
    };
    let listener = TcpListener::bind((host, port)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}
