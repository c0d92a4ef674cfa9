//! Verifies access tokens, each by the keys and the one algorithm of its issuer.

use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};
use serde_json::{Map, Value};

use super::app_keys::{AppKeys, KeyUse, LabelledKey};
use super::claims::Expected;
use super::issuer_keys::IssuerKeys;
use super::signature::{Parts, malformed, wrong_algorithm, wrong_signature, wrong_subject};
use super::token::{TokenError, as_signed};
use super::token_kind::{TokenKind, owner};
use super::viewer::User;
use super::{ACCOUNTS, AUTH0};
use crate::settings::Local;

/// Memory for remembered tokens.
const REMEMBERED_BYTES: u64 = 16 * 1024 * 1024;
/// A longer half cannot have come from a cookie.
const MAX_HALF_BYTES: usize = 8_192;
/// How far the clock of an issuer elsewhere may be from ours. Our own nodes' clocks are the operator's.
const FOREIGN_LEEWAY: Duration = Duration::from_secs(10);

/// Verifies access tokens and remembers those that it found valid.
pub(super) struct Verifier {
    keys: AppKeys,
    local: Expected,
    kinds: Vec<(TokenKind, LabelledKey)>,
    foreign: Option<Foreign>,
    valid: Cache<Token, Arc<User>, ByBytes>,
}

/// An issuer elsewhere.
pub(super) struct Foreign {
    keys: Arc<IssuerKeys>,
    expected: Expected,
}

impl Foreign {
    pub fn new(keys: Arc<IssuerKeys>, issuer: &str, audience: &str) -> Self {
        let (issuer, audience) = (issuer.to_owned(), audience.to_owned());
        let expected = Expected {
            issuer,
            audiences: vec![audience],
            says_its_use: false,
            leeway: FOREIGN_LEEWAY,
        };
        Foreign { keys, expected }
    }
}

/// A token as it is remembered, whole: another signature makes another token.
#[derive(Hash, PartialEq, Eq, Clone)]
struct Token {
    provider: String,
    head: String,
    signature: String,
}

/// The same, borrowed. Field by field in the same order, so that both have the same hash.
#[derive(Hash)]
struct TokenRef<'a> {
    provider: &'a str,
    head: &'a str,
    signature: &'a str,
}

impl Equivalent<Token> for TokenRef<'_> {
    fn equivalent(&self, token: &Token) -> bool {
        self.provider == token.provider
            && self.head == token.head
            && self.signature == token.signature
    }
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Token, Arc<User>> for ByBytes {
    /// The claims are the payload once more, as a tree, which takes a few times its text.
    fn weight(&self, token: &Token, _: &Arc<User>) -> u64 {
        let bytes = token.provider.len() + token.head.len() * 5 + token.signature.len() + 512;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

impl Verifier {
    pub fn new(
        keys: AppKeys,
        local: &Local,
        kinds: &[TokenKind],
        foreign: Option<Foreign>,
    ) -> Self {
        let local = Expected {
            issuer: local.issuer.clone(),
            audiences: vec![local.audience.clone()],
            says_its_use: true,
            leeway: Duration::ZERO,
        };
        let kinds = kinds
            .iter()
            .map(|kind| (*kind, keys.labelled(kind.key_label)))
            .collect();
        Verifier {
            keys,
            local,
            kinds,
            foreign,
            valid: Cache::with_weighter(4_096, REMEMBERED_BYTES, ByBytes),
        }
    }

    /// See [`super::Identity::verify`].
    pub async fn verify(
        &self,
        provider: &str,
        head: &str,
        signature: &str,
    ) -> Result<Arc<User>, TokenError> {
        self.verify_at(SystemTime::now(), provider, head, signature)
            .await
    }

    pub(super) async fn verify_at(
        &self,
        now: SystemTime,
        provider: &str,
        head: &str,
        signature: &str,
    ) -> Result<Arc<User>, TokenError> {
        let token = TokenRef {
            provider,
            head,
            signature,
        };
        if let Some(user) = self.valid.get(&token) {
            return if now < user.expires {
                Ok(user)
            } else {
                Err(TokenError::Expired)
            };
        }
        if head.len() > MAX_HALF_BYTES || signature.len() > MAX_HALF_BYTES {
            return Err(malformed());
        }
        let user = Arc::new(match (provider, &self.foreign) {
            (ACCOUNTS, _) => {
                let verify = |message: &[u8], signature: &[u8]| {
                    self.keys.verify(KeyUse::AccountToken, message, signature)
                };
                self.of_no_kind(self.own(verify, head, signature, now)?)?
            }
            (AUTH0, Some(foreign)) => {
                self.of_no_kind(foreign.verify(head, signature, now).await?)?
            }
            _ => self.of_kind(provider, head, signature, now)?,
        });
        let token = Token {
            provider: provider.into(),
            head: head.into(),
            signature: signature.into(),
        };
        self.valid.insert(token, Arc::clone(&user));
        Ok(user)
    }

    /// The claims of any token of the issuer elsewhere, its id tokens among them; only the signature is checked.
    pub async fn foreign_claims(
        &self,
        signed: &str,
        signature: &str,
    ) -> Result<Map<String, Value>, TokenError> {
        match &self.foreign {
            Some(foreign) => foreign.verify_signature(signed, signature).await,
            None => Err(TokenError::Invalid("jwt issuer invalid".into())),
        }
    }

    /// The holder of a token that the application issued.
    fn of_kind(
        &self,
        provider: &str,
        head: &str,
        signature: &str,
        now: SystemTime,
    ) -> Result<User, TokenError> {
        let mut kinds = self.kinds.iter();
        let Some((kind, key)) = kinds.find(|(kind, _)| kind.provider == provider) else {
            return Err(TokenError::Invalid("jwt issuer invalid".into()));
        };
        let verify = |message: &[u8], signature: &[u8]| key.verify(message, signature);
        let user = self.own(verify, head, signature, now)?;
        let subject = (kind.subject)(&user.claims)
            .filter(|subject| kind.owns(subject))
            .ok_or_else(wrong_subject)?;
        Ok(User::new(
            subject,
            user.permissions,
            user.claims,
            user.expires,
        ))
    }

    /// The holder of any other token, whose subject is none that the application gives, whatever the issuer calls it.
    fn of_no_kind(&self, user: User) -> Result<User, TokenError> {
        if owner(self.kinds.iter().map(|(kind, _)| kind), &user.subject).is_some() {
            Err(wrong_subject())
        } else {
            Ok(user)
        }
    }

    fn own(
        &self,
        verify: impl FnOnce(&[u8], &[u8]) -> bool,
        head: &str,
        signature: &str,
        now: SystemTime,
    ) -> Result<User, TokenError> {
        let parts = Parts::read(head)?;
        if parts.header.get("alg").and_then(Value::as_str) != Some("HS256") {
            return Err(wrong_algorithm());
        }
        let signature = URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_| wrong_signature())?;
        if !verify(head.as_bytes(), &signature) {
            return Err(wrong_signature());
        }
        self.local.check(parts.claims, now)
    }
}

impl Foreign {
    async fn verify(
        &self,
        head: &str,
        signature: &str,
        now: SystemTime,
    ) -> Result<User, TokenError> {
        let signed = as_signed(head);
        let claims = self.verify_signature(&signed, signature).await?;
        self.expected.check(claims, now)
    }

    async fn verify_signature(
        &self,
        signed: &str,
        signature: &str,
    ) -> Result<Map<String, Value>, TokenError> {
        let parts = Parts::read(signed)?;
        parts.verify(&self.keys, signed, signature).await?;
        Ok(parts.claims)
    }
}
