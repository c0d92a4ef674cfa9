//! A stream of server-sent events, read one by one.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use gom_test_support::eventually;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use gom_test_support::app::TestApp;

pub struct Stream {
    chunks: BoxStream<'static, reqwest::Result<actix_web::web::Bytes>>,
    text: String,
    /// Of the last event that had one.
    pub id: Option<String>,
}

/// One event.
#[derive(Debug, PartialEq)]
pub enum Event {
    Next(Value),
    Complete,
}

const PATIENCE: Duration = Duration::from_secs(20);

impl Stream {
    /// Opens a stream, from now or after a cursor.
    pub async fn open(app: &TestApp, query: &str, variables: Value, last: Option<&str>) -> Stream {
        Self::of(app, json!({ "query": query, "variables": variables }), last).await
    }

    /// The same, with a request that may have more in it.
    pub async fn of(app: &TestApp, body: Value, last: Option<&str>) -> Stream {
        let mut request = app
            .authorized(Method::POST, "/graphql")
            .header("accept", "text/event-stream");
        request = request.header("content-type", "application/json");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.body(body.to_string()).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Stream {
            chunks: response.bytes_stream().boxed(),
            text: String::new(),
            id: None,
        }
    }

    /// The next event; `None`: nothing within the time.
    pub async fn within(&mut self, patience: Duration) -> Option<Event> {
        timeout(patience, self.read()).await.ok()
    }

    pub async fn event(&mut self) -> Event {
        self.within(PATIENCE).await.expect("an event")
    }

    /// The data of the next event, which has no errors.
    pub async fn data(&mut self) -> Value {
        match self.event().await {
            Event::Next(answer) if answer.get("errors").is_none() => answer["data"].clone(),
            other => panic!("{other:?}"),
        }
    }

    /// The code of the next event's error, after which nothing follows.
    pub async fn refusal(&mut self) -> String {
        let Event::Next(answer) = self.event().await else {
            panic!("no answer")
        };
        assert_eq!(self.event().await, Event::Complete);
        answer["errors"][0]["extensions"]["code"]
            .as_str()
            .unwrap_or_else(|| panic!("{answer}"))
            .to_owned()
    }

    async fn read(&mut self) -> Event {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let event = event.to_owned();
                self.text = rest.to_owned();
                let of = |name: &str| {
                    let mut lines = event
                        .lines()
                        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                    let first = lines.next()?.to_owned();
                    Some(lines.fold(first, |whole, line| format!("{whole}\n{line}")))
                };
                self.id = of("id").or(self.id.take());
                match of("event").as_deref() {
                    Some("next") => {
                        return Event::Next(serde_json::from_str(&of("data").unwrap()).unwrap());
                    }
                    Some("complete") => return Event::Complete,
                    _ => {}
                }
            }
            let chunk = self
                .chunks
                .next()
                .await
                .expect("the stream goes on")
                .unwrap();
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Reads the cursor with which the stream begins: of what is written from now on, nothing is missed.
    pub async fn beginning(&mut self) -> String {
        eventually("a cursor", async || {
            assert_eq!(
                self.within(Duration::from_millis(50)).await,
                None,
                "no event before its cursor"
            );
            self.id.is_some()
        })
        .await;
        self.id.clone().unwrap()
    }
}
