//! One client of the server, on connections of its own. Holds each answer to what every answer must be: in time, a known code for
//! each error, a message that fits the code, and 503 only with `Retry-After` and only if nothing was done.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{DEADLINE, GRACE};
use gom_test_support::app::TestApp;

#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    address: String,
    token: String,
}

pub struct Reply {
    pub started: Instant,
    pub answered: Instant,
    pub status: StatusCode,
    pub data: Value,
    pub problems: Vec<Problem>,
}

/// An error of an answer.
#[derive(Debug)]
pub struct Problem {
    pub code: String,
    /// The top-level field that it is about.
    pub field: String,
}

impl Problem {
    pub fn leaves_unknown(&self) -> bool {
        self.code == "OUTCOME_UNKNOWN"
    }
}

impl Client {
    pub fn of(app: &TestApp) -> Client {
        Client {
            http: reqwest::Client::new(),
            address: app.address.clone(),
            token: app.token.clone(),
        }
    }

    pub async fn ask(&self, query: &str, variables: Value) -> Reply {
        let body = json!({ "query": query, "variables": variables }).to_string();
        let request = self
            .http
            .post(format!("{}/graphql", self.address))
            .bearer_auth(&self.token);
        let request = request
            .header("Content-Type", "application/json")
            .body(body);
        let (started, answered, status, retry_after, body) = timed(request).await;
        assert!(
            answered - started < DEADLINE + GRACE,
            "{:?}: {query}",
            answered - started
        );

        let errors = body.get("errors").and_then(Value::as_array);
        let problems: Vec<Problem> = errors.into_iter().flatten().map(problem).collect();
        let reply = Reply {
            started,
            answered,
            status,
            data: body["data"].clone(),
            problems,
        };
        match status {
            StatusCode::OK => assert!(
                !reply.problems.is_empty() || !reply.is_without_data(),
                "{body}"
            ),
            StatusCode::SERVICE_UNAVAILABLE => {
                assert!(retry_after.is_some_and(|seconds| seconds >= 1), "{body}");
                assert!(
                    reply.is_without_data() && !reply.problems.is_empty(),
                    "{body}"
                );
                assert!(
                    !reply.problems.iter().any(Problem::leaves_unknown),
                    "{body}"
                );
            }
            other => panic!("{other}: {body}"),
        }
        reply
    }

    /// Checks that the process is alive, which it must always be; returns whether it is ready.
    pub async fn is_ready(&self) -> bool {
        let (started, answered, status, ..) =
            timed(self.http.get(format!("{}/healthz", self.address))).await;
        assert_eq!(status, StatusCode::OK);
        assert!(
            answered - started < GRACE,
            "/healthz after {:?}",
            answered - started
        );
        let (started, answered, status, retry_after, body) =
            timed(self.http.get(format!("{}/readyz", self.address))).await;
        assert!(
            answered - started < GRACE,
            "/readyz after {:?}",
            answered - started
        );
        let ready = status == StatusCode::OK;
        assert!(
            ready || (status == StatusCode::SERVICE_UNAVAILABLE && retry_after.is_some()),
            "{body}"
        );
        assert_eq!(ready, body["status"] == "ready", "{body}");
        ready
    }
}

impl Reply {
    pub fn is_without_data(&self) -> bool {
        match &self.data {
            Value::Object(fields) => fields.values().all(Value::is_null),
            other => other.is_null(),
        }
    }
}

async fn timed(
    request: reqwest::RequestBuilder,
) -> (Instant, Instant, StatusCode, Option<u64>, Value) {
    let started = Instant::now();
    // Longer than any answer may take: without a timeout a missing answer would stay unnoticed.
    let response = request.timeout(Duration::from_secs(20)).send().await;
    let response = response.unwrap_or_else(|error| panic!("no answer: {error:?}"));
    let status = response.status();
    let retry_after = response
        .headers()
        .get("retry-after")
        .map(|value| value.to_str().unwrap().parse());
    let text = response.text().await.unwrap();
    let answered = Instant::now();
    let body = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    (
        started,
        answered,
        status,
        retry_after.map(Result::unwrap),
        body,
    )
}

fn problem(error: &Value) -> Problem {
    let code = error["extensions"]["code"]
        .as_str()
        .unwrap_or_else(|| panic!("no code: {error}"))
        .to_owned();
    let known = [
        "SERVICE_UNAVAILABLE",
        "DEADLINE_EXCEEDED",
        "OUTCOME_UNKNOWN",
    ];
    assert!(known.contains(&code.as_str()), "{error}");
    let promise = error["message"]
        .as_str()
        .unwrap()
        .contains("nothing was written");
    assert_eq!(promise, code != "OUTCOME_UNKNOWN", "{error}");
    Problem {
        code,
        field: error["path"][0].as_str().unwrap_or_default().to_owned(),
    }
}
