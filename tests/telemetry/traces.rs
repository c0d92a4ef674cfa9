//! Spans of a real server, as a collector gets them.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::json;

use crate::app::{SECRET, TestApp};

/// Takes in what is sent to it by OTLP over HTTP.
#[derive(Clone)]
struct Collector {
    address: String,
    received: Arc<Mutex<Vec<Received>>>,
}

struct Received {
    line: String,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Collector {
    fn start() -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let collector = Collector {
            address,
            received: Arc::default(),
        };
        let of_thread = collector.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let collector = of_thread.clone();
                std::thread::spawn(move || collector.serve(connection.unwrap()));
            }
        });
        collector
    }

    fn serve(&self, mut connection: TcpStream) {
        let mut reader = BufReader::new(connection.try_clone().unwrap());
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let mut headers = HashMap::new();
            loop {
                let mut header = String::new();
                reader.read_line(&mut header).unwrap();
                let Some((name, value)) = header.trim().split_once(": ") else {
                    break;
                };
                headers.insert(name.to_ascii_lowercase(), value.to_owned());
            }
            let mut body = vec![0; headers["content-length"].parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            self.received.lock().unwrap().push(Received {
                line,
                headers,
                body,
            });
            connection
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .unwrap();
        }
    }

    /// All spans, with who sent them.
    fn spans(&self) -> Vec<(String, Span)> {
        let received = self.received.lock().unwrap();
        let requests = received
            .iter()
            .map(|one| ExportTraceServiceRequest::decode(one.body.as_slice()).unwrap());
        let of_resource = requests
            .flat_map(|request| request.resource_spans)
            .flat_map(|spans| {
                let attributes = spans.resource.unwrap().attributes;
                let name = attributes
                    .iter()
                    .find(|attribute| attribute.key == "service.name")
                    .unwrap();
                let name = text(name.value.as_ref().unwrap().value.as_ref().unwrap());
                let spans = spans.scope_spans.into_iter().flat_map(|scope| scope.spans);
                spans
                    .map(move |span| (name.clone(), span))
                    .collect::<Vec<_>>()
            });
        of_resource.collect()
    }
}

fn text(value: &Any) -> String {
    match value {
        Any::StringValue(text) => text.clone(),
        Any::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    }
}

fn attribute(span: &Span, key: &str) -> String {
    let found = span
        .attributes
        .iter()
        .find(|attribute| attribute.key == key);
    let found = found.unwrap_or_else(|| panic!("{key}: {span:?}"));
    text(found.value.as_ref().unwrap().value.as_ref().unwrap())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_requests_spans_belong_to_its_callers_trace_and_hold_no_values() {
    let collector = Collector::start();
    let mut app = TestApp::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.address),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "x-api-key=key-of-the-collector",
        ),
        ("OTEL_SERVICE_NAME", "the shop"),
        ("GOM__SERVER__TRUSTED_PROXIES", "127.0.0.0/8"),
        // What is left is sent when the server stops.
        ("OTEL_BSP_SCHEDULE_DELAY", "60000"),
    ])
    .await;
    let (trace, caller) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let body = json!({ "query": "query ReadOrders($name: String) { orders(where: { name: $name }) { uid } bps(first: 1) { uid } }",
        "operationName": "ReadOrders", "variables": { "name": "texto-privado" } });
    let request = app
        .http
        .post(format!("{}/graphql?texto-privado", app.address))
        .bearer_auth(&app.token);
    let request = request
        .header("content-type", "application/json")
        .header("traceparent", format!("00-{trace}-{caller}-01"));
    assert!(
        request
            .body(body.to_string())
            .send()
            .await
            .unwrap()
            .status()
            .is_success()
    );
    app.ask("mutation { updateManyOrders(where: { name: \"texto-privado\" }, data: { name: \"texto-privado\" }) { count } }").await;
    let lines = app.lines("answered");
    assert!(
        lines
            .iter()
            .any(|line| line["trace_id"] == trace && line["operation"] == "ReadOrders"),
        "{lines:?}"
    );
    assert!(app.stop(), "{}", app.log());

    {
        let received = collector.received.lock().unwrap();
        assert!(!received.is_empty(), "{}", app.log());
        for one in received.iter() {
            assert!(one.line.starts_with("POST /v1/traces "), "{}", one.line);
            assert_eq!(one.headers["content-type"], "application/x-protobuf");
            assert_eq!(one.headers["x-api-key"], "key-of-the-collector");
            let body = String::from_utf8_lossy(&one.body);
            for secret in ["texto-privado", "key-of-the-collector", SECRET, &app.token] {
                assert!(!body.contains(secret), "{secret}");
            }
        }
    }
    assert!(!app.log().contains("key-of-the-collector"));

    let spans = collector.spans();
    assert!(spans.iter().all(|(service, _)| service == "the shop"));
    let spans: Vec<&Span> = spans.iter().map(|(_, span)| span).collect();
    let of_trace: Vec<&&Span> = spans
        .iter()
        .filter(|span| hex(&span.trace_id) == trace)
        .collect();
    let named = |name: &str| {
        let found = of_trace.iter().find(|span| span.name == name);
        **found.unwrap_or_else(|| panic!("{name}: {of_trace:#?}"))
    };
    let server = named("POST /graphql");
    assert_eq!(hex(&server.parent_span_id), caller);
    assert_eq!(attribute(server, "http.route"), "/graphql");
    assert_eq!(attribute(server, "http.response.status_code"), "200");
    assert_eq!(attribute(server, "enduser.id"), "service");
    let operation = named("query ReadOrders");
    assert_eq!(operation.parent_span_id, server.span_id);
    assert_eq!(attribute(operation, "graphql.operation.type"), "query");
    let reads: Vec<&&&Span> = of_trace.iter().filter(|span| span.name == "read").collect();
    assert_eq!(reads.len(), 2);
    for read in reads {
        assert_eq!(read.parent_span_id, operation.span_id);
        assert!(
            attribute(read, "db.query.text").contains("select"),
            "{read:?}"
        );
        assert!(
            read.start_time_unix_nano >= operation.start_time_unix_nano
                && read.end_time_unix_nano <= operation.end_time_unix_nano
        );
    }
    let program = spans.iter().find(|span| span.name == "program").unwrap();
    let mutation = spans
        .iter()
        .find(|span| span.span_id == program.parent_span_id)
        .unwrap();
    assert_eq!(mutation.name, "mutation");
    let root = spans
        .iter()
        .find(|span| span.span_id == mutation.parent_span_id)
        .unwrap();
    assert!(root.parent_span_id.is_empty() && root.name == "POST /graphql");
    assert!(
        attribute(program, "db.query.text")
            .to_lowercase()
            .contains("update")
    );
}

#[tokio::test]
async fn a_strangers_trace_is_not_joined() {
    let collector = Collector::start();
    let mut app = TestApp::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.address)]).await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let request = app.http.get(format!("{}/version", app.address));
    let request = request.header("traceparent", format!("00-{trace}-b7ad6b7169203331-01"));
    assert!(request.send().await.unwrap().status().is_success());
    assert!(app.stop(), "{}", app.log());
    let spans = collector.spans();
    let asked: Vec<&Span> = spans
        .iter()
        .map(|(_, span)| span)
        .filter(|span| span.name == "GET /version")
        .collect();
    assert!(!asked.is_empty(), "{spans:?}");
    assert!(
        asked
            .iter()
            .all(|span| hex(&span.trace_id) != trace && span.parent_span_id.is_empty()),
        "{asked:?}"
    );
}

#[tokio::test]
async fn an_unresponsive_collector_delays_no_request() {
    // Accepts and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    let mut app = TestApp::start(&[
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &address),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ])
    .await;
    for _ in 0..5 {
        assert!(app.ask("{ orders { uid } }").await["errors"].is_null());
    }
    let began = std::time::Instant::now();
    assert!(app.stop());
    assert!(
        began.elapsed() < std::time::Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn an_unsupported_trace_protocol_fails_the_start() {
    let (status, said) = TestApp::fails(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing"),
        ("PRISMA_SECRET", SECRET),
        ("GOM__SERVER__PORT", "0"),
    ]);
    assert_eq!(status, Some(1));
    assert!(
        said.contains("http/protobuf") && said.contains("4318"),
        "{said}"
    );
}
