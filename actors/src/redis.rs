//! One connection to Redis for each database number: shared, pipelined, and restored by itself. Knows nothing of
//! what is kept there.

use std::time::Duration;

use crate::secret::SecretText;

/// Where Redis is.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    pub host: String,
    pub port: u16,
    pub password: Option<SecretText>,
    /// How long an answer may take before the server counts as failed. At most half a second: whoever asks is
    /// promised an answer within 600 ms.
    pub timeout: Duration,
}

impl RedisOptions {
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        RedisOptions { host: host.into(), port, password: None, timeout: Duration::from_millis(250) }
    }
}

/// What is wrong with the options.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedisOptionsError {
    #[error(
        "redis.host is empty; set it to the name or address of the Redis server, or unset it to use PostgreSQL"
    )]
    NoHost,
}
