//! One connection to Redis for each database number: shared, pipelined, and restored by itself. Knows nothing of
//! what is kept there.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, FromRedisValue, IntoConnectionInfo,
    Pipeline, RedisConnectionInfo, RedisError, RedisResult, ScriptInvocation,
};

use crate::secret::SecretText;
use gom_runtime::reconnecting::{
    Reconnecting, StoreConnector, StoreError, StoreErrorKind, StoreState,
};
use gom_telemetry::health::HealthReporter;

/// A server that takes longer than this for an answer counts as failed, whatever the options say: callers have an
/// answer within 600 ms.
const MAX_TIMEOUT: Duration = Duration::from_millis(500);

/// The key that a check of the server writes, and the milliseconds for which it stays.
const CHECK_KEY: &str = "gom:look";
const CHECK_KEY_MILLISECONDS: u32 = 10_000;

/// Where Redis is.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// The server's name or address.
    pub host: String,
    /// The server's port.
    pub port: u16,
    /// What the server requires of clients; nothing without a password.
    pub password: Option<SecretText>,
    /// How long connecting, and each answer, may take before the server counts as failed. More than 500 ms
    /// counts as 500 ms.
    pub timeout: Duration,
}

impl RedisOptions {
    /// Without a password, and with a timeout of 250 ms.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        RedisOptions {
            host: host.into(),
            port,
            password: None,
            timeout: Duration::from_millis(250),
        }
    }
}

/// What is wrong with the options.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedisOptionsError {
    /// The name of the server is empty.
    #[error(
        "redis.host is empty; set it to the name or address of the Redis server, or unset it to use PostgreSQL"
    )]
    NoHost,
    /// The driver makes no address of host and port.
    #[error("redis.host and redis.port make no address: {0}")]
    Malformed(String),
}

/// A database of the Redis server. Cloning is cheap; the connection ends with the last clone.
#[derive(Clone)]
pub(crate) struct Redis {
    connection: Reconnecting<MultiplexedConnection>,
}

impl Redis {
    /// Connects on this thread's runtime and stays connected. Returns at once, whether or not Redis is there.
    pub fn connect(options: &RedisOptions, database: u8) -> Result<Self, RedisOptionsError> {
        let timeout = options.timeout.min(MAX_TIMEOUT);
        let client = client(options, database)?;
        Ok(Redis {
            connection: Reconnecting::keep(RedisConnector {
                client,
                database,
                timeout,
            }),
        })
    }

    /// How the connection is doing.
    pub fn reporter(&self) -> &HealthReporter {
        self.connection.reporter()
    }

    /// Sends an idempotent request: it is sent again on a new connection if the old one is lost meanwhile. Ends within
    /// 550 ms; the error is the reason why there is no answer.
    pub async fn ask<T: FromRedisValue + Send>(&self, request: impl Request) -> Result<T, String> {
        self.send(true, request).await
    }

    /// As [`Redis::ask`], but never sends twice: for what must not count twice.
    pub async fn ask_once<T: FromRedisValue + Send>(
        &self,
        request: impl Request,
    ) -> Result<T, String> {
        self.send(false, request).await
    }

    async fn send<T: FromRedisValue + Send>(
        &self,
        idempotent: bool,
        request: impl Request,
    ) -> Result<T, String> {
        let answer = self
            .connection
            .request(idempotent, |connection| async move {
                request
                    .send::<T>(connection)
                    .await
                    .map_err(|error| store_error(&error))
            });
        answer.await.map_err(|reason| format!("Redis: {reason}"))
    }
}

/// The numbers of the databases that are used: wake-ups, devices, sessions, limits.
pub const DATABASES: [u8; 4] = [0, 1, 2, 3];

/// A client for one of them, to examine the server itself.
///
/// # Errors
/// Options that make no address.
pub fn open(options: &RedisOptions, database: u8) -> Result<Client, RedisOptionsError> {
    client(options, database)
}

/// For a connection that listens to channels, which takes no other requests.
pub(crate) fn subscriber(options: &RedisOptions) -> Result<Client, RedisOptionsError> {
    // Channels belong to the server, not to one of its databases.
    client(options, 0)
}

fn client(options: &RedisOptions, database: u8) -> Result<Client, RedisOptionsError> {
    if options.host.trim().is_empty() {
        return Err(RedisOptionsError::NoHost);
    }
    let mut settings = RedisConnectionInfo::default()
        .set_db(i64::from(database))
        .set_skip_set_lib_name();
    if let Some(password) = &options.password {
        settings = settings.set_password(password.expose());
    }
    ConnectionAddr::Tcp(options.host.clone(), options.port)
        .into_connection_info()
        .map(|info| info.set_redis_settings(settings))
        .and_then(Client::open)
        .map_err(|error| RedisOptionsError::Malformed(error.to_string()))
}

/// What can be sent: one command, several together, or a script.
pub(crate) trait Request: Copy + Send + Sync {
    fn send<T: FromRedisValue + Send>(
        self,
        connection: MultiplexedConnection,
    ) -> impl Future<Output = RedisResult<T>> + Send;
}

impl Request for &Cmd {
    async fn send<T: FromRedisValue + Send>(
        self,
        mut connection: MultiplexedConnection,
    ) -> RedisResult<T> {
        self.query_async(&mut connection).await
    }
}

impl Request for &Pipeline {
    async fn send<T: FromRedisValue + Send>(
        self,
        mut connection: MultiplexedConnection,
    ) -> RedisResult<T> {
        self.query_async(&mut connection).await
    }
}

impl Request for &ScriptInvocation<'_> {
    /// By its digest; loaded first if the server has not cached it.
    async fn send<T: FromRedisValue + Send>(
        self,
        mut connection: MultiplexedConnection,
    ) -> RedisResult<T> {
        self.invoke_async(&mut connection).await
    }
}

fn store_error(error: &RedisError) -> StoreError {
    let kind = match () {
        () if error.is_timeout() => StoreErrorKind::Silent,
        () if error.is_connection_dropped()
            || error.is_io_error()
            || error.is_unrecoverable_error() =>
        {
            StoreErrorKind::Lost
        }
        () => StoreErrorKind::Refused,
    };
    StoreError {
        reason: error.to_string(),
        kind,
    }
}

struct RedisConnector {
    client: Client,
    database: u8,
    timeout: Duration,
}

impl StoreConnector for RedisConnector {
    type Connection = MultiplexedConnection;

    fn name(&self) -> String {
        format!("Redis (database {})", self.database)
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    async fn open(&self) -> Result<MultiplexedConnection, String> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout));
        let connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await;
        connection.map_err(|error| error.to_string())
    }

    /// Writes something: a server that is full or read-only answers a `PING`, and takes no session.
    async fn check(&self, connection: &MultiplexedConnection) -> Result<StoreState, String> {
        let mut set = redis::cmd("SET");
        set.arg(CHECK_KEY)
            .arg(1)
            .arg("PX")
            .arg(CHECK_KEY_MILLISECONDS);
        // A connection without answer is given up; a server that answers with an error is not silent.
        match set.exec_async(&mut connection.clone()).await {
            Ok(()) => Ok(StoreState::Healthy),
            Err(error) if store_error(&error).kind != StoreErrorKind::Refused => {
                Err(error.to_string())
            }
            Err(error) => Ok(match error.code() {
                Some("READONLY") => StoreState::ReadOnly(error.to_string()),
                // Its rules let us write our own keys only.
                Some("NOPERM") => StoreState::Healthy,
                _ => StoreState::RefusesWrites(error.to_string()),
            }),
        }
    }
}
