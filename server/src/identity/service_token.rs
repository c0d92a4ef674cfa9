//! Tokens of services: HS256 with the service secret. Ours have the shape that Prisma 1's command line gave them
//! (`{ data: { service, roles }, iat, exp }`), with a claim of ours that says what they are for. Prisma's client libraries
//! sign `{ iat }` and no more, and are accepted unless the settings require claims (ADR 35).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use quick_cache::sync::Cache;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use crate::settings::Secret;

/// What `token_use` says in a service token.
const USE: &str = "service";
/// How far clocks of different machines may differ, in seconds.
const LEEWAY: u64 = 10;
/// How many tokens are remembered as valid. Services are few, and each sends the same token for a long time.
const REMEMBERED: usize = 64;

#[derive(Serialize, Deserialize)]
struct Claims {
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    data: Option<Data>,
    /// Absent in tokens made by Prisma's clients.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    token_use: Option<String>,
    /// Names a person: no service has one.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    sub: Option<Value>,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    iat: Option<u64>,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    nbf: Option<u64>,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    exp: Option<u64>,
    /// What no token of a service has.
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Claims {
    /// Without a role, a token is a service's only if it says nothing else: applications sign their users' tokens with the same
    /// secret, in whatever form. Prisma's `grants` may stand there if they grant everything.
    fn is_plain(&self) -> bool {
        let everything = json!({ "target": "*/*", "action": "*" });
        let others = self.others.iter().all(|(name, value)| {
            name == "grants"
                && value
                    .as_array()
                    .is_some_and(|grants| grants.contains(&everything))
        });
        others && self.data.as_ref().is_none_or(|data| data.others.is_empty())
    }
}

#[derive(Serialize, Deserialize)]
struct Data {
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    service: Option<String>,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    roles: Option<Vec<String>>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// A claim that is there has a value of its type: `null` is none.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The token is not ours, was altered, is for something else, or has expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidToken;

/// Signs and checks service tokens.
pub struct ServiceTokens {
    signing: EncodingKey,
    checking: DecodingKey,
    validation: Validation,
    /// `exp` and the role must be there.
    require_claims: bool,
    /// Until when a token that was found valid stays so (`exp`): checking it took a fifth of the instructions
    /// of a small read. A key is found by a hash of the whole token with a random seed, so that the time of a
    /// look-up tells nothing of other tokens.
    valid: Cache<String, u64>,
}

impl ServiceTokens {
    /// Signs and checks with HS256.
    pub fn new(secret: &Secret) -> Self {
        // The algorithm is ours to say, never the token's.
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.required_spec_claims.clear();
        ServiceTokens {
            signing: EncodingKey::from_secret(secret.expose().as_bytes()),
            checking: DecodingKey::from_secret(secret.expose().as_bytes()),
            validation,
            require_claims: false,
            valid: Cache::new(REMEMBERED),
        }
    }

    /// `required`: a token must have `exp` and the role `admin`; else both may be absent, but not wrong.
    #[must_use]
    pub fn require_claims(self, required: bool) -> Self {
        ServiceTokens {
            require_claims: required,
            ..self
        }
    }

    /// A token for the service role that is valid from `now` on for `lifetime`, in whole seconds.
    ///
    /// # Errors
    /// If signing fails, which the crate's documentation does not rule out.
    pub fn sign(
        &self,
        now: SystemTime,
        lifetime: Duration,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let iat = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = Claims {
            data: Some(Data {
                service: Some("default@default".into()),
                roles: Some(vec!["admin".into()]),
                others: Map::new(),
            }),
            token_use: Some(USE.into()),
            sub: None,
            iat: Some(iat),
            nbf: None,
            exp: Some(iat.saturating_add(lifetime.as_secs())),
            others: Map::new(),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.signing)
    }

    /// Checks signature and algorithm, and of `exp`, `nbf`, role and use those that are there.
    ///
    /// # Errors
    /// If the token is invalid, without a reason: it would help only those who guess.
    pub fn check(&self, token: &str) -> Result<(), InvalidToken> {
        self.check_at(token, SystemTime::now())
    }

    /// How long a token is still accepted, for what outlives one request; without `exp`, longer than any clock runs.
    ///
    /// # Errors
    /// As [`ServiceTokens::check`].
    pub fn time_left(&self, token: &str) -> Result<Duration, InvalidToken> {
        let now = SystemTime::now();
        let end = Duration::from_secs(self.end_of(token, now)?);
        Ok(end.saturating_sub(now.duration_since(UNIX_EPOCH).unwrap_or_default()))
    }

    fn check_at(&self, token: &str, now: SystemTime) -> Result<(), InvalidToken> {
        self.end_of(token, now).map(|_| ())
    }

    /// Until when a valid token is accepted, in seconds since 1970.
    fn end_of(&self, token: &str, now: SystemTime) -> Result<u64, InvalidToken> {
        if let Some(exp) = self.valid.get(token) {
            let (now, end) = (
                now.duration_since(UNIX_EPOCH).unwrap_or_default(),
                exp.saturating_add(LEEWAY),
            );
            return if end > now.as_secs() {
                Ok(end)
            } else {
                Err(InvalidToken)
            };
        }
        let exp = self.exp_of(token, &self.validation)?;
        self.valid.insert(token.to_owned(), exp);
        Ok(exp.saturating_add(LEEWAY))
    }

    /// Whether a token that is not accepted was a service's, and has ended: nothing else is wrong with it.
    pub fn has_expired(&self, token: &str) -> bool {
        let mut validation = self.validation.clone();
        validation.validate_exp = false;
        self.exp_of(token, &validation).is_ok()
    }

    /// When a token ends that was verified now; without `exp`, never.
    fn exp_of(&self, token: &str, validation: &Validation) -> Result<u64, InvalidToken> {
        let claims = jsonwebtoken::decode::<Claims>(token, &self.checking, validation)
            .map_err(|_| InvalidToken)?
            .claims;
        let of_service = claims.sub.is_none()
            && claims
                .token_use
                .as_deref()
                .is_none_or(|token_use| token_use == USE);
        let roles = claims.data.as_ref().and_then(|data| data.roles.as_ref());
        let complete = !self.require_claims || roles.is_some() && claims.exp.is_some();
        let allowed = match roles {
            Some(roles) => roles.iter().any(|role| role == "admin"),
            None => claims.is_plain(),
        };
        if !(of_service && complete && allowed) {
            return Err(InvalidToken);
        }
        Ok(claims.exp.unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn tokens() -> ServiceTokens {
        ServiceTokens::new(&Secret::new("a secret"))
    }

    fn encode(algorithm: Algorithm, claims: &serde_json::Value) -> String {
        jsonwebtoken::encode(
            &Header::new(algorithm),
            claims,
            &EncodingKey::from_secret(b"a secret"),
        )
        .unwrap()
    }

    fn in_a_day() -> u64 {
        (SystemTime::now() + DAY)
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs()
    }

    #[test]
    fn what_is_signed_is_accepted() {
        let token = tokens().sign(SystemTime::now(), DAY).unwrap();
        assert_eq!(tokens().check(&token), Ok(()));
    }

    #[test]
    fn a_token_that_was_valid_expires_all_the_same() {
        let tokens = tokens();
        let now = SystemTime::now();
        let token = tokens.sign(now, DAY).unwrap();
        let after = |time| tokens.check_at(&token, now + time);
        assert_eq!(tokens.check(&token), Ok(()), "checked");
        assert_eq!(after(DAY - Duration::from_secs(1)), Ok(()), "remembered");
        assert_eq!(
            after(DAY + Duration::from_secs(LEEWAY + 1)),
            Err(InvalidToken),
            "expired meanwhile"
        );
    }

    #[test]
    fn a_token_of_prismas_client_is_accepted() {
        let token = encode(
            Algorithm::HS256,
            &serde_json::json!({
                "data": { "service": "shop@dev", "roles": ["admin"] }, "iat": 1, "exp": in_a_day(),
            }),
        );
        assert_eq!(tokens().check(&token), Ok(()));
    }

    #[test]
    fn another_secret_an_expired_token_and_an_altered_one_are_refused() {
        let token = tokens().sign(SystemTime::now(), DAY).unwrap();
        assert_eq!(
            ServiceTokens::new(&Secret::new("another")).check(&token),
            Err(InvalidToken)
        );
        let old = tokens().sign(SystemTime::now() - 2 * DAY, DAY).unwrap();
        assert_eq!(tokens().check(&old), Err(InvalidToken));
        assert!(tokens().has_expired(&old));
        assert!(!tokens().has_expired(&old[..old.len() - 2]));
        let of_a_user = encode(Algorithm::HS256, &json!({ "sub": "ana", "exp": 1 }));
        assert!(!tokens().has_expired(&of_a_user));
        assert_eq!(tokens().check(&token[..token.len() - 2]), Err(InvalidToken));
        assert_eq!(tokens().check(""), Err(InvalidToken));
    }

    #[test]
    fn the_algorithm_is_pinned() {
        let claims = serde_json::json!({
            "data": { "service": "s", "roles": ["admin"] }, "token_use": "service", "iat": 1, "exp": in_a_day(),
        });
        assert_eq!(
            tokens().check(&encode(Algorithm::HS512, &claims)),
            Err(InvalidToken)
        );
        let signed = encode(Algorithm::HS256, &claims);
        let payload = signed.split('.').nth(1).unwrap();
        // {"alg":"none","typ":"JWT"}
        let unsigned = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.");
        assert_eq!(tokens().check(&unsigned), Err(InvalidToken));
    }

    #[test]
    fn claims_are_optional_as_in_prisma_unless_they_are_required() {
        let now = in_a_day() - 86_400;
        for claims in [
            // Of prisma-binding and prisma-client-lib.
            serde_json::json!({ "iat": now }),
            serde_json::json!({}),
            serde_json::json!({ "iat": now, "exp": in_a_day() }),
            serde_json::json!({ "data": { "service": "shop@dev", "roles": ["admin"] }, "iat": 1 }),
            serde_json::json!({ "data": { "service": "shop@dev" }, "iat": 1, "exp": in_a_day() }),
            serde_json::json!({ "iat": now, "grants": [{ "target": "*/*", "action": "*" }] }),
        ] {
            let token = encode(Algorithm::HS256, &claims);
            let tokens = tokens();
            assert_eq!(tokens.check(&token), Ok(()), "{claims}");
            assert_eq!(tokens.check(&token), Ok(()), "{claims}, remembered");
            let strict = self::tokens().require_claims(true);
            assert_eq!(strict.check(&token), Err(InvalidToken), "{claims}");
        }
        let complete = tokens().sign(SystemTime::now(), DAY).unwrap();
        assert_eq!(tokens().require_claims(true).check(&complete), Ok(()));
    }

    #[test]
    fn a_token_without_an_end_stays_valid() {
        let tokens = tokens();
        let token = encode(Algorithm::HS256, &serde_json::json!({ "iat": 1 }));
        assert!(tokens.time_left(&token).unwrap() > 36_500 * DAY);
        assert!(
            tokens.time_left(&token).unwrap() > 36_500 * DAY,
            "remembered"
        );
    }

    #[test]
    fn a_claim_that_is_there_counts() {
        let data = |roles: &[&str]| serde_json::json!({ "service": "s", "roles": roles });
        for claims in [
            serde_json::json!({ "data": data(&["admin"]), "token_use": "access", "iat": 1, "exp": in_a_day() }),
            serde_json::json!({ "data": data(&["reader"]), "token_use": "service", "iat": 1, "exp": in_a_day() }),
            serde_json::json!({ "data": data(&[]), "iat": 1 }),
            serde_json::json!({ "data": { "roles": null }, "iat": 1 }),
            serde_json::json!({ "data": null, "iat": 1 }),
            serde_json::json!({ "sub": "auth0|1", "iat": 1, "exp": in_a_day() }),
            serde_json::json!({ "sub": "auth0|1", "iat": 1 }),
            // Of an application's users.
            serde_json::json!({ "userId": "cj1", "iat": 1 }),
            serde_json::json!({ "data": { "userId": "cj1" }, "iat": 1, "exp": in_a_day() }),
            serde_json::json!({ "email": "a@example.com", "role": "USER" }),
            serde_json::json!({ "user": { "id": "x" } }),
            serde_json::json!({ "iat": 1, "grants": [{ "target": "shop/dev", "action": "read" }] }),
            serde_json::json!({ "iat": 1, "grants": [{ "target": "*/*", "action": "*" }], "userId": "x" }),
            serde_json::json!({ "aud": 7, "iat": 1 }),
            serde_json::json!({ "iat": 1, "exp": in_a_day() - 2 * 86_400 }),
            serde_json::json!({ "iat": 1, "exp": "tomorrow" }),
            serde_json::json!({ "iat": 1, "exp": null }),
            serde_json::json!({ "iat": 1, "exp": -1 }),
            serde_json::json!({ "iat": 1, "nbf": in_a_day() - 1_000 }),
            serde_json::json!({ "iat": 1, "nbf": "tomorrow" }),
            serde_json::json!({
                "data": data(&["admin"]), "iat": 1, "nbf": in_a_day() - 1_000, "exp": in_a_day(),
            }),
        ] {
            assert_eq!(
                tokens().check(&encode(Algorithm::HS256, &claims)),
                Err(InvalidToken),
                "{claims}"
            );
        }
    }
}
