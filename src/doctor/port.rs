//! Whether the server's ports are free, or who has them, and who reads metrics.

use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::time::Duration;

use serde_json::Value;

use super::report::{Report, Subject};
use super::{Patient, is_loopback};
use crate::healthcheck;
use gom_server::datamodel;

const TIMEOUT: Duration = Duration::from_secs(2);
const SERVER: &str = "server.port";
const METRICS: &str = "metrics.port";

/// Who has the server's port.
#[derive(Clone, Copy)]
enum Holder {
    Nobody,
    Gom,
    /// Something that does not answer: a gom that starts has its port long before it does.
    Silent,
    Other,
}

pub(super) async fn examine(patient: &Patient, report: &mut Report) {
    let server = &patient.settings.server;
    let mut found = report.of("port");
    // Held to the end, as the server does: it cannot have both ports at one address.
    let bound = TcpListener::bind((server.host.as_str(), server.port));
    let holder = of_server(patient, &bound, &mut found).await;
    of_metrics(patient, holder, &mut found);
}

async fn of_server(
    patient: &Patient,
    bound: &io::Result<TcpListener>,
    found: &mut Subject<'_>,
) -> Holder {
    let server = &patient.settings.server;
    let address = format!("{}:{}", server.host, server.port);
    match bound {
        Ok(_) => {
            let free = format!("{address} is free");
            found.ok(
                SERVER,
                if server.port == 0 {
                    "any free one".to_owned()
                } else {
                    free
                },
            );
            Holder::Nobody
        }
        Err(error) if error.kind() == ErrorKind::AddrInUse => match version(patient).await {
            Ok(Some(version)) => {
                serves(patient, &address, &version, found);
                Holder::Gom
            }
            Err(error) if error.is_timeout() => {
                found.warning(
                    SERVER,
                    format!(
                        "{address} is taken by something that does not answer: perhaps gom, which is starting"
                    ),
                    "wait and look again, or find out what it is (`ss -ltnp` names it)",
                );
                Holder::Silent
            }
            Ok(None) | Err(_) => {
                found.problem(
                    SERVER,
                    format!("{address} is taken, and not by gom"),
                    "end what listens there (`ss -ltnp` names it), or set server.port to another",
                );
                Holder::Other
            }
        },
        Err(error) => {
            found.problem(
                SERVER,
                format!("the server could not listen at {address}: {error}"),
                "correct server.host to an address of this machine, and server.port to a port that its user may take",
            );
            Holder::Nobody
        }
    }
}

fn serves(patient: &Patient, address: &str, version: &Value, found: &mut Subject<'_>) {
    let text = |key: &str| version[key].as_str().unwrap_or("?").to_owned();
    let (number, role) = (text("version"), text("role"));
    found.ok(
        SERVER,
        format!("gom {number} (role {role}) serves at {address}"),
    );
    let own = patient
        .application
        .read_datamodel(&patient.settings)
        .map(|read| datamodel::digest(&read.text));
    if own.is_ok_and(|own| own != text("datamodel")) {
        found.warning(
            "datamodel",
            "the running server has another datamodel than these settings name",
            "start it again to serve this one, or look at --datamodel (datamodel.file)",
        );
    }
}

/// What the server at the port says it is, if it is one of ours.
async fn version(patient: &Patient) -> Result<Option<Value>, reqwest::Error> {
    let Ok(url) = healthcheck::own(&patient.settings.server, "/version") else {
        return Ok(None);
    };
    let client = reqwest::Client::builder()
        .timeout(TIMEOUT)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let text = client.get(url).send().await?.text().await?;
    let version: Option<Value> = serde_json::from_str(&text).ok();
    Ok(version.filter(|version| version["name"] == "gom"))
}

fn of_metrics(patient: &Patient, holder: Holder, found: &mut Subject<'_>) {
    let (server, metrics) = (&patient.settings.server, &patient.settings.metrics);
    let Some(port) = metrics.port else {
        return match &metrics.token {
            Some(_) => found.ok(
                METRICS,
                "none: the server's own shows them to requests with metrics.token",
            ),
            None => found.skipped(
                METRICS,
                "metrics are off: there is neither a port nor a token",
            ),
        };
    };
    let address = format!("{}:{port}", metrics.host);
    match TcpListener::bind((metrics.host.as_str(), port)) {
        Ok(_) if port == 0 => found.ok(METRICS, "any free one"),
        Ok(_) => found.ok(METRICS, format!("{address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => match holder {
            _ if port == server.port => found.problem(
                METRICS,
                "the same as server.port: the server would not start",
                "set metrics.port to another",
            ),
            Holder::Gom => found.ok(METRICS, format!("{address} is taken, by the gom that serves")),
            Holder::Silent => found.warning(
                METRICS,
                format!("{address} is taken, perhaps by the gom that is starting"),
                "wait and look again, or find out what it is (`ss -ltnp` names it)",
            ),
            Holder::Nobody | Holder::Other => found.problem(
                METRICS,
                format!("{address} is taken: the server would not start"),
                "end what listens there (`ss -ltnp` names it), or set metrics.port to another",
            ),
        },
        Err(error) => found.problem(
            METRICS,
            format!("the server could not listen at {address}: {error}"),
            "correct metrics.host to an address of this machine, and metrics.port to one that its user may take",
        ),
    }
    if metrics.token.is_none() && patient.is_public() && !is_loopback(&metrics.host) {
        found.warning(
            "metrics.token",
            format!("there is none: everybody who reaches {address} reads the metrics"),
            "set METRICS_TOKEN (metrics.token), or let nobody but Prometheus reach the port",
        );
    }
}
