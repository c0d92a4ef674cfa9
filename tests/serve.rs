//! `gom serve` as people start it: with nothing but PostgreSQL's programs on the machine.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Output, Stdio};

use reqwest::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

fn gom(folder: &tempfile::TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gom"));
    // Nothing of this machine's settings; programs are found by PATH and in the usual places.
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::null());
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

fn tell(process: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(process.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

fn run(folder: &tempfile::TempDir, arguments: &[&str]) -> Output {
    gom(folder, arguments).output().unwrap()
}

/// A server with a private database.
struct Server {
    child: Child,
    url: String,
    token: String,
}

impl Server {
    /// Waits for the lines that a server prints when it is there.
    fn start(folder: &tempfile::TempDir) -> Server {
        let mut child = gom(folder, &["serve", "--port", "0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map(Result::unwrap);
        let url = lines
            .next()
            .expect("the server starts")
            .split_whitespace()
            .last()
            .unwrap()
            .to_owned();
        let logins = lines
            .find(|line| line.starts_with("Demo sellers: "))
            .expect("who can log in is printed");
        assert!(
            logins.contains("paletas@demo.gom") && logins.ends_with("paletas-y-tacos"),
            "{logins}"
        );
        let token = lines
            .find(|line| line.starts_with("ey"))
            .expect("a development token is printed");
        Server { child, url, token }
    }

    async fn ask(&self, client: &reqwest::Client, query: &str) -> Value {
        let request = client
            .post(&self.url)
            .bearer_auth(&self.token)
            .header("Content-Type", "application/json");
        let answer = request
            .body(json!({ "query": query }).to_string())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }

    fn tell(&self, signal: Signal) {
        tell(&self.child, signal);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_private_database_serves_keeps_its_rows_and_stops_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    let client = reqwest::Client::new();
    let mut server = Server::start(&folder);
    let created = server
        .ask(
            &client,
            r#"mutation { createUser(data: { business: "Tacos" }) { business } }"#,
        )
        .await;
    assert_eq!(
        created,
        json!({ "data": { "createUser": { "business": "Tacos" } } })
    );

    let health = server.url.replace("/graphql", "/readyz");
    assert!(run(&folder, &["healthcheck", &health]).status.success());

    // Beside the running server: its data folder is its own, and its database is for `gom seed` too.
    let second = run(&folder, &["serve", "--port", "0"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use by another server"));
    let seeded = run(&folder, &["seed"]);
    assert!(seeded.status.success(), "{seeded:?}");
    let users = server
        .ask(&client, "{ usersConnection { aggregate { count } } }")
        .await;
    assert_eq!(users["data"]["usersConnection"]["aggregate"]["count"], 3);

    // The client's connection is idle and still open, and somebody listens: neither is waited for.
    let listen = json!({ "query": "subscription { user { mutation } }" }).to_string();
    let request = client
        .post(&server.url)
        .bearer_auth(&server.token)
        .header("Accept", "text/event-stream");
    let events = request
        .header("Content-Type", "application/json")
        .body(listen)
        .send()
        .await
        .unwrap();
    assert_eq!(events.status(), StatusCode::OK);
    let signalled = std::time::Instant::now();
    server.tell(Signal::TERM);
    events.text().await.expect("the stream comes to an end");
    assert!(server.child.wait().unwrap().success());
    assert!(
        signalled.elapsed() < std::time::Duration::from_secs(9),
        "{:?}",
        signalled.elapsed()
    );

    let mut server = Server::start(&folder);
    let token = run(&folder, &["token"]);
    server.token = String::from_utf8(token.stdout)
        .unwrap()
        .trim_end()
        .to_owned();
    let users = server
        .ask(
            &client,
            r#"{ users(where: { business: "Tacos" }) { business } }"#,
        )
        .await;
    assert_eq!(
        users,
        json!({ "data": { "users": [{ "business": "Tacos" }] } })
    );
    server.tell(Signal::INT);
    assert!(server.child.wait().unwrap().success());
}

/// Standard output is a log there, which others may read for as long as it is kept.
#[test]
fn outside_development_no_token_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = gom(&folder, &["serve", "--port", "0"])
        .env("GOM_ENV", "staging")
        .env("GOM__SERVER__HOST", "127.0.0.1")
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let printed: Vec<String> = lines
        .by_ref()
        .take_while(|line| !line.contains("`gom token` signs"))
        .collect();
    tell(&child, Signal::TERM);
    let rest: Vec<String> = lines.collect();
    assert!(child.wait().unwrap().success());
    assert!(
        printed
            .iter()
            .any(|line| line.starts_with("The database is a private one")),
        "{printed:?}"
    );
    assert!(
        !printed.iter().chain(&rest).any(|line| line.contains("ey")),
        "{printed:?} {rest:?}"
    );
}

#[test]
fn the_reason_for_a_failed_start_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    std::fs::write(
        folder.path().join("bad.prisma"),
        "type A {\n  id: ID! @id\n  b: Nothing\n}\n",
    )
    .unwrap();
    for (arguments, status, expected) in [
        (
            &["serve", "--database-url", "postgres://localhost/x"][..],
            2,
            "service.secret: missing",
        ),
        (&["serve", "--port", "70000"], 2, "command line --port"),
        (&["--port", "x"], 2, "command line --port"),
        (
            &["serve", "--config", "nowhere"],
            2,
            "there is no folder nowhere",
        ),
        (
            &["serve", "--datamodel", "none.prisma"],
            1,
            "none.prisma cannot be read",
        ),
        (&["serve", "--datamodel", "bad.prisma"], 1, "bad.prisma"),
        (&["serve", "--port", &port], 1, "server.port"),
    ] {
        let output = run(&folder, arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {error}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    assert!(!folder.path().join(".gom").exists(), "nothing was begun");
}

#[test]
fn the_schema_is_printed_for_any_datamodel() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("a.prisma"),
        "type Pet {\n  id: ID! @id\n  name: String\n}\n",
    )
    .unwrap();
    let own = run(&folder, &["schema"]);
    assert!(
        String::from_utf8(own.stdout)
            .unwrap()
            .contains("type Order")
    );
    let other =
        String::from_utf8(run(&folder, &["schema", "--datamodel", "a.prisma"]).stdout).unwrap();
    assert!(
        other.contains("type Pet implements Node") && !other.contains("type Order"),
        "{other}"
    );

    // Read by somebody who has seen enough after a byte.
    let mut child = gom(&folder, &["schema"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0]).unwrap();
    drop(out);
    let output = child.wait_with_output().unwrap();
    // By the pipe's signal, if there was something left to write.
    assert!(
        output.status.success() || output.status.signal() == Some(13),
        "{output:?}"
    );
    assert!(output.stderr.is_empty(), "quietly: {output:?}");
}
