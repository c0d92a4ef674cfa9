//! The public keys of an issuer elsewhere (a JSON Web Key Set), fetched when they are needed and seldom.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::discovery::KeySource;

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

/// A public key with the algorithms that it is for.
pub(super) struct IssuerKey {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
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
    /// For the log: the setting, or the issuer.
    name: String,
    source: KeySource,
    /// Those that its tokens may be signed with.
    algorithms: Vec<Algorithm>,
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
    /// Whether the key's type, curve and own `alg` go with the algorithm.
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Whether the text was signed with the private key to this one.
    pub fn verifies(&self, algorithm: Algorithm, signed: &str, signature: &str) -> bool {
        self.fits(algorithm)
            && jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &self.key, algorithm)
                .unwrap_or(false)
    }
}

impl IssuerKeys {
    pub fn new(name: String, source: KeySource, algorithms: Vec<Algorithm>, pace: KeyPace) -> Self {
        IssuerKeys {
            name,
            source,
            algorithms,
            pace,
            found: RwLock::default(),
            last: Mutex::default(),
        }
    }

    /// The algorithm of this name, if tokens may be signed with it.
    pub fn algorithm(&self, name: &str) -> Option<Algorithm> {
        let algorithm = name.parse().ok()?;
        self.algorithms.contains(&algorithm).then_some(algorithm)
    }

    /// The key of this name; without a name, the only one.
    pub async fn find(self: &Arc<Self>, id: Option<&str>) -> Result<Arc<IssuerKey>, NoKey> {
        let found = self.found();
        if let Some(key) = found.as_ref().and_then(|found| self.pick(found, id)) {
            if found.is_some_and(|found| found.at.elapsed() > self.pace.fresh) && self.is_due() {
                // Nobody waits for it.
                tokio::spawn(Arc::clone(self).fetch());
            }
            return Ok(key);
        }
        // A task of its own: it goes on for the others if the first requester goes away.
        let published = tokio::spawn(Arc::clone(self).fetch())
            .await
            .unwrap_or(false);
        let found = self.found();
        match found.as_ref().and_then(|found| self.pick(found, id)) {
            Some(key) => Ok(key),
            // Without any key, no token can be judged.
            None if published && found.as_ref().is_some_and(|found| !found.keys.is_empty()) => {
                Err(NoKey::Unknown)
            }
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

    /// Whether a fetch would send a request: none is in flight, and the last one is not of just now.
    fn is_due(&self) -> bool {
        let last = self.last.try_lock();
        last.is_ok_and(|last| self.still_counts(last.as_ref()).is_none())
    }

    /// The last attempt, if it is too recent for another.
    fn still_counts<'a>(&self, last: Option<&'a Attempt>) -> Option<&'a Attempt> {
        last.filter(|last| {
            let pause = if last.succeeded {
                self.pace.after_success
            } else {
                self.pace.after_failure
            };
            last.at.elapsed() < pause
        })
    }

    /// Fetches the keys unless that was done just now. Whether the issuer has published its keys, then or now.
    async fn fetch(self: Arc<Self>) -> bool {
        let mut last = self.last.lock().await;
        if let Some(last) = self.still_counts(last.as_ref()) {
            return last.succeeded;
        }
        let fetched = self.fetch_now().await;
        *last = Some(Attempt {
            at: Instant::now(),
            succeeded: fetched.is_ok(),
        });
        match fetched {
            Ok(keys) => {
                if keys.is_empty() {
                    tracing::warn!(
                        issuer = self.name,
                        "{}: no token of the issuer is verified, and earlier keys are forgotten",
                        none_usable(&self.algorithms)
                    );
                }
                tracing::debug!(
                    issuer = self.name,
                    keys = keys.len(),
                    "the issuer's keys were fetched"
                );
                let found = Found {
                    keys: Arc::new(keys),
                    at: Instant::now(),
                };
                *self.found.write().unwrap_or_else(PoisonError::into_inner) = Some(found);
                true
            }
            Err(reason) => {
                tracing::warn!(
                    issuer = self.name,
                    reason,
                    "the issuer's keys cannot be fetched"
                );
                false
            }
        }
    }

    async fn fetch_now(&self) -> Result<Vec<Arc<IssuerKey>>, String> {
        read(&self.source.fetch().await?, &self.algorithms)
    }
}

/// The keys are read one by one: one of an unknown kind must not make the others unusable.
#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

/// How many keys of a set can be used with these algorithms.
///
/// # Errors
/// If there is none, or the text is no key set.
pub fn usable_keys(text: &[u8], algorithms: &[Algorithm]) -> Result<usize, String> {
    match read(text, algorithms)?.len() {
        0 => Err(none_usable(algorithms)),
        count => Ok(count),
    }
}

fn none_usable(algorithms: &[Algorithm]) -> String {
    let names: Vec<String> = algorithms.iter().map(|one| format!("{one:?}")).collect();
    format!(
        "no key in the answer can be used for {}",
        names.join(" or ")
    )
}

/// The keys of a set that can be used. Keys of other kinds are no error, and neither is it if there is none: an issuer that
/// withdraws all its keys has none that may verify.
fn read(text: &[u8], algorithms: &[Algorithm]) -> Result<Vec<Arc<IssuerKey>>, String> {
    let set: Set = serde_json::from_slice(text)
        .map_err(|error| format!("the answer is no key set: {error}"))?;
    let keys = set.keys.into_iter();
    Ok(keys
        .filter_map(|key| usable(&serde_json::from_value(key).ok()?, algorithms))
        .take(MAX_KEYS)
        .map(Arc::new)
        .collect())
}

fn usable(key: &Jwk, algorithms: &[Algorithm]) -> Option<IssuerKey> {
    let common = &key.common;
    let signs = common.public_key_use.as_ref();
    if signs.is_some_and(|key_use| *key_use != PublicKeyUse::Signature) {
        return None;
    }
    let operations = common.key_operations.as_ref();
    if operations.is_some_and(|all| !all.contains(&KeyOperations::Verify)) {
        return None;
    }
    let of_its_own = |algorithm: &Algorithm| {
        let name = format!("{algorithm:?}");
        let own = common.key_algorithm;
        own.is_none_or(|own| name.parse::<KeyAlgorithm>().is_ok_and(|named| named == own))
    };
    let algorithms: Vec<Algorithm> = of_type(&key.algorithm)
        .iter()
        .copied()
        .filter(|algorithm| algorithms.contains(algorithm) && of_its_own(algorithm))
        .collect();
    if algorithms.is_empty() {
        return None;
    }
    DecodingKey::from_jwk(key).ok().map(|decoding| IssuerKey {
        id: common.key_id.clone(),
        algorithms,
        key: decoding,
    })
}

/// What keys of a type and curve can be used for. Never a symmetric algorithm, whose key verifies and signs.
fn of_type(parameters: &AlgorithmParameters) -> &'static [Algorithm] {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    match parameters {
        AlgorithmParameters::RSA(_) => &[RS256, RS384, RS512, PS256, PS384, PS512],
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => &[ES256],
            EllipticCurve::P384 => &[ES384],
            _ => &[],
        },
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => &[EdDSA],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::super::upstream_client::UpstreamClient;
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
        let keys = read(set, &[Algorithm::RS256, Algorithm::ES256]).unwrap();
        let names: Vec<_> = keys
            .iter()
            .map(|key| (key.id.as_deref(), key.algorithms.as_slice()))
            .collect();
        assert_eq!(
            names,
            [
                (Some("a"), &[Algorithm::RS256][..]),
                (Some("b"), &[Algorithm::RS256]),
                (Some("c"), &[Algorithm::ES256])
            ]
        );
        for text in ["", "<html>", "{}", "[]"] {
            assert!(read(text.as_bytes(), &ALL).is_err(), "{text}");
        }
        for text in [r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"AQAB"}]}"#] {
            assert!(
                read(text.as_bytes(), &ALL).unwrap().is_empty(),
                "a set without keys for us: {text}"
            );
            let error = usable_keys(text.as_bytes(), &ALL).unwrap_err();
            assert!(error.contains("no key in the answer"), "{error}");
        }
    }

    #[tokio::test]
    async fn requests_with_stale_keys_start_no_further_fetch_while_one_waits() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/keys", silent.local_addr().unwrap());
        let client = UpstreamClient::new(&url, Duration::from_secs(60), 1_024).unwrap();
        let pace = KeyPace {
            fresh: Duration::ZERO,
            ..KeyPace::default()
        };
        let issuer = IssuerKeys::new("issuer".into(), KeySource::At(client), ALL.to_vec(), pace);
        let set = br#"{"keys":[{ "kty": "RSA", "kid": "a", "n": "AQAB", "e": "AQAB" }]}"#;
        *issuer.found.write().unwrap() = Some(Found {
            keys: Arc::new(read(set, &ALL).unwrap()),
            at: Instant::now(),
        });
        let issuer = Arc::new(issuer);
        for _ in 0..100 {
            assert!(issuer.find(Some("a")).await.is_ok());
            tokio::task::yield_now().await;
        }
        let tasks = tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks();
        assert!((1..10).contains(&tasks), "{tasks} tasks");
    }

    const ALL: [Algorithm; 5] = [
        Algorithm::RS256,
        Algorithm::PS256,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
    ];

    #[test]
    fn a_key_is_for_the_algorithms_of_its_type_its_curve_and_its_own_word() {
        let set = br#"{ "keys": [
            { "kty": "RSA", "kid": "any", "n": "AQAB", "e": "AQAB" },
            { "kty": "RSA", "kid": "pss", "n": "AQAB", "e": "AQAB", "alg": "PS256" },
            { "kty": "EC", "kid": "384", "crv": "P-384", "x": "AQAB", "y": "AQAB" },
            { "kty": "EC", "kid": "confused", "crv": "P-384", "x": "AQAB", "y": "AQAB", "alg": "ES256" },
            { "kty": "RSA", "kid": "symmetric", "n": "AQAB", "e": "AQAB", "alg": "HS256" },
            { "kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": "AQAB" },
            { "kty": "RSA", "kid": "signs", "n": "AQAB", "e": "AQAB", "key_ops": ["verify"] },
            { "kty": "RSA", "kid": "wraps", "n": "AQAB", "e": "AQAB", "key_ops": ["wrapKey"] }
        ] }"#;
        let keys = read(set, &ALL).unwrap();
        let found: Vec<_> = keys
            .iter()
            .map(|key| (key.id.as_deref().unwrap(), key.algorithms.as_slice()))
            .collect();
        let rsa = &[Algorithm::RS256, Algorithm::PS256][..];
        assert_eq!(
            found,
            [
                ("any", rsa),
                ("pss", &[Algorithm::PS256]),
                ("384", &[Algorithm::ES384]),
                ("ed", &[Algorithm::EdDSA]),
                ("signs", rsa),
            ]
        );
    }
}
