//! Issuers elsewhere whose access tokens are accepted as bearer tokens: a list of tables, read as one value
//! ([ADR 53](../../../docs/adr/0053-bearer-tokens-of-issuers.md)).

use std::collections::BTreeMap;
use std::time::Duration;

use config::{Value, ValueKind};
use jsonwebtoken::{Algorithm, AlgorithmFamily};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::address::url;
use super::table::snake_case;

/// Issuers of one server, at most.
const MAX_ISSUERS: usize = 16;
/// Seconds by which clocks may differ, at most.
const MAX_LEEWAY: u64 = 60;

/// An issuer elsewhere, and what its tokens mean here.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The claim `iss` of its tokens, to the letter.
    pub issuer: String,
    /// Where its public keys are. Unset: where its discovery document says.
    #[serde(default)]
    pub jwks_url: Option<String>,
    /// The claim `aud` of a token has to name one of these.
    pub audiences: Vec<String>,
    /// Those that tokens may be signed with; none of them is symmetric.
    #[serde(default = "default_algorithms", deserialize_with = "algorithms")]
    pub algorithms: Vec<Algorithm>,
    /// Which claim is the subject.
    #[serde(default = "subject_claim")]
    pub subject_claim: ClaimPath,
    /// Which claim has the values that `roles` translates: a text, or a list of texts.
    #[serde(default)]
    pub role_claim: Option<ClaimPath>,
    /// The policy's role for each value.
    #[serde(default)]
    pub roles: BTreeMap<String, String>,
    /// The policy's role of tokens for which `roles` has none.
    #[serde(default)]
    pub default_role: Option<String>,
    /// The policy's claims, and where each is found in a token.
    #[serde(default)]
    pub claims: BTreeMap<String, ClaimPath>,
    /// How far the issuer's clock may be from ours.
    #[serde(default = "default_leeway", deserialize_with = "leeway")]
    pub leeway: Duration,
}

impl Issuer {
    /// Whether its settings say which role a token has. If not, the token's own `permissions` count, as a session's do.
    pub fn assigns_roles(&self) -> bool {
        self.role_claim.is_some() || self.default_role.is_some()
    }
}

/// Where a claim is: its name, which may have any characters, or the names that lead to it through objects.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(from = "WrittenPath")]
pub struct ClaimPath(pub Vec<String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenPath {
    Name(String),
    Names(Vec<String>),
}

impl From<WrittenPath> for ClaimPath {
    fn from(written: WrittenPath) -> Self {
        ClaimPath(match written {
            WrittenPath::Name(name) => vec![name],
            WrittenPath::Names(names) => names,
        })
    }
}

impl ClaimPath {
    fn is_usable(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|name| !name.is_empty())
    }
}

fn subject_claim() -> ClaimPath {
    ClaimPath(vec!["sub".to_owned()])
}

fn default_algorithms() -> Vec<Algorithm> {
    vec![Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA]
}

fn default_leeway() -> Duration {
    Duration::from_secs(10)
}

fn algorithms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Algorithm>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let read = |name: &String| match name.parse::<Algorithm>() {
        Ok(algorithm) if algorithm.family() != AlgorithmFamily::Hmac => Ok(algorithm),
        _ => Err(D::Error::custom(format!(
            "algorithms: \"{name}\" is none of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA; \
             with a symmetric one, the key that verifies a token can make one"
        ))),
    };
    names.iter().map(read).collect()
}

fn leeway<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = u64::deserialize(deserializer)?;
    if seconds <= MAX_LEEWAY {
        Ok(Duration::from_secs(seconds))
    } else {
        Err(D::Error::custom(format!(
            "leeway: {seconds} is more than {MAX_LEEWAY} seconds"
        )))
    }
}

/// The list, with its settings' names in snake_case.
///
/// # Errors
/// What is wrong with the first issuer that cannot be used.
pub(super) fn check(elements: Vec<Value>) -> Result<ValueKind, String> {
    if elements.len() > MAX_ISSUERS {
        return Err(format!("there are more than {MAX_ISSUERS} issuers"));
    }
    let mut names: Vec<String> = Vec::new();
    let mut checked = Vec::new();
    for (place, element) in elements.into_iter().enumerate() {
        let at_place = |reason| format!("issuer {}: {reason}", place + 1);
        let element = with_known_spelling(element).map_err(at_place)?;
        let issuer = read(&element).map_err(at_place)?;
        if let Some(reason) = unusable(&issuer) {
            return Err(format!("issuer \"{}\": {reason}", issuer.issuer));
        }
        if names.contains(&issuer.issuer) {
            return Err(format!("issuer \"{}\" is there twice", issuer.issuer));
        }
        names.push(issuer.issuer);
        checked.push(element);
    }
    Ok(ValueKind::Array(checked))
}

fn read(element: &Value) -> Result<Issuer, String> {
    let value: serde_json::Value = element
        .clone()
        .try_deserialize()
        .map_err(|error| error.to_string())?;
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// The issuers' names, as `gom config` shows the list.
pub(super) fn shown(elements: &[Value]) -> String {
    let name = |element: &Value| match &element.kind {
        ValueKind::Table(table) => table.get("issuer").map(|issuer| format!("\"{issuer}\"")),
        _ => None,
    };
    let names: Vec<String> = elements.iter().filter_map(name).collect();
    format!("[{}]", names.join(", "))
}

/// # Errors
/// If a setting is there in two spellings: they are in no order, so that either might count.
fn with_known_spelling(element: Value) -> Result<Value, String> {
    let ValueKind::Table(written) = element.kind else {
        return Ok(Value::new(None, element.kind));
    };
    let mut table = config::Map::<String, Value>::default();
    for (name, value) in written {
        let name = snake_case(&name);
        if table.insert(name.clone(), value).is_some() {
            return Err(format!("`{name}` is there twice, in two spellings"));
        }
    }
    Ok(Value::new(None, ValueKind::Table(table)))
}

fn unusable(issuer: &Issuer) -> Option<&'static str> {
    let claims = issuer.claims.values();
    let paths = [&issuer.subject_claim].into_iter();
    let mut paths = paths.chain(&issuer.role_claim).chain(claims);
    let Some(name) = url(&issuer.issuer) else {
        return Some("`issuer` is no https URL (http only on this machine)");
    };
    if name.query().is_some() {
        Some(
            "`issuer` has a query (`?`), which no issuer's name has (OpenID Connect Discovery 1.0)",
        )
    } else if issuer
        .jwks_url
        .as_deref()
        .is_some_and(|address| url(address).is_none())
    {
        Some("`jwks_url` is no https URL (http only on this machine)")
    } else if issuer.audiences.is_empty() || issuer.audiences.iter().any(String::is_empty) {
        Some(
            "`audiences` is empty, or has an empty text: tokens for any other API would be accepted",
        )
    } else if issuer.algorithms.is_empty() {
        Some("`algorithms` is empty: leave it out, or name one")
    } else if issuer.role_claim.is_some() == issuer.roles.is_empty() {
        Some("`role_claim` and `roles` need each other: one has the values, the other their roles")
    } else if paths.any(|path| !path.is_usable()) {
        Some("a claim is a name that is not empty, or a list of such names")
    } else {
        None
    }
}
