//! Bearer tokens of users, from issuers elsewhere (`auth.issuers`): a token is judged by the issuer that its `iss` names, and by
//! no other ([ADR 53](../../../docs/adr/0053-bearer-tokens-of-issuers.md)).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use gom_runtime::clock::Clock;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde_json::{Map, Value};

use super::claims::{self, Expected};
use super::discovery::KeySource;
use super::issuer_keys::{IssuerKeys, KeyPace};
use super::signature::{Parts, invalid, malformed, wrong_subject};
use super::token::TokenError;
use super::token_kind::{ISSUER_SUBJECTS, TokenKind, owner};
use super::viewer::User;
use super::{IdentityError, Roles, names_itself};
use crate::settings::{Auth, ClaimPath, Issuer};

/// No issuer makes longer ones, and proxies pass none.
const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// Memory for the claims and permissions of remembered tokens. The rights that the policy gives to them are not counted: they
/// grow with the datamodel, which is the same for all.
const REMEMBERED_BYTES: u64 = 16 * 1024 * 1024;

/// Verifies users' bearer tokens, and remembers those that it found valid until they end.
pub(super) struct Issuers {
    issuers: Vec<Trusted>,
    kinds: Vec<TokenKind>,
    clock: Clock,
    /// By a digest of the whole token: another signature makes another token.
    valid: Cache<[u8; 32], Arc<User>, ByBytes>,
}

/// An issuer of the settings.
struct Trusted {
    settings: Issuer,
    keys: Arc<IssuerKeys>,
    expected: Expected,
    /// Before the subjects of its users; empty for the issuer whose users log in as well.
    prefix: String,
    /// The permissions of the roles that its tokens may have.
    roles: Roles,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<[u8; 32], Arc<User>> for ByBytes {
    /// Claims take a few times their text.
    fn weight(&self, _: &[u8; 32], user: &Arc<User>) -> u64 {
        let claims: usize = user
            .claims
            .values()
            .map(|value| value.to_string().len())
            .sum();
        let permissions: usize = user.permissions.iter().map(String::len).sum();
        let bytes = (claims + permissions) * 3 + user.subject.len() + 512;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

impl Issuers {
    /// `roles`: the permissions of each role of the policy.
    ///
    /// # Errors
    /// If a client cannot be made, or the policy lacks a role or does not name it among its permissions.
    pub fn new(
        auth: &Auth,
        roles: &Roles,
        kinds: &[TokenKind],
        pace: KeyPace,
        clock: Clock,
    ) -> Result<Self, IdentityError> {
        let trusted = |issuer: &Issuer| {
            let of_logins = auth.oauth2.issuer.as_ref() == Some(&issuer.issuer);
            Trusted::new(issuer, of_logins, roles, pace)
        };
        Ok(Issuers {
            issuers: auth.issuers.iter().map(trusted).collect::<Result<_, _>>()?,
            kinds: kinds.to_vec(),
            clock,
            valid: Cache::with_weighter(4_096, REMEMBERED_BYTES, ByBytes),
        })
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// If it is not valid, or the keys of its issuer are unavailable.
    pub async fn verify(&self, token: &str) -> Result<Arc<User>, TokenError> {
        if self.issuers.is_empty() {
            return Err(invalid("not a service token"));
        }
        if token.len() > MAX_TOKEN_BYTES {
            return Err(invalid("jwt too large"));
        }
        let key = digest(&SHA256, token.as_bytes());
        let key = <[u8; 32]>::try_from(key.as_ref()).map_err(|_| malformed())?;
        if let Some(user) = self.valid.get(&key) {
            return if self.clock.now() < user.expires {
                Ok(user)
            } else {
                Err(TokenError::Expired)
            };
        }
        let (signed, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
        let parts = Parts::read(signed)?;
        let named = parts.claims.get("iss").and_then(Value::as_str);
        let mut issuers = self.issuers.iter();
        let issuer = issuers
            .find(|issuer| named == Some(&issuer.settings.issuer))
            .ok_or_else(|| invalid("jwt issuer invalid"))?;
        parts.verify(&issuer.keys, signed, signature).await?;
        // The keys may have been waited for.
        let user = issuer.user(&parts.claims, self.clock.now())?;
        // It may be anything that the issuer calls a user, the kinds' holders and other issuers' users among them.
        if issuer.prefix.is_empty() && owner(&self.kinds, &user.subject).is_some() {
            return Err(wrong_subject());
        }
        let user = Arc::new(user);
        self.valid.insert(key, Arc::clone(&user));
        Ok(user)
    }
}

impl Trusted {
    /// `of_logins`: its users log in as well, and are the same users then.
    fn new(
        issuer: &Issuer,
        of_logins: bool,
        roles: &Roles,
        pace: KeyPace,
    ) -> Result<Self, IdentityError> {
        let name = &issuer.issuer;
        let source = KeySource::of(issuer).map_err(|cause| IdentityError::Client {
            key: "auth.issuers",
            cause,
        })?;
        for role in issuer.roles.values().chain(&issuer.default_role) {
            let (issuer, role) = (name.clone(), role.clone());
            match roles.get(&role) {
                None => return Err(IdentityError::Role { issuer, role }),
                Some(permissions) if !names_itself(&role, permissions) => {
                    return Err(IdentityError::Unnamed { issuer, role });
                }
                Some(_) => {}
            }
        }
        let prefix = if of_logins {
            String::new()
        } else {
            let name = name.replace('%', "%25").replace(':', "%3A");
            format!("{ISSUER_SUBJECTS}{name}:")
        };
        let keys = IssuerKeys::new(name.clone(), source, issuer.algorithms.clone(), pace);
        Ok(Trusted {
            settings: issuer.clone(),
            keys: Arc::new(keys),
            expected: Expected {
                issuer: name.clone(),
                audiences: issuer.audiences.clone(),
                says_its_use: false,
                leeway: issuer.leeway,
            },
            prefix,
            roles: roles.clone(),
        })
    }

    /// The user that the claims speak of, with the claims that the settings name and no others.
    fn user(&self, found: &Map<String, Value>, now: SystemTime) -> Result<User, TokenError> {
        self.expected.is_meant(found)?;
        // It is good only with a proof of its sender's key (RFC 7800, RFC 8705, RFC 9449), which is not verified here.
        if found.contains_key("cnf") {
            return Err(invalid("jwt bound to its sender"));
        }
        let subject = claims::subject(at(found, &self.settings.subject_claim))?;
        let subject = format!("{}{subject}", self.prefix);
        let permissions = self.permissions(found)?;
        claims::was_issued(found, now, self.settings.leeway)?;
        let expires = self.expected.expires(found, now)?;
        // A rule that compares `$sub` must not take the user for another issuer's.
        let mut own = Map::from_iter([("sub".to_owned(), subject.clone().into())]);
        for (name, path) in &self.settings.claims {
            if let Some(value) = at(found, path) {
                own.insert(name.clone(), value.clone());
            }
        }
        Ok(User::new(subject, permissions, own, expires))
    }

    /// Of the role that the token's values stand for. With several, or none, the policy refuses what is asked for.
    fn permissions(&self, found: &Map<String, Value>) -> Result<Vec<String>, TokenError> {
        let settings = &self.settings;
        if !settings.assigns_roles() {
            return claims::permissions(found);
        }
        let value = settings
            .role_claim
            .as_ref()
            .and_then(|path| at(found, path));
        let values = match value {
            Some(Value::Array(several)) => several.as_slice(),
            Some(one) => std::slice::from_ref(one),
            None => &[],
        };
        let role_of = |value: &Value| settings.roles.get(value.as_str()?);
        let mut roles: BTreeSet<&String> = values.iter().filter_map(role_of).collect();
        if roles.is_empty() {
            roles.extend(&settings.default_role);
        }
        // Their names alone: no viewer gets the permissions of one role with the rows of another.
        if roles.len() > 1 {
            return Ok(roles.iter().map(|role| format!("role:{role}")).collect());
        }
        let permissions = roles.into_iter().filter_map(|role| self.roles.get(role));
        Ok(permissions.flatten().cloned().collect())
    }
}

fn at<'a>(claims: &'a Map<String, Value>, ClaimPath(path): &ClaimPath) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter()
        .try_fold(claims.get(first)?, |value, name| value.get(name))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use gom_runtime::clock::ManualClock;
    use serde_json::json;

    use super::*;

    const NAME: &str = "https://issuer.example/realms/a%";
    const NOW: u64 = 1_800_000_000;

    fn trusted(more: &Value, of_logins: bool) -> Result<Trusted, IdentityError> {
        let mut written = json!({ "issuer": NAME, "audiences": ["api", "other api"] });
        for (name, value) in more.as_object().unwrap() {
            written[name] = value.clone();
        }
        let issuer: Issuer = serde_json::from_value(written).unwrap();
        let roles = ["member", "admin"].map(|role| {
            let permissions = vec![format!("role:{role}"), "read:orders".to_owned()];
            (role.to_owned(), permissions)
        });
        Trusted::new(&issuer, of_logins, &roles.into(), KeyPace::default())
    }

    /// Of a good token with changes; null takes a claim away.
    fn user(of: &Trusted, changes: &Value) -> Result<User, TokenError> {
        let mut claims = json!({
            "iss": NAME, "aud": "api", "sub": "alice", "iat": NOW, "exp": NOW + 60,
            "realm": { "roles": ["offline", "app-member"] }, "https://app.example/tier": "gold",
            "app": { "business": "tacos" }, "email": "alice@example.com",
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let Value::Object(mut claims) = claims else {
            unreachable!()
        };
        claims.retain(|_, value| !value.is_null());
        of.user(&claims, UNIX_EPOCH + Duration::from_secs(NOW))
    }

    fn mapped() -> Trusted {
        let settings = json!({
            "role_claim": ["realm", "roles"],
            "roles": { "app-member": "member", "app-admin": "admin", "boss": "admin" },
            "claims": { "tier": "https://app.example/tier", "business": ["app", "business"], "none": ["app", "none"] },
        });
        trusted(&settings, false).unwrap()
    }

    fn roles(user: &User) -> Vec<&str> {
        let of_role = |one: &&str| one.starts_with("role:");
        user.permissions
            .iter()
            .map(String::as_str)
            .filter(of_role)
            .collect()
    }

    #[test]
    fn a_users_subject_has_its_issuer_and_its_claims_are_those_that_are_named() {
        let alice = user(&mapped(), &json!({})).unwrap();
        let subject = "issuer:https%3A//issuer.example/realms/a%25:alice";
        assert_eq!(alice.subject, subject);
        assert_eq!(
            Value::Object(alice.claims.clone()),
            json!({ "sub": subject, "business": "tacos", "tier": "gold" })
        );
        assert_eq!(roles(&alice), ["role:member"]);
        assert_eq!(alice.expires, UNIX_EPOCH + Duration::from_secs(NOW + 70));
        let renamed = trusted(
            &json!({ "subject_claim": "email", "default_role": "member" }),
            false,
        );
        let renamed = user(&renamed.unwrap(), &json!({})).unwrap();
        assert!(
            renamed.subject.ends_with(":alice@example.com"),
            "{}",
            renamed.subject
        );
    }

    #[test]
    fn the_users_of_the_issuer_of_logins_keep_their_subjects_and_permissions() {
        let same = trusted(&json!({}), true).unwrap();
        let alice = user(&same, &json!({ "permissions": ["role:member"] })).unwrap();
        assert_eq!(
            (alice.subject.as_str(), roles(&alice)),
            ("alice", vec!["role:member"])
        );
        assert_eq!(
            user(&same, &json!({})),
            Err(invalid("jwt permissions invalid"))
        );
    }

    #[test]
    fn a_role_is_what_the_settings_make_of_the_tokens_values() {
        let found = |value: Value| {
            let user = user(&mapped(), &json!({ "realm": { "roles": value } })).unwrap();
            roles(&user)
                .into_iter()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(found(json!("boss")), ["role:admin"]);
        assert_eq!(
            found(json!(["boss", "app-admin"])),
            ["role:admin"],
            "one role"
        );
        let several = json!({ "realm": { "roles": ["boss", "app-member"] } });
        assert_eq!(
            user(&mapped(), &several).unwrap().permissions,
            ["role:admin", "role:member"],
            "the policy refuses two, and neither's permissions are the other's"
        );
        for none in [
            json!(["member"]),
            json!([]),
            json!(7),
            json!({ "boss": true }),
            json!(null),
        ] {
            assert_eq!(found(none.clone()), Vec::<String>::new(), "{none}");
        }
        let by_default = trusted(&json!({ "default_role": "member" }), false).unwrap();
        // Permissions of the token's own grant nothing where the settings assign roles.
        let claims = json!({ "permissions": ["role:admin"] });
        assert_eq!(roles(&user(&by_default, &claims).unwrap()), ["role:member"]);
        let unknown = trusted(&json!({ "default_role": "owner" }), false)
            .err()
            .unwrap();
        assert!(unknown.to_string().contains("\"owner\""), "{unknown}");
    }

    #[test]
    fn a_role_that_its_own_permissions_do_not_name_is_an_error_at_start() {
        let issuer = json!({ "issuer": NAME, "audiences": ["api"], "default_role": "clerk" });
        let issuer: Issuer = serde_json::from_value(issuer).unwrap();
        let roles = ("clerk".to_owned(), vec!["write:orders".to_owned()]);
        let error = Trusted::new(&issuer, false, &[roles].into(), KeyPace::default());
        let error = error.err().unwrap().to_string();
        assert!(error.contains("add \"role:clerk\""), "{error}");
    }

    #[tokio::test]
    async fn a_remembered_token_ends_when_it_does() {
        let time = ManualClock::new(UNIX_EPOCH + Duration::from_secs(NOW));
        let issuers = Issuers {
            issuers: vec![mapped()],
            kinds: Vec::new(),
            clock: time.clock(),
            valid: Cache::with_weighter(16, REMEMBERED_BYTES, ByBytes),
        };
        let (token, alice) = ("header.claims.signature", user(&mapped(), &json!({})));
        let key = digest(&SHA256, token.as_bytes());
        let alice = Arc::new(alice.unwrap());
        issuers
            .valid
            .insert(key.as_ref().try_into().unwrap(), Arc::clone(&alice));
        let left = alice.expires.duration_since(issuers.clock.now()).unwrap();
        time.advance(left - Duration::from_secs(1));
        assert_eq!(issuers.verify(token).await, Ok(alice));
        time.advance(Duration::from_secs(1));
        assert_eq!(issuers.verify(token).await, Err(TokenError::Expired));
    }

    #[test]
    fn each_wrong_claim_has_its_reason() {
        let issuer = mapped();
        for (changes, reason) in [
            (
                json!({ "iss": "https://issuer.example/realms/b" }),
                "jwt issuer invalid",
            ),
            (json!({ "aud": "apis" }), "jwt audience invalid"),
            (json!({ "aud": null }), "jwt audience invalid"),
            (json!({ "token_use": "id" }), "not an access token"),
            (json!({ "typ": "ID" }), "not an access token"),
            (
                json!({ "cnf": { "jkt": "a key" } }),
                "jwt bound to its sender",
            ),
            (json!({ "sub": null }), "jwt subject invalid"),
            (json!({ "exp": null }), "invalid exp value"),
            (json!({ "nbf": NOW + 11 }), "jwt not active"),
            (json!({ "iat": NOW + 11 }), "jwt issued in the future"),
            (json!({ "iat": "today" }), "invalid iat value"),
            (json!({ "exp": NOW - 10 }), "jwt expired"),
        ] {
            let error = user(&issuer, &changes).unwrap_err();
            assert_eq!(error.to_string(), reason, "{changes}");
        }
        let changes =
            json!({ "aud": ["x", "other api"], "nbf": NOW + 10, "iat": NOW + 10, "exp": NOW - 9 });
        assert!(user(&issuer, &changes).is_ok(), "within the leeway");
        assert!(user(&issuer, &json!({ "iat": null })).is_ok());
    }
}
