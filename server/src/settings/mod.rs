//! What the operator decides: read once, at start, from defaults, files, the environment and the command
//! line, in this order. The table in `keys.rs` says which keys there are; nothing else reads configuration.

mod access;
mod address;
mod application;
mod check;
mod keys;
mod kind;
mod layers;
mod limits;
mod problem;
mod push;
mod report;
mod secret;
mod source;
mod strength;
mod table;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gom_actors::database::{DatabaseOptions, UrlError};
use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

pub use access::{
    AccessToken, AccessTokenCookie, Accounts, Auth, Auth0, Csrf, CsrfCookie, Local, LoginLimit,
    LoginLimiter, Provider, Redis, SameSite, Session, SessionCookie,
};
pub(crate) use address::is_local;
pub use application::ApplicationSettings;
pub use kind::Kind;
use layers::Layer;
pub use limits::{AllLimits, Limits};
pub use problem::{Problem, SettingsError};
pub use push::{Push, Vapid};
pub use report::{Effective, documentation, secret_files};
pub use secret::Secret;
pub use source::Source;
pub use strength::weakness;
pub use table::Key;
use table::Table;

/// All settings, checked. Times in files and variables are milliseconds.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub server: Server,
    pub database: Database,
    pub embedded: Embedded,
    #[serde(default)]
    pub service: Service,
    #[serde(default)]
    pub datamodel: DatamodelFiles,
    #[serde(default)]
    pub policy: FileChoice,
    pub graphql: Graphql,
    pub limits: AllLimits,
    pub cache: Cache,
    pub live: Live,
    pub sockets: Sockets,
    pub log: Log,
    /// Unset: see [`crate::identity::AppKeys::obtain`].
    pub app_key: Option<Secret>,
    pub app_key_previous: Option<Secret>,
    pub redis: Redis,
    pub auth: Auth,
    pub session: Session,
    pub access_token: AccessToken,
    pub csrf: Csrf,
    pub login_limiter: LoginLimiter,
    pub push: Push,
    pub metrics: Metrics,
    /// Of the keys that the application declares.
    #[serde(skip)]
    pub application: ApplicationSettings,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    pub host: String,
    /// 0: any free port.
    pub port: u16,
    /// 0: one for each core.
    pub workers: usize,
    #[serde(default)]
    pub role: ServerRole,
    #[serde(deserialize_with = "milliseconds")]
    pub shutdown_timeout: Duration,
    #[serde(deserialize_with = "milliseconds")]
    pub drain_delay: Duration,
    /// How long a client may take nothing of its answer.
    #[serde(deserialize_with = "milliseconds")]
    pub send_timeout: Duration,
    /// Of the requests that are held.
    pub request_bytes: usize,
    /// Of what waits for all clients.
    pub waiting_bytes: usize,
    /// Whose word on the client's address is taken.
    #[serde(default, deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// As browsers write them, beside the server's own.
    #[serde(default)]
    pub origins: Vec<String>,
    /// Before the name of each cookie.
    pub cookie_prefix: Option<String>,
    pub welcome: bool,
    pub openapi: bool,
}

/// What a process does of all that there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerRole {
    #[default]
    All,
    /// Answers requests and holds sockets; what is to be sent waits for a worker.
    Api,
    /// Sends; answers nobody but those who look after it.
    Worker,
}

impl ServerRole {
    /// As it is written in settings.
    pub fn name(self) -> &'static str {
        match self {
            ServerRole::All => "all",
            ServerRole::Api => "api",
            ServerRole::Worker => "worker",
        }
    }

    /// Whether it answers the API's requests.
    pub fn answers(self) -> bool {
        self != ServerRole::Worker
    }

    /// Whether it carries out push jobs.
    pub fn dispatches(self) -> bool {
        self != ServerRole::Api
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Unset: a private PostgreSQL.
    pub url: Option<Secret>,
    /// Goes with a URL that has none.
    pub password: Option<Secret>,
    pub schema: String,
    /// Of the process, for requests.
    pub max_connections: usize,
    /// For each worker.
    pub read_connections: usize,
    /// For each worker.
    pub write_connections: usize,
    /// Requests of one worker.
    pub max_in_hand: usize,
    /// Requests of one worker.
    pub max_waiting: usize,
    /// Prepared statements for each connection.
    pub statement_cache: usize,
    /// Bytes of SQL of these.
    pub statement_cache_bytes: usize,
    /// Bytes of SQL of one of these.
    pub statement_bytes: usize,
    pub retries: u32,
    #[serde(deserialize_with = "milliseconds")]
    pub statement_timeout: Duration,
    #[serde(deserialize_with = "milliseconds")]
    pub connect_timeout: Duration,
    deploy: Option<bool>,
}

impl Database {
    /// How the configured database is reached; nothing if there is to be a private one.
    ///
    /// # Errors
    /// If the URL is none.
    pub fn configured(&self) -> Result<Option<DatabaseOptions>, UrlError> {
        let Some(url) = &self.url else {
            return Ok(None);
        };
        let mut options = DatabaseOptions::from_url(url.expose())?;
        if let Some(password) = &self.password {
            options.server.password(password.expose());
        }
        Ok(Some(options))
    }

    /// Whether the database is brought to the datamodel before serving: by default only a private one.
    pub fn deploy(&self) -> bool {
        self.deploy.unwrap_or(self.url.is_none())
    }
}

/// What websockets and event streams may take.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sockets {
    #[serde(deserialize_with = "milliseconds")]
    pub init_timeout: Duration,
    pub message_bytes: usize,
    pub operations: usize,
    pub per_user: usize,
    pub per_address: usize,
    pub total: usize,
    pub queue_messages: usize,
    pub queue_bytes: usize,
    #[serde(deserialize_with = "milliseconds")]
    pub stall_timeout: Duration,
    #[serde(deserialize_with = "milliseconds")]
    pub heartbeat: Duration,
}

/// How changes are followed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Live {
    #[serde(deserialize_with = "milliseconds")]
    pub poll_interval: Duration,
    #[serde(deserialize_with = "milliseconds")]
    pub keep_for: Duration,
    /// Changes.
    pub keep: u64,
    /// Zero: not at all.
    #[serde(deserialize_with = "milliseconds")]
    pub remember_for: Duration,
    #[serde(deserialize_with = "milliseconds")]
    pub user_budget: Duration,
    #[serde(deserialize_with = "milliseconds")]
    pub max_lag: Duration,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embedded {
    pub data_dir: PathBuf,
    pub programs: Option<PathBuf>,
    pub demo: bool,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    pub secret: Option<Secret>,
    /// Whether tokens must have `exp` and a role.
    pub require_claims: bool,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatamodelFiles {
    pub file: Option<PathBuf>,
    pub renames: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileChoice {
    pub file: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Graphql {
    pub introspection: bool,
    pub console: bool,
    pub execute_raw: bool,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    pub document_bytes: usize,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub level: String,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Pretty,
    Json,
}

/// Where metrics are served; with neither port nor token, nowhere.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    pub host: String,
    /// 0: any free port.
    pub port: Option<u16>,
    pub token: Option<Secret>,
}

fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_secs)
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts
        .iter()
        .map(|text| text.parse().map_err(serde::de::Error::custom))
        .collect()
}

/// What the settings are read for: serving needs secrets that a tool can do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Serve,
    Tool,
}

/// Everything that settings are read from.
#[derive(Debug, Clone)]
pub struct Inputs {
    pub purpose: Purpose,
    /// The keys that the application declares.
    pub keys: &'static [Key],
    pub variables: BTreeMap<OsString, OsString>,
    /// `--config`; unset: `./config`, and the files that are built in where one is not there.
    pub directory: Option<PathBuf>,
    /// Key, flag, text.
    pub arguments: Vec<(&'static str, &'static str, String)>,
}

/// Settings, and for `gom config` each key with its value and source.
#[derive(Debug)]
pub struct Loaded {
    pub settings: Settings,
    pub environment: String,
    pub effective: Vec<Effective>,
}

const ENVIRONMENTS: [(&str, &str); 3] = [
    (
        "development",
        include_str!("../../../config/development.toml"),
    ),
    ("staging", include_str!("../../../config/staging.toml")),
    (
        "production",
        include_str!("../../../config/production.toml"),
    ),
];

/// Reads the settings.
///
/// # Errors
/// Everything that is wrong, at once: unknown keys, values that a key does not take, missing secrets.
pub fn load(inputs: &Inputs) -> Result<Loaded, SettingsError> {
    let (loaded, problems) = read(inputs)?;
    if problems.is_empty() {
        Ok(loaded)
    } else {
        Err(SettingsError { problems })
    }
}

/// Only where the server is: what is wrong with other keys does not matter, and neither does whether their files can be
/// read.
///
/// # Errors
/// What is wrong with the keys of `server`, or with all settings.
pub fn server(inputs: &Inputs) -> Result<Server, SettingsError> {
    let (loaded, mut problems) = read(inputs)?;
    let table = Table::with(inputs.keys);
    problems.retain(|problem| {
        let key = problem.key.as_str();
        key.starts_with("server.") || table.find(key).is_none() && !key.contains('.')
    });
    if problems.is_empty() {
        Ok(loaded.settings.server)
    } else {
        Err(SettingsError { problems })
    }
}

/// The settings, with the weaker values of keys whose values were refused, and what was refused.
fn read(inputs: &Inputs) -> Result<(Loaded, Vec<Problem>), SettingsError> {
    let mut problems = Vec::new();
    let (environment, built_in) = environment(&inputs.variables, &mut problems);

    let (files, mut file_problems) = layers::files(inputs.directory.as_deref(), environment);
    problems.append(&mut file_problems);
    let own_file = files
        .iter()
        .any(|(path, _)| path.file_stem().is_some_and(|stem| stem == environment));
    let table = Table::with(inputs.keys);
    let mut all = vec![Layer::defaults(&table)];
    if inputs.directory.is_none() && !own_file {
        let path = format!("(built in) config/{environment}.toml");
        all.push(Layer::toml(&table, Path::new(&path), built_in));
    }
    all.extend(
        files
            .iter()
            .map(|(path, text)| Layer::toml(&table, path, text)),
    );
    all.push(Layer::environment(&table, &inputs.variables));
    all.push(Layer::arguments(&table, &inputs.arguments));

    let (mut everything, mut own) = (config::Config::builder(), config::Config::builder());
    for mut layer in all {
        problems.append(&mut layer.problems);
        own = own.add_source(layer.without(inputs.keys));
        everything = everything.add_source(layer);
    }
    let built = everything
        .build()
        .and_then(|everything| Ok((everything, own.build()?)));
    let (everything, own) = built.map_err(|error| unexpected(problems.clone(), &error))?;
    let effective = report::effective(&table, &everything);
    // Refused values are missing here, so their keys' weaker values stand in: enough to look for the rest.
    let mut settings: Settings = own
        .try_deserialize()
        .map_err(|error| unexpected(problems.clone(), &error))?;
    settings.application = ApplicationSettings::read(inputs.keys, &everything);
    check::check(&settings, inputs.purpose, environment, &mut problems);
    Ok((
        Loaded {
            settings,
            environment: environment.to_owned(),
            effective,
        },
        problems,
    ))
}

/// The name in `GOM_ENV` and the file that is built in for it.
fn environment(
    variables: &BTreeMap<OsString, OsString>,
    problems: &mut Vec<Problem>,
) -> (&'static str, &'static str) {
    let development = ENVIRONMENTS[0];
    let Some(name) = variables
        .get(&OsString::from("GOM_ENV"))
        .filter(|name| !name.is_empty())
    else {
        return development;
    };
    ENVIRONMENTS
        .into_iter()
        .find(|(known, _)| name == known)
        .unwrap_or_else(|| {
            problems.push(Problem {
                key: "GOM_ENV".into(),
                source: Some(Source::Variable("GOM_ENV".into())),
                message: format!("there is no environment {name:?}"),
                remedy: "give development, staging or production".into(),
            });
            development
        })
}

/// The table and the types disagree, which a test rules out; reported like a problem all the same.
fn unexpected(mut problems: Vec<Problem>, error: &config::ConfigError) -> SettingsError {
    problems.push(Problem {
        key: "(settings)".into(),
        source: None,
        message: error.to_string(),
        remedy: "this is a fault of the program: please report it".into(),
    });
    SettingsError { problems }
}

#[cfg(test)]
mod tests;
