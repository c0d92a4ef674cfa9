//! The stores of a server, and servers on them.

use crate::app::{SECRET, TestApp};
use crate::{TestDatabase, TestRedis};

/// The `app_key`.
pub const KEY: &str = "the key of the tests, which is long enough";

/// Where sessions and limits are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stores {
    Redis,
    Postgres,
}

/// What the stores of a server are; dropped after it, with its connections still open, which is its matter.
pub struct Place {
    pub database: TestDatabase,
    pub redis: Option<TestRedis>,
}

impl Place {
    pub async fn new(stores: Stores) -> Place {
        let redis = match stores {
            Stores::Redis => Some(TestRedis::start()),
            Stores::Postgres => None,
        };
        Place {
            database: TestDatabase::create().await,
            redis,
        }
    }

    /// A server on these stores. `settings`: keys and values beyond the defaults, the later the stronger.
    pub async fn serve(&self, settings: &[(&'static str, &str)]) -> TestApp {
        let (url, redis) = (
            self.database.url(),
            self.redis.as_ref().map(|redis| redis.port().to_string()),
        );
        let mut all = vec![
            ("database.url", url.as_str()),
            ("database.deploy", "true"),
            ("service.secret", SECRET),
            ("app_key", KEY),
            // The least that argon2 takes: these tests are of what is around it.
            ("auth.accounts.hash_memory", "8"),
            ("auth.accounts.hash_passes", "1"),
        ];
        if let Some(port) = &redis {
            // As much time as there can be: these tests are not about a busy machine.
            all.extend([
                ("redis.host", "127.0.0.1"),
                ("redis.port", port),
                ("redis.timeout", "500"),
            ]);
        }
        all.extend(settings);
        TestApp::with(&all).await
    }
}
