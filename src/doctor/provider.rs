//! Who checks passwords. An issuer elsewhere is asked for its public keys, and for nothing else.

use std::time::Duration;

use reqwest::StatusCode;

use super::Patient;
use super::report::Report;
use gom_server::identity::{MAX_KEY_SET_BYTES, UpstreamClient, usable_keys};
use gom_server::settings::Provider;

/// Somebody waits for the answer.
const TIMEOUT: Duration = Duration::from_secs(3);
const CHECK: &str = "auth.oauth2.jwks_endpoint";

pub(super) async fn examine(patient: &Patient, report: &mut Report) {
    let mut found = report.of("logins");
    let auth = &patient.settings.auth;
    if auth.provider() != Provider::OAuth2 {
        return found.ok("auth.provider", "accounts of our own (`gom account list`)");
    }
    found.ok("auth.provider", "an OAuth 2 token endpoint");
    let Some(url) = &auth.oauth2.jwks_endpoint else {
        return found.problem(CHECK, "missing", "set it to the issuer's JSON Web Key Set");
    };
    match keys(url, auth.oauth2.timeout.min(TIMEOUT)).await {
        Ok(count) => found.ok(CHECK, format!("it answers with {count} keys that can be used")),
        Err(NoKeys::Unusable(reason)) => found.problem(
            CHECK,
            format!("{reason}: no token can be checked"),
            "correct the URL, or have the issuer sign with RS256 or ES256",
        ),
        Err(NoKeys::NoAnswer(reason)) => found.problem(
            CHECK,
            reason,
            "see that this machine reaches it (DNS, firewall, certificates), and that the URL is the issuer's",
        ),
    }
}

enum NoKeys {
    NoAnswer(String),
    /// It answers, with nothing that the server could use.
    Unusable(String),
}

/// Asked and read as by the server: the same proxies, the same certificates, no redirect, and only keys that it takes.
async fn keys(url: &str, patience: Duration) -> Result<usize, NoKeys> {
    let outside = UpstreamClient::new(url, patience, MAX_KEY_SET_BYTES)
        .map_err(|reason| NoKeys::NoAnswer(format!("it cannot be asked: {reason}")))?;
    let answer = outside
        .get()
        .await
        .map_err(|reason| NoKeys::NoAnswer(format!("it does not answer: {reason}")))?;
    if answer.status != StatusCode::OK {
        return Err(NoKeys::NoAnswer(format!("it answers {}", answer.status)));
    }
    usable_keys(&answer.body).map_err(NoKeys::Unusable)
}
