//! How the settings say that sessions live, in the words of those who keep them.

use gom_actors::redis::RedisOptions;
use gom_actors::secret::SecretText;
use gom_actors::sessions::{SessionOptions, SessionStoreChoice};

use crate::settings::{Redis, Settings};

/// The options of [`gom_actors::sessions::Sessions`]: the same for servers and for commands, so that a command
/// finds the sessions that a server opened.
pub fn session_options(settings: &Settings) -> SessionOptions {
    let store = redis_options(&settings.redis)
        .map_or(SessionStoreChoice::Postgres, SessionStoreChoice::Redis);
    SessionOptions {
        per_subject: settings.session.per_user,
        ..SessionOptions::new(
            settings.session.options.max_age,
            settings.session.max_lifetime,
            store,
        )
    }
}

/// Where Redis is; nothing if PostgreSQL keeps what it would.
pub fn redis_options(settings: &Redis) -> Option<RedisOptions> {
    let host = settings.host.as_ref()?;
    Some(RedisOptions {
        password: settings
            .password
            .as_ref()
            .map(|password| SecretText::new(password.expose())),
        timeout: settings.timeout,
        ..RedisOptions::new(host, settings.port)
    })
}
