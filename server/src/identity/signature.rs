//! What issuers elsewhere have signed: the parts of a token, and whether one of its issuer's keys fits its signature.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::issuer_keys::{IssuerKeys, NoKey};
use super::token::TokenError;

/// Header and claims, of which nothing is verified.
pub(super) struct Parts {
    pub header: Map<String, Value>,
    pub claims: Map<String, Value>,
}

impl Parts {
    /// `head`: `header.payload`.
    pub fn read(head: &str) -> Result<Self, TokenError> {
        let (header, claims) = head.split_once('.').ok_or_else(malformed)?;
        let object = |part: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed())?;
            serde_json::from_slice(&bytes).map_err(|_| malformed())
        };
        Ok(Parts {
            header: object(header)?,
            claims: object(claims)?,
        })
    }

    /// Whether the issuer has signed them. Keys that the header brings or points to (`jwk`, `jku`, `x5c`, `x5u`) are not
    /// looked at.
    ///
    /// # Errors
    /// If not; or if the issuer's keys are unavailable.
    pub async fn verify(
        &self,
        keys: &Arc<IssuerKeys>,
        signed: &str,
        signature: &str,
    ) -> Result<(), TokenError> {
        let text = |name: &str| self.header.get(name).and_then(Value::as_str);
        let kind = text("typ").unwrap_or("JWT").to_ascii_lowercase();
        if !["jwt", "at+jwt", "application/at+jwt"].contains(&kind.as_str())
            || self.header.contains_key("crit")
        {
            return Err(malformed());
        }
        // Before a key is looked for, which may have to be fetched.
        let algorithm = text("alg")
            .and_then(|name| keys.algorithm(name))
            .ok_or_else(wrong_algorithm)?;
        let key = match keys.find(text("kid")).await {
            Ok(key) => key,
            Err(NoKey::Unknown) => return Err(invalid("jwt signed with an unknown key")),
            Err(NoKey::Unavailable) => return Err(TokenError::Unavailable),
        };
        // The key's algorithm, never the token's choice.
        if !key.fits(algorithm) {
            return Err(wrong_algorithm());
        }
        if key.verifies(algorithm, signed, signature) {
            Ok(())
        } else {
            Err(wrong_signature())
        }
    }
}

pub(super) fn invalid(reason: &str) -> TokenError {
    TokenError::Invalid(reason.to_owned())
}

pub(super) fn malformed() -> TokenError {
    invalid("jwt malformed")
}

pub(super) fn wrong_signature() -> TokenError {
    invalid("invalid signature")
}

pub(super) fn wrong_algorithm() -> TokenError {
    invalid("invalid algorithm")
}

pub(super) fn wrong_subject() -> TokenError {
    invalid("jwt subject invalid")
}
