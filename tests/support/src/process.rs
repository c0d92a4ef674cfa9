//! `gom` as a process: started without this machine's settings, stopped by signals, requested over HTTP.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::free_port;

pub const SECRET: &str = "a secret of the operators' tests, long enough";
const PATIENCE: Duration = Duration::from_secs(20);

/// Names and values of variables.
pub type Environment = Vec<(&'static str, String)>;

/// A database's server needs these.
pub fn environment(url: &str) -> Environment {
    vec![
        ("DATABASE_URL", url.to_owned()),
        ("PRISMA_SECRET", SECRET.to_owned()),
        ("APP_KEY", SECRET.to_owned()),
        ("GOM__SERVER__WORKERS", "1".to_owned()),
    ]
}

/// The program that cargo has built beside the test.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.parent().and_then(Path::parent);
    folder
        .expect("tests lie in target/PROFILE/deps")
        .join("gom")
}

pub fn command(environment: &[(&'static str, String)], arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).env_clear().stdin(Stdio::null());
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command
}

pub fn run(environment: &[(&'static str, String)], arguments: &[&str]) -> Output {
    command(environment, arguments).output().unwrap()
}

pub fn migrate(environment: &[(&'static str, String)]) {
    let applied = run(environment, &["migrate", "apply"]);
    assert!(
        applied.status.success(),
        "{}",
        String::from_utf8_lossy(&applied.stderr)
    );
}

/// A running server.
pub struct Server {
    child: Child,
    pub port: u16,
    token: String,
    log: Arc<Mutex<String>>,
    http: reqwest::Client,
}

impl Server {
    pub fn start(environment: &[(&'static str, String)], arguments: &[&str]) -> Server {
        let port = free_port();
        let number = port.to_string();
        let mut all = vec!["serve", "--port", &number];
        all.extend(arguments);
        let mut child = command(environment, &all)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (lines, kept) = (
            BufReader::new(child.stderr.take().unwrap()),
            Arc::clone(&log),
        );
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let mut log = kept.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let token = run(environment, &["token"]).stdout;
        let token = String::from_utf8(token).unwrap().trim().to_owned();
        Server {
            child,
            port,
            token,
            log,
            http: reqwest::Client::new(),
        }
    }

    /// Started, and ready.
    pub async fn ready(environment: &[(&'static str, String)], arguments: &[&str]) -> Server {
        let server = Server::start(environment, arguments);
        server
            .comes("ready", async |server| server.readiness().await.0 == 200)
            .await;
        server
    }

    /// Waits until it is so.
    pub async fn comes(&self, what: &str, so: impl AsyncFn(&Server) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !so(self).await {
            assert!(
                Instant::now() < deadline,
                "it does not come: {what}; the log:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    #[allow(dead_code)] // the tests of abuse measure its memory
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    /// Status and body; 0 if there is no answer.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        match self
            .http
            .get(self.url(path))
            .timeout(Duration::from_secs(5))
            .send()
            .await
        {
            Ok(answer) => {
                let status = answer.status().as_u16();
                (
                    status,
                    serde_json::from_str(&answer.text().await.unwrap_or_default())
                        .unwrap_or_default(),
                )
            }
            Err(_) => (0, Value::Null),
        }
    }

    pub async fn readiness(&self) -> (u16, Value) {
        self.get("/readyz").await
    }

    /// Status and body of a request of the service's.
    pub async fn ask(&self, query: &str) -> (u16, Value) {
        let request = self
            .http
            .post(self.url("/graphql"))
            .bearer_auth(&self.token);
        let request = request
            .header("content-type", "application/json")
            .timeout(Duration::from_secs(30));
        match request
            .body(json!({ "query": query }).to_string())
            .send()
            .await
        {
            Ok(answer) => {
                let status = answer.status().as_u16();
                (
                    status,
                    serde_json::from_str(&answer.text().await.unwrap_or_default())
                        .unwrap_or_default(),
                )
            }
            Err(_) => (0, Value::Null),
        }
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn tell(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// How it has ended, and after how long; a panic if it has not by then.
    pub async fn ends_within(&mut self, most: Duration) -> (ExitStatus, Duration) {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, begun.elapsed());
            }
            assert!(
                begun.elapsed() < most,
                "it has not ended after {most:?}; the log:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
