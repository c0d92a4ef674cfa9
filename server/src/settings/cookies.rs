//! The settings of the cookies.

use std::time::Duration;

use serde::Deserialize;

use super::key::{FLAG, Key, LIFETIME, choice, section};

const SAME_SITE: Key = choice(&["strict", "lax", "none"]);

section! {
    /// The cookie of sessions.
    pub struct Session at "session." {
    } with {
        /// How browsers keep it.
        pub options: SessionCookie,
    }
}

section! {
    /// The cookie `session-id`.
    pub struct SessionCookie at "session.options." {
        /// A session that is not used for this long ends; also the lifetime of its cookie `session-id`.
        pub max_age: Duration = LIFETIME.default("2592000000"),
        /// Hide `session-id` from scripts.
        pub http_only: bool = FLAG.default("true"),
        /// `SameSite` of `session-id`.
        pub same_site: SameSite = SAME_SITE.default("lax"),
        /// `session-id` only over https. Off in development.
        pub secure: bool = FLAG.default("true"),
    }
}

section! {
    /// The cookie of access tokens.
    pub struct AccessToken at "access_token." {
    } with {
        /// How browsers keep it.
        pub options: AccessTokenCookie,
    }
}

section! {
    /// The cookie `session-token`.
    pub struct AccessTokenCookie at "access_token.options." {
        /// Lifetime of the cookie `session-token`. Without it the client counts as logged out.
        pub max_age: Duration = LIFETIME.default("2592000000"),
        /// `SameSite` of `session-token`.
        pub same_site: SameSite = SAME_SITE.default("lax"),
        /// `session-token` only over https. Off in development.
        pub secure: bool = FLAG.default("true"),
    }
}

section! {
    /// The cookie against forged requests.
    pub struct Csrf at "csrf." {
    } with {
        /// How browsers keep it.
        pub options: CsrfCookie,
    }
}

section! {
    /// The cookie `csrf-token`.
    pub struct CsrfCookie at "csrf.options." {
        /// Lifetime of the cookie `csrf-token`. Unset: until the browser is closed.
        max_age: Option<Duration> = LIFETIME,
        /// `SameSite` of `csrf-token`.
        pub same_site: SameSite = SAME_SITE.default("lax"),
        /// `csrf-token` only over https. Off in development.
        pub secure: bool = FLAG.default("true"),
    }
}

impl CsrfCookie {
    /// `None`: until the browser is closed.
    pub fn max_age(&self) -> Option<Duration> {
        self.max_age
    }
}

/// The attribute `SameSite` of a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SameSite {
    /// Sent with requests from pages of the same site only.
    Strict,
    /// Also when somebody follows a link from another site.
    Lax,
    /// With requests from all sites; browsers demand `Secure` with it.
    None,
}
