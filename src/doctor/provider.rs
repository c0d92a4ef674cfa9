//! Who checks passwords, and whose bearer tokens are accepted. An issuer elsewhere is asked for its public keys, and for nothing
//! else.

use std::time::Duration;

use reqwest::StatusCode;

use super::Patient;
use super::report::Report;
use gom_server::identity::{
    KeySource, LOGIN_ALGORITHMS, MAX_KEY_SET_BYTES, UpstreamClient, usable_keys,
};
use gom_server::settings::{Issuer, Provider};

/// Somebody waits for the answer.
const TIMEOUT: Duration = Duration::from_secs(3);
const CHECK: &str = "auth.oauth2.jwks_endpoint";

pub(super) async fn examine(patient: &Patient, report: &mut Report) {
    logins(patient, report).await;
    let mut found = report.of("bearer tokens");
    for issuer in &patient.settings.auth.issuers {
        let name = &issuer.issuer;
        match keys_of(issuer).await {
            Ok(count) => found.ok(
                "auth.issuers",
                format!("{name} has {count} keys that can be used"),
            ),
            Err(reason) => found.problem(
                "auth.issuers",
                format!("{name}: {reason}"),
                "see that this machine reaches the issuer (DNS, firewall, certificates), and compare `issuer`, `jwks_url` and \
                 `algorithms` with its discovery document",
            ),
        }
    }
}

/// As the server fetches them.
async fn keys_of(issuer: &Issuer) -> Result<usize, String> {
    let source = KeySource::of(issuer)?;
    let text = tokio::time::timeout(TIMEOUT, source.fetch()).await;
    let text = text.map_err(|_| format!("no answer within {} s", TIMEOUT.as_secs()))??;
    usable_keys(&text, &issuer.algorithms)
}

async fn logins(patient: &Patient, report: &mut Report) {
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
    usable_keys(&answer.body, &LOGIN_ALGORITHMS).map_err(NoKeys::Unusable)
}
