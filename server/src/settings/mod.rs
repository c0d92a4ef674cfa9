//! What the operator decides: read once, at start, from defaults, files, the environment and the command line, in this order.
//! Each section's file declares its settings (`section!`), and fills the options of what it configures; nothing else reads
//! configuration.

mod address;
mod application;
mod auth;
mod check;
mod cookies;
mod database;
mod files;
mod graphql;
mod idempotency;
mod issuers;
mod key;
mod kind;
mod layers;
mod limits;
mod live;
mod log;
mod login_limiter;
mod masked;
mod metrics;
mod problem;
mod push;
mod redis;
mod report;
mod server;
mod sessions;
mod sockets;
mod source;
mod strength;
mod table;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use config::{Value, ValueKind};
use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

pub use self::application::ApplicationSettings;
pub use self::auth::{Accounts, Auth, Local, OAuth2, Provider, Service};
pub use self::cookies::{
    AccessToken, AccessTokenCookie, Csrf, CsrfCookie, SameSite, Session, SessionCookie,
};
pub use self::database::Database;
pub use self::files::{DatamodelFiles, Embedded, PolicyFile};
pub use self::graphql::{Cache, Graphql};
pub use self::idempotency::Idempotency;
pub use self::issuers::{ClaimPath, Issuer};
pub use self::key::Key;
pub use self::kind::Kind;
pub use self::limits::{AllLimits, Limits};
pub use self::live::Live;
pub use self::log::{Log, LogFormat};
pub use self::login_limiter::{LoginLimit, LoginLimiter};
pub use self::metrics::Metrics;
pub use self::problem::{Problem, SettingsError};
pub use self::push::{Push, Vapid};
pub(crate) use self::redis::Stores;
pub use self::redis::{Redis, StoreBackend};
pub use self::report::{Effective, documentation, secret_files};
pub use self::server::{Server, ServerRole};
pub use self::sessions::Sessions;
pub use self::sockets::Sockets;
pub use self::source::Source;
pub use self::strength::weakness;
pub(crate) use address::{is_local, url};
pub use gom_actors::secret::SecretText as Secret;
use key::{SECRET, section};
use layers::Layer;
use table::KeyTable;

/// An application declares its keys itself.
const NO_KEYS: &[Key] = &[];

section! {
    /// All settings, checked.
    pub struct Settings at "" {
        /// The keys of cookies and of the tokens that the server itself issues are derived from it; 32 characters
        /// or more, the same on all nodes. Unset: made at first start and kept beside the private database; with
        /// `database.url`, derived from `service.secret`.
        pub app_key: Option<Secret> = SECRET.variables(&["APP_KEY"]),
        /// The `app_key` before this one: what it signed is still accepted, so that changing the key logs nobody
        /// out.
        pub app_key_previous: Option<Secret> = SECRET.variables(&["APP_KEY_PREVIOUS"]),
    } with {
        /// Where the process listens, and how it stops.
        pub server: Server,
        /// PostgreSQL.
        pub database: Database,
        /// The private PostgreSQL.
        pub embedded: Embedded,
        /// Service tokens.
        pub service: Service,
        /// What is served.
        pub datamodel: DatamodelFiles,
        /// Who may see and do what.
        pub policy: PolicyFile,
        /// What the API offers.
        pub graphql: Graphql,
        /// What callers may ask for.
        pub limits: AllLimits,
        /// What is kept in memory.
        pub cache: Cache,
        /// How idempotency keys are kept.
        pub idempotency: Idempotency,
        /// How changes are followed.
        pub live: Live,
        /// Websockets and event streams.
        pub sockets: Sockets,
        /// What is logged.
        pub log: Log,
        /// Where Redis is.
        pub redis: Redis,
        /// Who checks passwords, and what tokens say.
        pub auth: Auth,
        /// The cookie `session-id`.
        pub session: Session,
        /// How sessions are stored.
        pub sessions: Sessions,
        /// The cookie `session-token`.
        pub access_token: AccessToken,
        /// The cookie `csrf-token`.
        pub csrf: Csrf,
        /// How often logins may fail.
        pub login_limiter: LoginLimiter,
        /// Web Push.
        pub push: Push,
        /// Where metrics are served.
        pub metrics: Metrics,
        /// Of the keys that the application declares.
        #[serde(skip)]
        pub application: ApplicationSettings = NO_KEYS,
    }
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
    /// A server that is about to start.
    Serve,
    /// A command that reads settings and serves nothing.
    Tool,
}

/// Everything that settings are read from.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// Decides which secrets have to be there.
    pub purpose: Purpose,
    /// The keys that the application declares.
    pub keys: &'static [Key],
    /// The process's environment.
    pub variables: BTreeMap<OsString, OsString>,
    /// `--config`; unset: `./config`, and the files that are built in where one is not there.
    pub directory: Option<PathBuf>,
    /// Key, flag, text ([`flag_of`]).
    pub arguments: Vec<(&'static str, &'static str, String)>,
}

/// Settings, and for `gom config` each key with its value and source.
#[derive(Debug)]
pub struct Loaded {
    /// Merged from all places, and checked.
    pub settings: Settings,
    /// Former names that were accepted, with those that replace them: to be logged once.
    pub warnings: Vec<String>,
    /// `GOM_ENV`: `development`, `staging` or `production`.
    pub environment: String,
    /// Every key, in the order of the page of all keys.
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
    let table = KeyTable::with(inputs.keys);
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
    problems.append(&mut application::problems(inputs.keys));
    let table = KeyTable::with(inputs.keys);
    let mut all = vec![Layer::defaults(&table)];
    if inputs.directory.is_none() && !own_file {
        let path = format!("{}config/{environment}.toml", source::BUILT_IN);
        all.push(Layer::toml(&table, Path::new(&path), built_in));
    }
    all.extend(
        files
            .iter()
            .map(|(path, text)| Layer::toml(&table, path, text)),
    );
    all.push(Layer::environment(&table, &inputs.variables));
    all.push(Layer::arguments(&table, &inputs.arguments));

    let mut builder = config::Config::builder();
    let mut warnings = Vec::new();
    problems.append(&mut layers::contradictions(&all));
    for mut layer in all {
        problems.append(&mut layer.problems);
        warnings.append(&mut layer.warnings);
        builder = builder.add_source(layer);
    }
    let merged = builder
        .build()
        .map_err(|error| unexpected(problems.clone(), &error))?;
    let effective = report::effective(&table, &merged);
    // Refused values are missing here, so their keys' weaker values stand in: enough to look for the rest.
    let mut settings = Settings::deserialize(as_fields(&merged))
        .map_err(|error| unexpected(problems.clone(), &error))?;
    settings.application = ApplicationSettings::read(inputs.keys, &merged);
    check::check(&settings, inputs.purpose, environment, &mut problems);
    Ok((
        Loaded {
            settings,
            warnings,
            environment: environment.to_owned(),
            effective,
        },
        problems,
    ))
}

/// The merged values as the structs of the sections read them.
fn as_fields(merged: &config::Config) -> Value {
    let mut root = config::Map::new();
    for key in table::own() {
        let found = report::value_of(merged, key.path)
            .map(|value| value.kind.clone())
            .or_else(|| key.kind.unset());
        let value = found.map_or(ValueKind::Nil, |value| key.kind.as_field(value));
        let path: Vec<&str> = key.path.split('.').collect();
        place(&mut root, &path, value);
    }
    Value::new(None, ValueKind::Table(root))
}

fn place(table: &mut config::Map<String, Value>, path: &[&str], value: ValueKind) {
    let [name, rest @ ..] = path else { return };
    if rest.is_empty() {
        table.insert((*name).to_owned(), Value::new(None, value));
        return;
    }
    let section = table
        .entry((*name).to_owned())
        .or_insert_with(|| Value::new(None, ValueKind::Table(config::Map::new())));
    if let ValueKind::Table(section) = &mut section.kind {
        place(section, rest, value);
    }
}

/// The flag of commands that sets a key of the server's own.
pub fn flag_of(path: &str) -> Option<&'static str> {
    table::own().find(|key| key.path == path)?.flag
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
