//! A server of the test's own, and a client with a method for each endpoint.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use gom_server::application::Application;
use gom_server::server::Server;
use gom_server::settings::{self, Inputs, Purpose};
use gom_shop::Shop;
use gom_test_support::TestDatabase;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

pub const SECRET: &str = "the tests' service secret, long enough";

/// A running server.
pub struct TestApp {
    pub address: String,
    pub token: String,
    client: Client,
    /// Dropped with the server's connections still open, which it throws out.
    database: Option<TestDatabase>,
}

/// An answer, read.
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl TestApp {
    /// With a database of its own, deployed.
    pub async fn start() -> TestApp {
        Self::start_with(&[]).await
    }

    /// `settings`: keys and values beyond the defaults.
    pub async fn start_with(settings: &[(&'static str, &str)]) -> TestApp {
        let database = TestDatabase::create().await;
        let url = database.url();
        Self::on(&url, Some(database), settings).await
    }

    /// As [`TestApp::start_with`], for another application than the shop.
    pub async fn start_for(
        application: &'static dyn Application,
        settings: &[(&'static str, &str)],
    ) -> TestApp {
        let database = TestDatabase::create().await;
        let url = database.url();
        Self::build(&url, Some(database), settings, application).await
    }

    pub async fn on(
        url: &str,
        database: Option<TestDatabase>,
        settings: &[(&'static str, &str)],
    ) -> TestApp {
        Self::build(url, database, settings, &Shop).await
    }

    async fn build(
        url: &str,
        database: Option<TestDatabase>,
        settings: &[(&'static str, &str)],
        application: &'static dyn Application,
    ) -> TestApp {
        let fixed = [
            ("server.port", "0"),
            ("server.workers", "1"),
            ("database.url", url),
            ("database.deploy", "true"),
            ("service.secret", SECRET),
        ];
        let arguments = fixed
            .iter()
            .chain(settings)
            .map(|(key, value)| (*key, "the test", (*value).to_owned()))
            .collect();
        let inputs = Inputs {
            keys: application.settings(),
            purpose: Purpose::Serve,
            variables: BTreeMap::new(),
            directory: None,
            arguments,
        };
        let loaded = settings::load(&inputs).unwrap_or_else(|error| panic!("{error}"));
        let server = Server::build(loaded.settings, application).await.unwrap();
        let address = format!("http://{}", server.addresses()[0]);
        let token = server
            .tokens()
            .sign(SystemTime::now(), Duration::from_secs(3_600))
            .unwrap();
        actix_web::rt::spawn(server.run_until_stopped());
        let app = TestApp {
            address,
            token,
            client: Client::new(),
            database,
        };
        if app.database.is_some() {
            // On a busy machine the deployment may take longer than the server waits for it.
            gom_test_support::eventually("the database is deployed", async || {
                app.is_deployed().await
            })
            .await;
        }
        app
    }

    async fn is_deployed(&self) -> bool {
        let answer = self
            .request(Method::GET, "/readyz")
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        serde_json::from_str::<Value>(&answer)
            .is_ok_and(|body| body["datamodel"]["state"] == "ready")
    }

    /// The server's database.
    pub fn database(&self) -> &TestDatabase {
        self.database.as_ref().expect("a database of its own")
    }

    /// A request without a token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.address))
    }

    /// A request with the service token.
    pub fn authorized(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).bearer_auth(&self.token)
    }

    /// A body posted as JSON.
    pub async fn post(&self, body: impl Into<reqwest::Body>) -> Answer {
        self.post_to("/graphql", body).await
    }

    pub async fn post_to(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self
            .authorized(Method::POST, path)
            .header("Content-Type", "application/json");
        read(request.body(body).send().await.unwrap()).await
    }

    /// A document without variables.
    pub async fn ask(&self, query: &str) -> Answer {
        self.post(json!({ "query": query }).to_string()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        read(self.authorized(Method::GET, path).send().await.unwrap()).await
    }
}

pub async fn read(response: Response) -> Answer {
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    Answer {
        status,
        headers,
        body,
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }

    /// `extensions.code` of the only error.
    pub fn code(&self) -> &str {
        let errors = self.body["errors"]
            .as_array()
            .unwrap_or_else(|| panic!("no errors: {}", self.body));
        assert_eq!(errors.len(), 1, "{}", self.body);
        errors[0]["extensions"]["code"].as_str().unwrap()
    }

    pub fn message(&self) -> &str {
        self.body["errors"][0]["message"].as_str().unwrap()
    }
}
