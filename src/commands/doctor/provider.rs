//! Who checks passwords. An issuer elsewhere is asked for its public keys, and for nothing else.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use super::Patient;
use super::report::Report;
use crate::identity::{LONGEST_KEY_SET, Outside};
use crate::settings::Provider;

/// Somebody waits for the answer.
const PATIENCE: Duration = Duration::from_secs(3);
const CHECK: &str = "auth.auth0.jwks_endpoint";

pub(super) async fn examine(patient: &Patient, report: &mut Report) {
    let mut found = report.of("logins");
    let auth = &patient.settings.auth;
    if auth.provider() != Provider::Auth0 {
        return found.ok("auth.provider", "accounts of our own (`gom account list`)");
    }
    found.ok("auth.provider", "an OAuth 2 token endpoint");
    let Some(url) = &auth.auth0.jwks_endpoint else {
        return found.problem(CHECK, "missing", "set it to the issuer's JSON Web Key Set");
    };
    match keys(url, auth.auth0.timeout.min(PATIENCE)).await {
        Ok(0) => found.problem(CHECK, "it has no keys: no token can be checked", "correct the URL, or ask the issuer"),
        Ok(count) => found.ok(CHECK, format!("it answers with {count} keys")),
        Err(reason) => found.problem(
            CHECK,
            reason,
            "see that this machine reaches it (DNS, firewall, certificates), and that the URL is the issuer's",
        ),
    }
}

/// Asked as the server asks: the same proxies, the same certificates, and no redirect is followed.
async fn keys(url: &str, patience: Duration) -> Result<usize, String> {
    let outside = Outside::new(url, patience, LONGEST_KEY_SET)
        .map_err(|reason| format!("it cannot be asked: {reason}"))?;
    let answer = outside.get().await.map_err(|reason| format!("it does not answer: {reason}"))?;
    if answer.status != StatusCode::OK {
        return Err(format!("it answers {}", answer.status));
    }
    let set: Value =
        serde_json::from_slice(&answer.body).map_err(|_| "it answers with what is no JSON".to_owned())?;
    Ok(set["keys"].as_array().map_or(0, Vec::len))
}
