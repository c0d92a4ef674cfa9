//! Who checks passwords. An issuer elsewhere is asked for its public keys, and for nothing else.

use std::time::Duration;

use serde_json::Value;

use super::Patient;
use super::report::Report;
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

async fn keys(url: &str, patience: Duration) -> Result<usize, String> {
    let words = |error: reqwest::Error| {
        let mut text = "it does not answer".to_owned();
        let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    };
    let client = reqwest::Client::builder().timeout(patience).build().map_err(words)?;
    let answer = client.get(url).send().await.map_err(words)?;
    let status = answer.status();
    if !status.is_success() {
        return Err(format!("it answers {status}"));
    }
    let text = answer.text().await.map_err(words)?;
    let set: Value = serde_json::from_str(&text).map_err(|_| "it answers with what is no JSON".to_owned())?;
    Ok(set["keys"].as_array().map_or(0, Vec::len))
}
