//! Tokens that an application issues to users who log in its own way: who signs them, and who their holders are.

use serde_json::{Map, Value};

use super::app_keys::KeyUse;
use super::{ACCOUNTS, AUTH0};

/// A kind of tokens, with the users who hold them.
#[derive(Debug, Clone, Copy)]
pub struct TokenKind {
    /// `provider` of the sessions that are opened with such tokens. Those of the server itself cannot be taken.
    pub provider: &'static str,
    /// The label of the key that signs them: no other key has it, and it never changes, or issued tokens are refused.
    pub key_label: &'static str,
    /// What the subjects of holders begin with. No other user has such a subject: the ids of an application's rows and the
    /// subjects of an identity provider are given independently, and may be equal.
    pub subject_prefix: &'static str,
    /// What such a subject looks like, in help texts: `member:ID`.
    pub subject_form: &'static str,
    /// Whose subjects these are, in messages: `a member's`.
    pub holder: &'static str,
    /// The claims that they have beside those of an account's token.
    pub claims: &'static [&'static str],
    /// The subject of a token's holder, by its claims: the name under which sessions, devices, jobs and notifications are
    /// kept. Nothing, if the claims are not such a token's.
    pub subject: fn(&Map<String, Value>) -> Option<String>,
}

impl TokenKind {
    /// Whether only a holder of such a token has this subject.
    pub fn owns(&self, subject: &str) -> bool {
        subject.starts_with(self.subject_prefix)
    }
}

/// What the subjects of bearer tokens begin with, except of those whose issuer's users log in as well
/// ([ADR 53](../../../docs/adr/0053-bearer-tokens-of-issuers.md)).
pub(super) const ISSUER_SUBJECTS: &str = "issuer:";

/// Whose a subject is, if no account and no session of another issuer may have it: in messages, as [`TokenKind::holder`].
pub fn owner<'a>(
    kinds: impl IntoIterator<Item = &'a TokenKind>,
    subject: &str,
) -> Option<&'static str> {
    let kind = kinds.into_iter().find(|kind| kind.owns(subject));
    kind.map(|kind| kind.holder).or_else(|| {
        subject
            .starts_with(ISSUER_SUBJECTS)
            .then_some("of a bearer token's issuer (auth.issuers)")
    })
}

/// Tokens of a kind could be taken for others, or their holders for other users.
#[derive(Debug, thiserror::Error)]
#[error(
    "the application's tokens of the provider '{provider}' cannot be issued: {reason}; correct its `TokenKind`"
)]
pub struct TokenKindError {
    provider: &'static str,
    reason: String,
}

/// Whether each kind has a provider, a key and subjects of its own.
///
/// # Errors
/// If one has not: the first.
pub fn check_kinds(kinds: &[TokenKind]) -> Result<(), TokenKindError> {
    for (place, kind) in kinds.iter().enumerate() {
        if let Some(reason) = clash(kind, &kinds[..place]) {
            return Err(TokenKindError {
                provider: kind.provider,
                reason,
            });
        }
    }
    Ok(())
}

fn clash(kind: &TokenKind, others: &[TokenKind]) -> Option<String> {
    let TokenKind {
        provider,
        key_label,
        subject_prefix,
        ..
    } = kind;
    let mut providers = others.iter().map(|other| other.provider);
    if [ACCOUNTS, AUTH0].contains(provider) || providers.any(|other| other == *provider) {
        return Some("another kind of tokens has that provider".to_owned());
    }
    let mut labels = others.iter().map(|other| other.key_label);
    if KeyUse::has_label(key_label) || labels.any(|other| other == *key_label) {
        return Some(format!("another key has the label '{key_label}'"));
    }
    if subject_prefix.is_empty() {
        return Some("`subject_prefix` is empty, so every user would hold one".to_owned());
    }
    let mut prefixes = others
        .iter()
        .map(|other| other.subject_prefix)
        .chain([ISSUER_SUBJECTS]);
    let prefix = prefixes.find(|other| subject_prefix.starts_with(other) || kind.owns(other))?;
    Some(format!(
        "subjects that begin with '{prefix}' and '{subject_prefix}' cannot be distinguished"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBER: TokenKind = TokenKind {
        provider: "card",
        key_label: "club member v1",
        subject_prefix: "member:",
        subject_form: "member:ID",
        holder: "a member's",
        claims: &[],
        subject: |_| None,
    };
    const GUEST: TokenKind = TokenKind {
        provider: "ticket",
        key_label: "club guest v1",
        subject_prefix: "guest:",
        ..MEMBER
    };

    #[test]
    fn kinds_that_share_a_provider_a_key_or_subjects_are_refused() {
        assert!(check_kinds(&[MEMBER, GUEST]).is_ok());
        for (second, expected) in [
            (
                TokenKind {
                    provider: ACCOUNTS,
                    ..GUEST
                },
                "another kind of tokens has that provider",
            ),
            (
                TokenKind {
                    provider: "card",
                    ..GUEST
                },
                "another kind of tokens has that provider",
            ),
            (
                TokenKind {
                    key_label: "gom csrf token v1",
                    ..GUEST
                },
                "another key has the label 'gom csrf token v1'",
            ),
            (
                TokenKind {
                    key_label: MEMBER.key_label,
                    ..GUEST
                },
                "another key has the label 'club member v1'",
            ),
            (
                TokenKind {
                    subject_prefix: "",
                    ..GUEST
                },
                "`subject_prefix` is empty",
            ),
            (
                TokenKind {
                    subject_prefix: "member:guest:",
                    ..GUEST
                },
                "'member:' and 'member:guest:' cannot be distinguished",
            ),
            (
                TokenKind {
                    subject_prefix: "issuer:mine:",
                    ..GUEST
                },
                "'issuer:' and 'issuer:mine:' cannot be distinguished",
            ),
        ] {
            let error = check_kinds(&[MEMBER, second]).unwrap_err().to_string();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }
}
