//! A server as a process of its own, so that its numbers and its log are nobody else's, and the demo shop's people.

use std::fs::File;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use gom_test_support::TestDatabase;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use gom_test_support::browser::Browser;

pub const SECRET: &str = "a secret of the telemetry tests, long enough";
pub const SELLER: (&str, &str) = ("tacos@demo.gom", "the sellers's own password");

pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub struct TestApp {
    pub address: String,
    pub token: String,
    server: Child,
    folder: TempDir,
    pub http: reqwest::Client,
    database: TestDatabase,
}

impl TestApp {
    /// A websocket that has authenticated as the service role, and was acknowledged.
    pub async fn socket(&self) -> Socket {
        let mut socket = self.open_socket().await;
        let authorization = format!("Bearer {}", self.token);
        let init =
            json!({ "type": "connection_init", "payload": { "Authorization": authorization } });
        socket.send(Message::text(init.to_string())).await.unwrap();
        assert!(
            socket
                .next()
                .await
                .unwrap()
                .unwrap()
                .to_text()
                .unwrap()
                .contains("connection_ack")
        );
        socket
    }

    /// A websocket that has not authenticated.
    pub async fn open_socket(&self) -> Socket {
        let address = format!("{}/graphql", self.address.replace("http", "ws"));
        let mut request = address.into_client_request().unwrap();
        request.headers_mut().insert(
            "sec-websocket-protocol",
            "graphql-transport-ws".parse().unwrap(),
        );
        connect_async(request).await.unwrap().0
    }

    /// With the demo shop, and an account of a seller.
    pub async fn start(more: &[(&'static str, &str)]) -> TestApp {
        let database = TestDatabase::create().await;
        let mut environment = vec![
            ("DATABASE_URL", database.url()),
            ("PRISMA_SECRET", SECRET.to_owned()),
            ("APP_KEY", SECRET.to_owned()),
            ("GOM__SERVER__PORT", "0".to_owned()),
            ("GOM__LOG__FORMAT", "json".to_owned()),
            ("GOM__AUTH__ACCOUNTS__HASH_MEMORY", "8".to_owned()),
            ("GOM__AUTH__ACCOUNTS__HASH_PASSES", "1".to_owned()),
            ("GOM__SERVER__SHUTDOWN_TIMEOUT", "2000".to_owned()),
        ];
        environment.extend(
            more.iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        let folder = tempfile::tempdir().unwrap();
        run(&environment, &["seed", "--deploy"], "");
        run(
            &environment,
            &[
                "account",
                "add",
                SELLER.0,
                "--role",
                "seller",
                "--subject",
                "auth0|demo-tacos",
            ],
            SELLER.1,
        );
        let token = run(&environment, &["token"], "").trim().to_owned();
        let log = File::create(folder.path().join("log")).unwrap();
        let out = File::create(folder.path().join("out")).unwrap();
        let server = gom(&environment, &["serve"])
            .stdout(out)
            .stderr(log)
            .spawn()
            .unwrap();
        let mut app = TestApp {
            address: String::new(),
            token,
            server,
            folder,
            http: reqwest::Client::new(),
            database,
        };
        app.address = app.wait_for("where it serves", |app| {
            let out = std::fs::read_to_string(app.folder.path().join("out")).unwrap();
            out.split_whitespace()
                .find_map(|word| word.strip_suffix("/graphql"))
                .map(str::to_owned)
        });
        let deadline = Instant::now() + Duration::from_secs(20);
        let ready = format!("{}/readyz", app.address);
        while !app
            .http
            .get(&ready)
            .send()
            .await
            .is_ok_and(|answer| answer.status().is_success())
        {
            assert!(Instant::now() < deadline, "{}", app.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        app
    }

    /// A pair of keys of Web Push.
    pub fn vapid() -> (String, String) {
        let keys = run(&[], &["vapid", "generate"], "");
        let key = |name: &str| {
            let line = keys
                .lines()
                .find(|line| line.contains(name))
                .unwrap_or_else(|| panic!("{name}: {keys}"));
            line.split(['=', ':', ' '])
                .rfind(|word| !word.is_empty())
                .unwrap()
                .to_owned()
        };
        (key("VAPID_PUBLIC_KEY"), key("VAPID_PRIVATE_KEY"))
    }

    /// A failed start: its exit status and output.
    pub fn fails(environment: &[(&'static str, &str)]) -> (Option<i32>, String) {
        let environment: Vec<_> = environment
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        let output = gom(&environment, &["serve"]).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }

    fn wait_for<T>(&self, what: &str, look: impl Fn(&TestApp) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(Instant::now() < deadline, "{what}: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// The lines of the log with this message, once there is one.
    pub fn lines(&self, message: &str) -> Vec<Value> {
        self.wait_for(message, |app| {
            let log = app.log();
            let lines = log
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let lines: Vec<Value> = lines.filter(|line| line["message"] == message).collect();
            (!lines.is_empty()).then_some(lines)
        })
    }

    pub fn browser(&self) -> Browser {
        Browser::new(&self.address)
    }

    /// The answer to the service role.
    pub async fn ask(&self, query: &str) -> Value {
        self.post(json!({ "query": query })).await
    }

    pub async fn post(&self, body: Value) -> Value {
        let request = self
            .http
            .post(format!("{}/graphql", self.address))
            .bearer_auth(&self.token);
        let request = request
            .header("content-type", "application/json")
            .body(body.to_string());
        let text = request.send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// Past the server.
    pub async fn tables(&self) -> tokio_postgres::Client {
        self.database.connect().await
    }

    /// SIGTERM; whether it ends well.
    pub fn stop(&mut self) -> bool {
        let pid = Pid::from_raw(i32::try_from(self.server.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        self.server.wait().unwrap().success()
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        // Ended already, perhaps.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn gom(environment: &[(&'static str, String)], arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gom"));
    command
        .args(arguments)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)));
    command
}

fn run(environment: &[(&'static str, String)], arguments: &[&str], input: &str) -> String {
    let mut command = gom(environment, arguments);
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
