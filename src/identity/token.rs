//! Access tokens: the two halves, and what a browser can read of them.

/// What a browser keeps of a cookie, name and value together.
pub(super) const COOKIE_BYTES: usize = 4_096;
/// The cookie that the first half goes into.
pub(super) const COOKIE: &str = "session-token";

/// An access token in two halves. The first is for the browser, whose scripts read the payload with `atob`;
/// the second is kept in the session.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// `header.payload` in base64 without `-` and `_`, which `atob` does not know. Our own tokens have only
    /// letters and digits here; a foreign one may have `+` and `/`, so **percent-encode it in the cookie** (the
    /// client takes a bare `+` for a space). Fits into a cookie.
    pub head: String,
    /// The third part, as it was issued.
    pub signature: String,
}

impl std::fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccessToken(***)")
    }
}

/// What a customer's token says, beside `permissions`' role and times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerClaims {
    /// `Bp.uid`: the claim `sub`.
    pub uid: String,
    /// `Bp.extUid`: the claim `eid`.
    pub ext_uid: String,
    /// `User.extUid` of the seller that the customer buys from.
    pub seller: String,
    /// The seller's business.
    pub business: String,
    pub permissions: Vec<String>,
}

/// The token's first half does not fit into a cookie.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "header and payload of the access token take {bytes} bytes as a cookie, and browsers keep no more than \
     {COOKIE_BYTES} with its name: give the user fewer permissions, or the token fewer claims"
)]
pub struct TokenTooLarge {
    pub bytes: usize,
}

/// A token is not accepted. Shown as clients of the original know it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It was valid, and has ended.
    #[error("jwt expired")]
    Expired,
    /// It is not ours, was altered, or is for something else.
    #[error("{0}")]
    Invalid(String),
    /// The issuer's keys are not to be had just now: nothing is known of the token.
    #[error("the keys of the token's issuer are not available")]
    Unavailable,
}
