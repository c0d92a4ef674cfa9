//! How a session's access token is renewed: by its issuer. Knows no issuer.

use futures::future::BoxFuture;

use crate::secret::SecretText;

/// Gets a new access token for a refresh token.
pub trait Refresher: Send {
    /// May take long: the request waits no longer than [`super::SessionOptions::refresh_patience`].
    fn refresh(
        self: Box<Self>,
        refresh_token: String,
    ) -> BoxFuture<'static, Result<Renewed, RefreshFailure>>;
}

/// Where the new token's half goes that the browser keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum RefreshFor {
    /// The answer to its request brings it.
    Browser,
    /// A connection that lasts, over which no cookie can be set: the browser's half stays good until the browser comes with it.
    Connection,
}

/// A new access token.
#[derive(Debug, Clone)]
pub struct Renewed {
    /// `header.payload`.
    pub head: String,
    /// The third part of the token.
    pub signature: String,
    /// The refresh token for the next time; nothing if the old one stays.
    pub refresh_token: Option<SecretText>,
}

/// Why there is no new access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefreshFailure {
    /// The issuer does not accept the refresh token (any more): the session is closed.
    Rejected,
    /// The issuer was not reached, or failed: the session stays, and the next request may retry.
    Unavailable,
}
