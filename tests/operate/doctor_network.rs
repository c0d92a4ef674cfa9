//! `gom doctor` on what is on the network: ports, and who checks passwords.

use std::io::{Read, Write};
use std::net::TcpListener;

use gom_test_support::free_port;

use crate::doctor::{doctor, set, well};
use gom_test_support::process::{Environment, Server};
use gom_test_support::token_issuer::TokenIssuer;

const KEYS: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"keys\":[\
    {\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"},{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQAB\",\"y\":\"AQAB\"}]}";
const USELESS: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"keys\":[\
    {\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\",\"alg\":\"PS256\"},\
    {\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\",\"use\":\"enc\"}]}";
const ELSEWHERE: &str =
    "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Answers each request, by its first line.
fn answer(listener: TcpListener, with: impl Fn(&str) -> &'static str + Send + 'static) {
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap_or_default();
            let text = String::from_utf8_lossy(&request[..length]);
            let _ = stream.write_all(with(text.lines().next().unwrap_or_default()).as_bytes());
        }
    });
}

/// Taken, by something that does not answer.
fn taken() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    (listener, port)
}

#[tokio::test]
async fn the_owner_of_an_occupied_port_is_reported() {
    let (_database, mut environment) = well().await;
    doctor(&environment, &[]).says("server.port", "ok", "is free");
    let (listener, port) = taken();
    set(&mut environment, "GOM__SERVER__PORT", &port);
    let report = doctor(&environment, &[]);
    assert_eq!(report.code, 0, "{}", report.text);
    report.says(
        "server.port",
        "warning",
        "perhaps gom, which is starting → wait and look again",
    );
    answer(
        listener,
        |_| "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
    );
    let report = doctor(&environment, &[]);
    assert_eq!(report.code, 1);
    report.says("server.port", "problem", "not by gom");
    let server = Server::ready(&environment, &[]).await;
    set(
        &mut environment,
        "GOM__SERVER__PORT",
        &server.port.to_string(),
    );
    let report = doctor(&environment, &[]);
    assert_eq!(report.code, 0, "{}", report.text);
    report.says("server.port", "ok", "role all");
}

#[tokio::test]
async fn an_occupied_metrics_port_is_a_problem() {
    let (_database, mut environment) = well().await;
    doctor(&environment, &[]).says("metrics.port", "skipped", "metrics are off");
    let (_listener, port) = taken();
    set(&mut environment, "GOM__METRICS__PORT", &port);
    let report = doctor(&environment, &[]);
    assert_eq!(report.code, 1);
    report.says("server.port", "ok", "is free");
    report.says("metrics.port", "problem", "is taken");
    // The server takes its own port first.
    let both = free_port().to_string();
    set(&mut environment, "GOM__SERVER__PORT", &both);
    set(&mut environment, "GOM__METRICS__PORT", &both);
    let report = doctor(&environment, &[]);
    assert_eq!(report.code, 1);
    report.says("metrics.port", "problem", "the same as server.port");
    set(
        &mut environment,
        "GOM__METRICS__PORT",
        &free_port().to_string(),
    );
    doctor(&environment, &[]).says("metrics.port", "ok", "is free");
    let server = Server::ready(&environment, &[]).await;
    set(
        &mut environment,
        "GOM__SERVER__PORT",
        &server.port.to_string(),
    );
    let report = doctor(&environment, &[]);
    assert_eq!(report.code, 0, "{}", report.text);
    report.says("metrics.port", "ok", "by the gom that serves");
}

#[tokio::test]
async fn public_metrics_are_reported() {
    let (_database, mut environment) = well().await;
    set(&mut environment, "GOM__METRICS__HOST", "0.0.0.0");
    set(
        &mut environment,
        "GOM__METRICS__PORT",
        &free_port().to_string(),
    );
    let unsaid =
        |environment: &Environment| doctor(environment, &[]).all("metrics.token").is_empty();
    assert!(unsaid(&environment), "on a developer's machine");
    set(&mut environment, "GOM_ENV", "production");
    doctor(&environment, &[]).says("metrics.token", "warning", "METRICS_TOKEN");
    set(
        &mut environment,
        "METRICS_TOKEN",
        "the token of a metrics scraper",
    );
    assert!(unsaid(&environment), "there is a token");
    environment.retain(|(name, _)| *name != "METRICS_TOKEN");
    set(&mut environment, "GOM__METRICS__HOST", "127.0.0.1");
    assert!(unsaid(&environment), "nobody elsewhere reaches it");
}

/// An issuer at a port of this machine.
fn with_issuer(environment: &mut Environment, port: u16) {
    for (name, value) in [
        ("AUTH0_CLIENT_ID", "client"),
        ("GOM__AUTH__OAUTH2__TOKEN_URL", "http://127.0.0.1:9/token"),
        ("GOM__AUTH__OAUTH2__ISSUER", "https://issuer.example/"),
        ("GOM__AUTH__OAUTH2__AUDIENCE", "https://gql.example"),
        (
            "GOM__AUTH__OAUTH2__JWKS_ENDPOINT",
            &format!("http://127.0.0.1:{port}/jwks"),
        ),
    ] {
        set(environment, name, value);
    }
}

#[tokio::test]
async fn the_issuers_keys_are_fetched() {
    let (_database, mut environment) = well().await;
    let port = free_port();
    with_issuer(&mut environment, port);
    let report = doctor(&environment, &[]);
    assert_eq!(report.code, 1);
    report.says("auth.oauth2.jwks_endpoint", "problem", "does not answer");
    answer(TcpListener::bind(("127.0.0.1", port)).unwrap(), |_| KEYS);
    doctor(&environment, &[]).says("auth.oauth2.jwks_endpoint", "ok", "2 keys");
    // Keys with which no server can check anything.
    let useless = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut other = environment.clone();
    with_issuer(&mut other, useless.local_addr().unwrap().port());
    answer(useless, |_| USELESS);
    doctor(&other, &[]).says("auth.oauth2.jwks_endpoint", "problem", "RS256 or ES256");
    // The server connects to this machine without a proxy.
    set(&mut environment, "http_proxy", "http://127.0.0.1:9");
    doctor(&environment, &[]).says("auth.oauth2.jwks_endpoint", "ok", "2 keys");
}

#[tokio::test]
async fn redirects_of_the_issuer_are_not_followed() {
    let (_database, mut environment) = well().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    with_issuer(&mut environment, listener.local_addr().unwrap().port());
    answer(listener, |line| {
        if line.starts_with("GET /jwks ") {
            ELSEWHERE
        } else {
            KEYS
        }
    });
    let report = doctor(&environment, &[]);
    assert_eq!(report.code, 1);
    report.says("auth.oauth2.jwks_endpoint", "problem", "it answers 302");
}

#[tokio::test]
async fn the_keys_of_issuers_of_bearer_tokens_are_fetched_where_their_documents_say() {
    let (_database, mut environment) = well().await;
    let issuer = TokenIssuer::start();
    let entry = |more| issuer.entry(&more).to_string();
    let one = format!("[{}]", entry(serde_json::json!({})));
    set(&mut environment, "GOM__AUTH__ISSUERS", &one);
    let found = format!("{} has 1 keys that can be used", issuer.name);
    doctor(&environment, &[]).says("auth.issuers", "ok", &found);
    for (more, expected) in [
        (
            serde_json::json!({ "algorithms": ["RS256", "PS256"] }),
            "can be used for RS256 or PS256",
        ),
        (
            serde_json::json!({ "issuer": format!("{}/", issuer.name) }),
            "to the letter",
        ),
        (
            serde_json::json!({ "issuer": format!("{}/realms/x", issuer.name) }),
            "the discovery document: the answer is 404",
        ),
    ] {
        set(
            &mut environment,
            "GOM__AUTH__ISSUERS",
            &format!("[{}]", entry(more)),
        );
        let report = doctor(&environment, &[]);
        assert_eq!(report.code, 1, "{}", report.text);
        report.says("auth.issuers", "problem", expected);
    }
}
