//! What the claims of a token must say before it is believed. Knows no signatures.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::signature::{invalid, wrong_subject};
use super::token::{ACCESS, TokenError};
use super::viewer::User;

/// What is asked of a token.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub issuer: String,
    /// One of which the token is for.
    pub audiences: Vec<String>,
    /// Whether `token_use` must be there; if it is, it must say `access` in any case.
    pub says_its_use: bool,
    /// How far the issuer's clock may be from ours.
    pub leeway: Duration,
}

impl Expected {
    /// The user that the claims speak of.
    ///
    /// # Errors
    /// [`TokenError::Expired`] if nothing but the time is wrong.
    pub fn check(&self, claims: Map<String, Value>, now: SystemTime) -> Result<User, TokenError> {
        self.is_meant(&claims)?;
        let subject = subject(claims.get("sub"))?;
        let permissions = permissions(&claims)?;
        let expires = self.expires(&claims, now)?;
        Ok(User::new(subject, permissions, claims, expires))
    }

    /// Whether it is an access token of the issuer's, for us.
    pub fn is_meant(&self, claims: &Map<String, Value>) -> Result<(), TokenError> {
        if claims.get("iss").and_then(Value::as_str) != Some(&self.issuer) {
            return Err(invalid("jwt issuer invalid"));
        }
        if !self.audiences.iter().any(|one| is_for(one, claims)) {
            return Err(invalid("jwt audience invalid"));
        }
        if !self.is_access_token(claims) {
            return Err(invalid("not an access token"));
        }
        Ok(())
    }

    /// When it ends, if it has begun and has not ended. The last check: what else is wrong with a token matters more.
    pub fn expires(
        &self,
        claims: &Map<String, Value>,
        now: SystemTime,
    ) -> Result<SystemTime, TokenError> {
        let Some(expires) = time(claims.get("exp")) else {
            return Err(invalid("invalid exp value"));
        };
        if let Some(not_before) = claims.get("nbf") {
            match time(Some(not_before)) {
                Some(not_before) if not_before <= now + self.leeway => {}
                Some(_) => return Err(invalid("jwt not active")),
                None => return Err(invalid("invalid nbf value")),
            }
        }
        // Beyond the last second that the system's clock can tell, a token is as good as endless.
        let expires = expires.checked_add(self.leeway).unwrap_or(expires);
        if expires <= now {
            return Err(TokenError::Expired);
        }
        Ok(expires)
    }

    /// Id tokens and others of the same issuer are distinguished by the claim that states their use, where there is one.
    fn is_access_token(&self, claims: &Map<String, Value>) -> bool {
        let by_use = match claims.get("token_use") {
            None => !self.says_its_use,
            Some(token_use) => token_use == ACCESS,
        };
        let by_type = claims
            .get("typ")
            .is_none_or(|kind| kind != "ID" && kind != "Refresh" && kind != "Offline");
        by_use && by_type
    }
}

/// Whether `aud` is, or holds, the audience.
pub(super) fn is_for(audience: &str, claims: &Map<String, Value>) -> bool {
    match claims.get("aud") {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(many)) => many.iter().any(|one| one == audience),
        _ => false,
    }
}

/// The claim that names the user.
pub(super) fn subject(claim: Option<&Value>) -> Result<String, TokenError> {
    claim
        .and_then(Value::as_str)
        .filter(|subject| !subject.is_empty())
        .map(str::to_owned)
        .ok_or_else(wrong_subject)
}

/// The claim `permissions`.
pub(super) fn permissions(claims: &Map<String, Value>) -> Result<Vec<String>, TokenError> {
    let listed = claims.get("permissions").and_then(Value::as_array);
    let texts = listed.and_then(|listed| {
        let texts = listed.iter().map(|one| one.as_str().map(str::to_owned));
        texts.collect()
    });
    texts.ok_or_else(|| invalid("jwt permissions invalid"))
}

/// Whether `iat`, where it is given, is a moment that has come.
pub(super) fn was_issued(
    claims: &Map<String, Value>,
    now: SystemTime,
    leeway: Duration,
) -> Result<(), TokenError> {
    match claims.get("iat").map(|issued| time(Some(issued))) {
        None => Ok(()),
        Some(Some(issued)) if issued <= now + leeway => Ok(()),
        Some(Some(_)) => Err(invalid("jwt issued in the future")),
        Some(None) => Err(invalid("invalid iat value")),
    }
}

/// Seconds since 1970; with a fraction, the second that has begun.
fn time(value: Option<&Value>) -> Option<SystemTime> {
    let value = value?;
    let seconds = match value.as_u64() {
        Some(seconds) => seconds,
        None => {
            let seconds = value
                .as_f64()
                .filter(|seconds| *seconds >= 0.0 && seconds.is_finite())?;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "saturates; not negative"
            )]
            let whole = seconds as u64;
            whole
        }
    };
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn expected(says_its_use: bool) -> Expected {
        let leeway = Duration::from_secs(10);
        Expected {
            issuer: "issuer".into(),
            audiences: vec!["api".into()],
            says_its_use,
            leeway,
        }
    }

    /// Good claims with changes; null takes one away.
    fn check(says_its_use: bool, changes: &Value) -> Result<User, TokenError> {
        let mut claims = json!({
            "sub": "auth0|1", "permissions": ["read:orders"], "iss": "issuer", "aud": "api",
            "token_use": "access", "exp": NOW + 60,
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let Value::Object(mut claims) = claims else {
            unreachable!()
        };
        claims.retain(|_, value| !value.is_null());
        expected(says_its_use).check(claims, UNIX_EPOCH + Duration::from_secs(NOW))
    }

    #[test]
    fn good_claims_make_a_user() {
        let user = check(true, &json!({ "business": "b" })).unwrap();
        assert_eq!(
            (user.subject.as_str(), user.permissions.as_slice()),
            ("auth0|1", &["read:orders".into()][..])
        );
        assert_eq!(user.claims["business"], "b");
        assert_eq!(user.expires, UNIX_EPOCH + Duration::from_secs(NOW + 70));
        assert!(
            check(
                true,
                &json!({ "aud": ["other", "api"], "nbf": NOW + 10, "exp": 1.9e9 })
            )
            .is_ok()
        );
        assert!(check(false, &json!({ "token_use": null })).is_ok());
    }

    #[test]
    fn f08_a_token_for_another_use_is_refused() {
        for changes in [
            json!({ "token_use": "id" }),
            json!({ "token_use": 1 }),
            json!({ "typ": "ID" }),
        ] {
            assert!(
                check(true, &changes).is_err() && check(false, &changes).is_err(),
                "{changes}"
            );
        }
        assert!(
            check(true, &json!({ "token_use": null })).is_err(),
            "ours says it"
        );
    }

    #[test]
    fn what_is_missing_or_wrong_makes_a_token_invalid() {
        for changes in [
            json!({ "iss": "Issuer" }),
            json!({ "iss": null }),
            json!({ "iss": ["issuer"] }),
            json!({ "aud": "other" }),
            json!({ "aud": null }),
            json!({ "aud": [] }),
            json!({ "aud": ["apis"] }),
            json!({ "sub": null }),
            json!({ "sub": "" }),
            json!({ "sub": 7 }),
            json!({ "permissions": null }),
            json!({ "permissions": "read:orders" }),
            json!({ "permissions": [1] }),
            json!({ "exp": null }),
            json!({ "exp": "soon" }),
            json!({ "exp": -1 }),
            json!({ "nbf": NOW + 11 }),
            json!({ "nbf": "soon" }),
        ] {
            assert!(
                matches!(check(true, &changes), Err(TokenError::Invalid(_))),
                "{changes}"
            );
        }
    }

    #[test]
    fn only_what_was_valid_is_expired() {
        assert!(
            check(true, &json!({ "exp": NOW - 9 })).is_ok(),
            "the issuer's clock may be slow"
        );
        assert_eq!(
            check(true, &json!({ "exp": NOW - 10 })),
            Err(TokenError::Expired)
        );
        let other = check(true, &json!({ "exp": NOW - 10, "aud": "other" }));
        assert!(matches!(other, Err(TokenError::Invalid(_))), "{other:?}");
    }
}
