//! The public keys of an issuer elsewhere (a JSON Web Key Set), fetched when they are needed and seldom.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::upstream_client::UpstreamClient;

/// More than any set of keys is long.
pub(super) const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// Keys of one set that are kept.
const MAX_KEYS: usize = 64;

/// How often keys are fetched.
#[derive(Debug, Clone, Copy)]
pub struct KeyPace {
    /// After keys were fetched, an unknown one is not looked for again for this long: a client that makes up names of
    /// keys does not make us ask for each.
    pub after_success: Duration,
    /// After a failure, it is not retried for this long.
    pub after_failure: Duration,
    /// Keys are fetched again after this, so that those that the issuer withdrew are forgotten.
    pub fresh: Duration,
    /// If the issuer does not answer, the keys serve on for this long.
    pub usable: Duration,
}

impl Default for KeyPace {
    fn default() -> Self {
        KeyPace {
            after_success: Duration::from_secs(10),
            after_failure: Duration::from_secs(2),
            fresh: Duration::from_secs(10 * 60),
            usable: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// A public key with the one algorithm that it is for.
pub(super) struct IssuerKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// There is no key to verify with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoKey {
    /// The issuer has no such key.
    Unknown,
    /// The issuer does not tell its keys just now.
    Unavailable,
}

/// The issuer's keys.
pub(super) struct IssuerKeys {
    outside: UpstreamClient,
    pace: KeyPace,
    found: RwLock<Option<Found>>,
    /// Held while keys are fetched: only one asks.
    last: Mutex<Option<Attempt>>,
}

#[derive(Clone)]
struct Found {
    keys: Arc<Vec<Arc<IssuerKey>>>,
    at: Instant,
}

struct Attempt {
    at: Instant,
    succeeded: bool,
}

impl IssuerKey {
    /// As a token's header calls it.
    pub fn algorithm_name(&self) -> &'static str {
        if self.algorithm == Algorithm::ES256 {
            "ES256"
        } else {
            "RS256"
        }
    }

    /// Whether the text was signed with the private key to this one.
    pub fn verifies(&self, signed: &str, signature: &str) -> bool {
        jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &self.key, self.algorithm)
            .unwrap_or(false)
    }
}

impl IssuerKeys {
    pub fn new(outside: UpstreamClient, pace: KeyPace) -> Self {
        IssuerKeys {
            outside,
            pace,
            found: RwLock::default(),
            last: Mutex::default(),
        }
    }

    /// The key of this name; without a name, the only one.
    pub async fn find(self: &Arc<Self>, id: Option<&str>) -> Result<Arc<IssuerKey>, NoKey> {
        let found = self.found();
        if let Some(key) = found.as_ref().and_then(|found| self.pick(found, id)) {
            if found.is_some_and(|found| found.at.elapsed() > self.pace.fresh) {
                // Nobody waits for it.
                tokio::spawn(Arc::clone(self).fetch());
            }
            return Ok(key);
        }
        // A task of its own: it goes on for the others if the first requester goes away.
        let published = tokio::spawn(Arc::clone(self).fetch())
            .await
            .unwrap_or(false);
        match self.found().and_then(|found| self.pick(&found, id)) {
            Some(key) => Ok(key),
            None if published => Err(NoKey::Unknown),
            None => Err(NoKey::Unavailable),
        }
    }

    fn found(&self) -> Option<Found> {
        self.found
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn pick(&self, found: &Found, id: Option<&str>) -> Option<Arc<IssuerKey>> {
        let mut keys = found
            .keys
            .iter()
            .filter(|_| found.at.elapsed() <= self.pace.usable);
        match id {
            Some(id) => keys.find(|key| key.id.as_deref() == Some(id)).cloned(),
            None => keys.next().filter(|_| keys.next().is_none()).cloned(),
        }
    }

    /// Fetches the keys unless that was done just now. Whether the issuer has published its keys, then or now.
    async fn fetch(self: Arc<Self>) -> bool {
        let mut last = self.last.lock().await;
        if let Some(last) = last.as_ref() {
            let pause = if last.succeeded {
                self.pace.after_success
            } else {
                self.pace.after_failure
            };
            if last.at.elapsed() < pause {
                return last.succeeded;
            }
        }
        let fetched = self.fetch_now().await;
        *last = Some(Attempt {
            at: Instant::now(),
            succeeded: fetched.is_ok(),
        });
        match fetched {
            Ok(keys) => {
                tracing::debug!(keys = keys.len(), "the issuer's keys were fetched");
                let found = Found {
                    keys: Arc::new(keys),
                    at: Instant::now(),
                };
                *self.found.write().unwrap_or_else(PoisonError::into_inner) = Some(found);
                true
            }
            Err(reason) => {
                tracing::warn!(
                    reason,
                    "the issuer's keys (auth.oauth2.jwks_endpoint) cannot be fetched"
                );
                false
            }
        }
    }

    async fn fetch_now(&self) -> Result<Vec<Arc<IssuerKey>>, String> {
        let answer = self.outside.get().await?;
        if answer.status != reqwest::StatusCode::OK {
            return Err(format!("the answer is {}", answer.status));
        }
        read(&answer.body)
    }
}

/// The keys are read one by one: one of an unknown kind must not make the others unusable.
#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

/// How many keys of a set can be used.
///
/// # Errors
/// If there is none, or the text is no key set.
pub fn usable_keys(text: &[u8]) -> Result<usize, String> {
    Ok(read(text)?.len())
}

/// The keys of a set that can be used. Keys of other kinds are no error.
fn read(text: &[u8]) -> Result<Vec<Arc<IssuerKey>>, String> {
    let set: Set = serde_json::from_slice(text)
        .map_err(|error| format!("the answer is no key set: {error}"))?;
    let keys: Vec<_> = set
        .keys
        .into_iter()
        .filter_map(|key| usable(&serde_json::from_value(key).ok()?))
        .take(MAX_KEYS)
        .map(Arc::new)
        .collect();
    if keys.is_empty() {
        Err("no key in the answer can be used for RS256 or ES256".into())
    } else {
        Ok(keys)
    }
}

fn usable(key: &Jwk) -> Option<IssuerKey> {
    let common = &key.common;
    let signs = common.public_key_use.as_ref();
    if signs.is_some_and(|key_use| *key_use != PublicKeyUse::Signature) {
        return None;
    }
    let (algorithm, name) = match &key.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        _ => return None,
    };
    if common.key_algorithm.is_some_and(|own| own != name) {
        return None;
    }
    DecodingKey::from_jwk(key).ok().map(|decoding| IssuerKey {
        id: common.key_id.clone(),
        algorithm,
        key: decoding,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f09_keys_for_other_algorithms_and_uses_are_left_out() {
        let set = br#"{ "keys": [
            { "kty": "RSA", "kid": "a", "n": "AQAB", "e": "AQAB" },
            { "kty": "RSA", "kid": "b", "n": "AQAB", "e": "AQAB", "alg": "RS256", "use": "sig" },
            { "kty": "RSA", "kid": "encryption", "n": "AQAB", "e": "AQAB", "use": "enc" },
            { "kty": "RSA", "kid": "other", "n": "AQAB", "e": "AQAB", "alg": "PS256" },
            { "kty": "EC", "kid": "c", "crv": "P-256", "x": "AQAB", "y": "AQAB" },
            { "kty": "EC", "kid": "curve", "crv": "P-521", "x": "AQAB", "y": "AQAB" },
            { "kty": "oct", "kid": "secret", "k": "AQAB" },
            { "kty": "RSA", "kid": "half", "n": "AQAB" },
            { "kty": 7 }, "malformed"
        ] }"#;
        let keys = read(set).unwrap();
        let names: Vec<_> = keys
            .iter()
            .map(|key| (key.id.as_deref(), key.algorithm_name()))
            .collect();
        assert_eq!(
            names,
            [
                (Some("a"), "RS256"),
                (Some("b"), "RS256"),
                (Some("c"), "ES256")
            ]
        );
        for text in [
            "",
            "<html>",
            "{}",
            r#"{"keys":[]}"#,
            r#"{"keys":[{"kty":"oct","k":"AQAB"}]}"#,
            "[]",
        ] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
    }
}
