//! Whether the server's port is free, or who has it.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::time::Duration;

use serde_json::Value;

use super::Patient;
use super::report::Report;
use crate::commands::healthcheck;
use crate::datamodel;

const PATIENCE: Duration = Duration::from_secs(2);
const CHECK: &str = "server.port";

pub(super) async fn examine(patient: &Patient, report: &mut Report) {
    let server = &patient.settings.server;
    let mut found = report.of("port");
    let address = format!("{}:{}", server.host, server.port);
    match TcpListener::bind((server.host.as_str(), server.port)) {
        Ok(_) if server.port == 0 => found.ok(CHECK, "any free one"),
        Ok(_) => found.ok(CHECK, format!("{address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => match version(patient).await {
            Some(version) => {
                let text = |key: &str| version[key].as_str().unwrap_or("?").to_owned();
                let (number, role) = (text("version"), text("role"));
                found.ok(CHECK, format!("gom {number} (role {role}) serves at {address}"));
                let own = datamodel::read(&patient.settings).map(|read| datamodel::digest(&read.text));
                if own.is_ok_and(|own| own != text("datamodel")) {
                    found.warning(
                        "datamodel",
                        "the running server has another datamodel than these settings name",
                        "start it again to serve this one, or look at --datamodel (datamodel.file)",
                    );
                }
            }
            None => found.problem(
                CHECK,
                format!("{address} is taken, and not by gom"),
                "end what listens there (`ss -ltnp` names it), or set server.port to another",
            ),
        },
        Err(error) => found.problem(
            CHECK,
            format!("the server could not listen at {address}: {error}"),
            "correct server.host to an address of this machine, and server.port to a port that its user may take",
        ),
    }
}

/// What the server at the port says it is, if it is one of ours.
async fn version(patient: &Patient) -> Option<Value> {
    let url = healthcheck::own(&patient.settings.server, "/version").ok()?;
    let client = reqwest::Client::builder()
        .timeout(PATIENCE)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .ok()?;
    let text = client.get(url).send().await.ok()?.text().await.ok()?;
    let version: Value = serde_json::from_str(&text).ok()?;
    (version["name"] == "gom").then_some(version)
}
