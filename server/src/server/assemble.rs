//! A server assembled from settings: each part is started, then the port is handed to the workers.

use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::middleware::{NormalizePath, TrailingSlash, from_fn};
use actix_web::rt::net::TcpStream;
use actix_web::{App, HttpServer, web};
use gom_actors::database::{Database, DatabaseOptions};
use gom_actors::live::{Live, LiveStartError};
use gom_embedded_postgres::EmbeddedPostgres;
use gom_engine::events::{Cursor, EventMessage, Subscription};
use gom_telemetry::metrics::AtomicInstant;
use tokio::sync::watch;

use super::{Server, StartError};
use crate::admission::{self, HeldRequests};
use crate::application::Application;
use crate::datamodel;
use crate::deployment::{Deployed, Deployer};
use crate::graphql::{Api, Engine, EngineOptions, write_event};
use crate::http::openapi::Description;
use crate::http::{
    self, AuthServices, Console, HealthChecks, InlineMetrics, Metrics, MetricsServer, Renewals,
    SendingLimits, State, Welcome,
};
use crate::identity::{Cursors, ServiceTokens, check_kinds, obtain_service_secret};
use crate::ledger;
use crate::metrics::MetricsCollector;
use crate::policy;
use crate::push;
use crate::settings::Settings;
use crate::socket::{ConnectionLimiter, LocalSockets, OwnSocket, SocketServices, positions};
use crate::stop::Stop;
use crate::telemetry::Traces;

/// A proxy in front keeps its connections for about a minute; ours must not end first.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a deployment holds up the start: health checks get an answer after this time.
const FOR_DEPLOYMENT: Duration = Duration::from_secs(10);

impl Server {
    pub(super) async fn assemble(
        settings: Settings,
        application: &'static dyn Application,
        stop: Stop,
    ) -> Result<Self, StartError> {
        let role = settings.server.role;
        check_kinds(application.token_kinds())?;
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
        http::register_routes(&additions)?;
        let description = Description::new(Arc::clone(&additions));
        let description = settings.server.openapi.then(|| Arc::new(description));
        let own_demo =
            embedded.is_some() && settings.datamodel.file.is_none() && settings.embedded.demo;
        let deployer = Deployer {
            database: database.clone(),
            datamodel,
            schema: settings.database.schema.clone(),
            deployed: Deployed::default(),
            apply: settings.database.deploy(),
            physical: Some(engine.planner.shared_physical()),
            demo: own_demo.then(|| application.seed_data(&settings)).flatten(),
            stop: stop.clone(),
        };
        let deployed = deployer.deployed.clone();
        let deployment = deployer.begin(FOR_DEPLOYMENT).await?;
        // After the tables that it needs, where they could be made.
        let auth = role
            .answers()
            .then(|| AuthServices::start(&settings, &database, &engine, application.token_kinds()))
            .transpose()?;

        let live = live(&settings, &database, &engine).await?;
        let push =
            push::start(application, &settings, &database, &engine, &live, &deployed).await?;
        http::forget_devices(auth.as_ref(), &push);
        let checks = HealthChecks {
            role,
            datamodel: digest,
            database: database.clone(),
            deployed: deployed.clone(),
            live: live.clone(),
            push: push.clone(),
            logins: auth
                .as_ref()
                .map(|auth| (auth.sessions.clone(), auth.limiter.clone())),
            stores: settings.stores(),
            stop: stop.clone(),
        };
        let began = Arc::new(AtomicInstant::default());
        began.set_now();
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
            .then(|| positions(&settings, &database))
            .flatten();
        let sending = SendingLimits::of(&settings.server);
        let waiting = admission::waiting(&limits, sending.waiting_bytes);
        let requests = HeldRequests::new(&limits, sending.request_bytes);
        let renewals = Arc::new(Renewals::new(settings.push.renewals_per_minute));
        let (stop_sockets, stopping) = watch::channel(false);
        // The rest is for what is in flight on the last of them, and for those who do not read.
        let spread = settings.server.shutdown_timeout / 4;
        let (of_workers, of_live, of_push) = (database.clone(), live.clone(), push.clone());
        let keys = Arc::clone(&tokens);
        let server = HttpServer::new(move || {
            // Called once in each worker's thread: the state is the worker's own.
            let state = auth.as_ref().map(|auth| {
                let api = Api {
                    engine: Arc::clone(&engine),
                    database: of_workers.local(),
                    live: of_live.local_within(&waiting),
                    push: Some(of_push.clone()),
                    deployed: deployed.clone(),
                    admission: admission::admission(&waiting, &limits, sending.waiting_bytes),
                };
                let sockets = LocalSockets::start(
                    auth.sessions.clone(),
                    bounds.stall_timeout,
                    spread,
                    stopping.clone(),
                );
                State {
                    ledger: Api {
                        engine: Arc::clone(&ledger),
                        ..api.clone()
                    },
                    tokens: Arc::clone(&keys),
                    limits: Arc::clone(&limits),
                    socket_services: Rc::new(SocketServices {
                        api: api.clone(),
                        tokens: Arc::clone(&keys),
                        identity: auth.identity.clone(),
                        bounds: Arc::clone(&bounds),
                        positions: positions.clone(),
                        sockets: sockets.clone(),
                        waiting: waiting.clone(),
                        requests: requests.clone(),
                    }),
                    api,
                    sockets,
                    auth: Arc::new(auth.local()),
                    push: of_push.clone(),
                    renewals: Arc::clone(&renewals),
                    bounds: Arc::clone(&bounds),
                    connections: connections.clone(),
                    waiting: waiting.clone(),
                    requests: requests.clone(),
                    sending,
                    console: console.clone(),
                    welcome,
                    additions: Arc::clone(&additions),
                    description: description.clone(),
                }
            });
            let origins = auth
                .as_ref()
                .map(|auth| Arc::clone(&auth.origins))
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
        // A client that has gone away is noticed while its request is in flight: its long reads are cancelled.
        .h1_allow_half_closed(false)
        // In whole seconds; the deadline of the whole process is kept by `run`.
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
}

/// Where the database is: the configured one, or a private one, which is started.
async fn database(
    settings: &Settings,
    workers: usize,
) -> Result<(DatabaseOptions, Option<EmbeddedPostgres>), StartError> {
    let (reached, embedded) = match settings.database.configured()? {
        Some(reached) => (reached, None),
        None => {
            let embedded = EmbeddedPostgres::start(settings.embedded.options()).await?;
            (
                DatabaseOptions::new(embedded.connection_config()),
                Some(embedded),
            )
        }
    };
    let options = DatabaseOptions {
        live_connections: settings.live.connections,
        ..settings.database.options(reached, workers)
    };
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
    let options = settings.live.options(
        &settings.database.schema,
        settings.redis.options(),
        settings.idempotency.retention(),
    );
    let (planner, cursors) = (engine.planner.clone(), engine.cursors.clone());
    let encode = move |subscription: &Subscription, message: &EventMessage, cursor: Cursor| {
        let completed = match &message.payload {
            Some(payload) => planner.message(subscription, payload),
            None => planner.empty_message(subscription),
        };
        // Even of no row, so that its client knows a server that reports leaves.
        let left = subscription
            .reports_leaves()
            .then(|| planner.left(subscription, &message.left));
        web::Bytes::from(write_event(
            completed.answer.as_deref(),
            &completed.errors,
            &cursors.seal(cursor),
            left.as_deref(),
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
