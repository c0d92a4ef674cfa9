//! A server of the test's own, on the stores that the test wants.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use gom_server::server::Server;
use gom_server::settings::{self, Inputs, Purpose, Settings};
use gom_shop::Shop;
use gom_test_support::{TestDatabase, TestRedis};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::browser::Browser;

/// What a deployment may take on a busy machine.
const DEPLOYMENT: Duration = Duration::from_secs(30);

/// The `app_key`.
pub const KEY: &str = "the key of the tests, which is long enough";

/// Where sessions and limits are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stores {
    Redis,
    Postgres,
}

/// A running server.
pub struct TestApp {
    pub address: String,
    pub settings: Settings,
    token: String,
    client: reqwest::Client,
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
            ("service.secret", "the tests' service secret, long enough"),
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
        TestApp::start(&all).await
    }
}

impl TestApp {
    /// A server with these settings, on a free port.
    pub async fn start(settings: &[(&'static str, &str)]) -> TestApp {
        let mut all = BTreeMap::from([("server.port", "0"), ("server.workers", "1")]);
        all.extend(settings.iter().copied());
        let arguments = all
            .into_iter()
            .map(|(key, value)| (key, "the test", value.to_owned()))
            .collect();
        let inputs = Inputs {
            keys: gom_shop::KEYS,
            purpose: Purpose::Serve,
            variables: BTreeMap::new(),
            directory: None,
            arguments,
        };
        let settings = settings::load(&inputs)
            .unwrap_or_else(|error| panic!("{error}"))
            .settings;
        let application = Server::build(settings.clone(), &Shop).await.unwrap();
        let address = format!("http://{}", application.addresses()[0]);
        let token = application
            .tokens()
            .sign(SystemTime::now(), Duration::from_secs(3_600))
            .unwrap();
        actix_web::rt::spawn(application.run_until_stopped());
        let app = TestApp {
            address,
            settings,
            token,
            client: reqwest::Client::new(),
        };
        // On a busy machine the deployment may take longer than the server waits for it. Some have no database, on purpose.
        let deployed = async { while !app.is_deployed().await {} };
        let _ = tokio::time::timeout(DEPLOYMENT, deployed).await;
        app
    }

    async fn is_deployed(&self) -> bool {
        let answer = self
            .client
            .get(format!("{}/readyz", self.address))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        let deployed = serde_json::from_str::<Value>(&answer)
            .is_ok_and(|body| body["datamodel"]["state"] == "ready");
        if !deployed {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        deployed
    }

    /// The same server, as it is reached at another address.
    #[allow(dead_code)] // the tests of sockets use it
    pub fn at(&self, address: String) -> TestApp {
        let (settings, token, client) = (
            self.settings.clone(),
            self.token.clone(),
            self.client.clone(),
        );
        TestApp {
            address,
            settings,
            token,
            client,
        }
    }

    pub fn browser(&self) -> Browser {
        Browser::new(&self.address)
    }

    /// What the service role is answered; no errors are allowed.
    pub async fn ask(&self, query: &str, variables: Value) -> Value {
        let request = self
            .client
            .post(format!("{}/graphql", self.address))
            .bearer_auth(&self.token);
        let body = json!({ "query": query, "variables": variables }).to_string();
        let answer = request
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let mut body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(body.get("errors"), None, "{query}\n{variables}\n{body}");
        body["data"].take()
    }
}
