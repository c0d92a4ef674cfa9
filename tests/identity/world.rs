//! An identity with a database of its own, and settings as a test wants them.

use std::collections::BTreeMap;
use std::time::Duration;

use gom_actors::database::{Database, DatabaseOptions};
use gom_actors::migrations;
use gom_actors::secret::SecretText;
use gom_server::identity::{AppKeys, Identity, KeyPace, Roles, TokenKind};
use gom_server::settings::{self, Inputs, Purpose, Settings};
use gom_test_support::TestDatabase;

use crate::issuer::{AUDIENCE, CLIENT, CLIENT_SECRET, ISSUER, Issuer};

/// Small, so that a test may hash often.
const HASH_MEMORY: &str = "64";

pub const APP_KEY: &str = "the tests' app key, which has the length that is asked for";

/// Short times, so that a test may wait for them.
pub const PACE: KeyPace = KeyPace {
    after_success: Duration::from_millis(300),
    after_failure: Duration::from_millis(1_000),
    fresh: Duration::from_millis(900),
    usable: Duration::from_millis(2_500),
};
/// For one answer of the issuer.
pub const TIMEOUT: Duration = Duration::from_millis(1_500);

pub struct World {
    pub identity: Identity,
    pub database: Database,
    pub settings: Settings,
    pub rows: TestDatabase,
}

/// `more`: keys and values over the tests' usual ones.
pub fn settings(more: &[(&'static str, &str)]) -> Settings {
    let fixed = [
        ("database.url", "postgres://nowhere.example/x"),
        ("service.secret", "the tests' service secret, long enough"),
        ("app_key", APP_KEY),
        ("auth.accounts.hash_memory", HASH_MEMORY),
        ("auth.accounts.hash_passes", "1"),
    ];
    let given = |key: &str| more.iter().any(|(other, _)| *other == key);
    let fixed = fixed.into_iter().filter(|(key, _)| !given(key));
    let arguments = fixed.chain(more.iter().copied());
    let arguments = arguments
        .map(|(key, value)| (key, "the test", value.to_owned()))
        .collect();
    let inputs = Inputs {
        keys: gom_shop::KEYS,
        purpose: Purpose::Serve,
        variables: BTreeMap::new(),
        directory: None,
        arguments,
    };
    settings::load(&inputs)
        .unwrap_or_else(|error| panic!("{error}"))
        .settings
}

/// The tokens of the shop's customers.
pub const KINDS: &[TokenKind] = &[gom_shop::CUSTOMER_TOKEN];

/// As the policy would have them.
pub fn roles() -> Roles {
    let permissions = ["role:seller", "read:orders"].map(str::to_owned).to_vec();
    [("seller".to_owned(), permissions)].into_iter().collect()
}

impl World {
    /// With accounts of its own.
    pub async fn start() -> World {
        Self::start_with(&[]).await
    }

    pub async fn start_with(more: &[(&'static str, &str)]) -> World {
        let rows = TestDatabase::create().await;
        migrations::migrate_system(&mut rows.connect().await)
            .await
            .unwrap();
        Self::on(rows, more)
    }

    /// With an issuer elsewhere.
    pub async fn at(issuer: &Issuer) -> World {
        Self::at_with(issuer, &[]).await
    }

    pub async fn at_with(issuer: &Issuer, more: &[(&'static str, &str)]) -> World {
        let (token, keys) = (
            format!("{}/token", issuer.address),
            format!("{}/keys", issuer.address),
        );
        let timeout = TIMEOUT.as_millis().to_string();
        let mut all = vec![
            ("auth.provider", "oauth2"),
            ("auth.oauth2.token_url", token.as_str()),
            ("auth.oauth2.jwks_endpoint", keys.as_str()),
            ("auth.oauth2.issuer", ISSUER),
            ("auth.oauth2.audience", AUDIENCE),
            ("auth.oauth2.client_id", CLIENT),
            ("auth.oauth2.client_secret", CLIENT_SECRET),
            ("auth.oauth2.timeout", timeout.as_str()),
        ];
        all.extend_from_slice(more);
        Self::start_with(&all).await
    }

    pub fn on(rows: TestDatabase, more: &[(&'static str, &str)]) -> World {
        let settings = settings(more);
        let database = Database::start(DatabaseOptions::from_url(&rows.url()).unwrap()).unwrap();
        let keys = AppKeys::obtain(&settings).unwrap();
        let identity =
            Identity::with_key_pace(&settings, &keys, roles(), KINDS, &database, PACE).unwrap();
        World {
            identity,
            database,
            settings,
            rows,
        }
    }

    /// The same with other settings: a restarted server.
    pub fn restarted_with(&self, more: &[(&'static str, &str)]) -> Identity {
        let settings = settings(more);
        let keys = AppKeys::obtain(&settings).unwrap();
        Identity::with_key_pace(&settings, &keys, roles(), KINDS, &self.database, PACE).unwrap()
    }
}

pub fn secret(text: &str) -> SecretText {
    SecretText::new(text)
}

/// Everything but the signature, and the signature.
pub fn halves(token: &str) -> (&str, &str) {
    token.rsplit_once('.').unwrap()
}
