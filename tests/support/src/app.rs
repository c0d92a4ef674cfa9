//! A server in the test's process, and a client with a method for each kind of request.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use gom_server::application::Application;
use gom_server::server::Server;
use gom_server::settings::{self, Inputs, Purpose, Settings};
use gom_shop::Shop;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::TestDatabase;
use crate::browser::Browser;

/// What a deployment may take on a busy machine.
const DEPLOYMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// The service secret.
pub const SECRET: &str = "the tests' service secret, long enough";

/// A running server.
pub struct TestApp {
    pub address: String,
    pub settings: Settings,
    /// Of the service role.
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

    /// A server with these settings and no others but a free port.
    pub async fn with(settings: &[(&'static str, &str)]) -> TestApp {
        let app = Self::serve(settings, &Shop, None).await;
        // Some have no database, on purpose.
        let deployed = async {
            while !app.is_deployed().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = tokio::time::timeout(DEPLOYMENT_TIMEOUT, deployed).await;
        app
    }

    async fn build(
        url: &str,
        database: Option<TestDatabase>,
        settings: &[(&'static str, &str)],
        application: &'static dyn Application,
    ) -> TestApp {
        let mut all = vec![
            ("database.url", url),
            ("database.deploy", "true"),
            ("service.secret", SECRET),
        ];
        all.extend(settings);
        let app = Self::serve(&all, application, database).await;
        if app.database.is_some() {
            // On a busy machine the deployment may take longer than the server waits for it.
            crate::eventually("the database is deployed", async || app.is_deployed().await).await;
        }
        app
    }

    /// `settings`: the later the stronger.
    async fn serve(
        settings: &[(&'static str, &str)],
        application: &'static dyn Application,
        database: Option<TestDatabase>,
    ) -> TestApp {
        let mut all = BTreeMap::from([("server.port", "0"), ("server.workers", "1")]);
        all.extend(settings.iter().copied());
        let arguments = all
            .into_iter()
            .map(|(key, value)| (key, "the test", value.to_owned()))
            .collect();
        let inputs = Inputs {
            keys: application.settings(),
            purpose: Purpose::Serve,
            variables: BTreeMap::new(),
            directory: None,
            arguments,
        };
        let loaded = settings::load(&inputs).unwrap_or_else(|error| panic!("{error}"));
        let settings = loaded.settings;
        let server = Server::build(settings.clone(), application).await.unwrap();
        let address = format!("http://{}", server.addresses()[0]);
        let token = server
            .tokens()
            .sign(SystemTime::now(), Duration::from_secs(3_600))
            .unwrap();
        actix::spawn(server.run_until_stopped());
        TestApp {
            address,
            settings,
            token,
            client: Client::new(),
            database,
        }
    }

    async fn is_deployed(&self) -> bool {
        let answer = self.request(Method::GET, "/readyz").send().await.unwrap();
        let text = answer.text().await.unwrap();
        serde_json::from_str::<Value>(&text).is_ok_and(|body| body["datamodel"]["state"] == "ready")
    }

    /// The same server, as it is reached at another address.
    pub fn at(&self, address: String) -> TestApp {
        TestApp {
            address,
            settings: self.settings.clone(),
            token: self.token.clone(),
            client: self.client.clone(),
            database: None,
        }
    }

    pub fn browser(&self) -> Browser {
        Browser::new(&self.address)
    }

    /// The data that the service role gets; no errors are allowed.
    pub async fn data(&self, query: &str, variables: Value) -> Value {
        let answer = self
            .post(json!({ "query": query, "variables": variables }).to_string())
            .await;
        let mut body = answer.body;
        assert_eq!(answer.status, StatusCode::OK, "{body}");
        assert_eq!(body.get("errors"), None, "{query}\n{variables}\n{body}");
        body["data"].take()
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
