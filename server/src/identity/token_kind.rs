//! Tokens that an application issues to users who log in its own way: who signs them, and who their holders are.

use serde_json::{Map, Value};

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
