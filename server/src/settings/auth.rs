//! Who checks passwords, what tokens say, and the secret of service tokens.

use std::time::Duration;

use serde::Deserialize;

use super::key::{
    FLAG, ISSUERS, SECONDS, SECRET, TEXT, URL, choice, integer, milliseconds, section,
};
use super::{Issuer, Secret};

section! {
    /// Service tokens.
    pub struct Service at "service." {
        /// Signs and checks service tokens (HS256). Needed with `database.url`; the private database's is made at
        /// first start and kept beside it. A weak one (known, fewer than 8 different characters, or shorter than
        /// 32) is refused outside development, and in development where the keys of cookies are derived from it.
        pub secret: Option<Secret> = SECRET
            .variables(&["PRISMA_SECRET"])
            .alias("prisma.secret"),
        /// Accept only service tokens that have `exp` and `data.roles` with `admin`, as `gom token` makes them.
        /// Prisma's client libraries sign neither, and need `false`: their tokens are good until the secret is
        /// changed.
        pub require_claims: bool = FLAG.default("false"),
    }
}

section! {
    /// Who checks passwords, and what tokens say.
    pub struct Auth at "auth." {
        /// Who checks passwords: our own table (`gom account`), or an OAuth 2 token endpoint. Unset: `oauth2` if
        /// `auth.oauth2.client_id` is set, else `accounts`.
        provider: Option<Provider> = choice(&["accounts", "oauth2"]).former_words(&[("auth0", "oauth2")]),
        /// Issuers elsewhere whose access tokens are accepted as bearer tokens: see
        /// [Accept tokens of an identity provider](SESSIONS.md#accept-tokens-of-an-identity-provider).
        pub issuers: Vec<Issuer> = ISSUERS,
    } with {
        /// The token endpoint.
        pub oauth2: OAuth2,
        /// Tokens that the server issues.
        pub local: Local,
        /// Passwords that the server checks.
        pub accounts: Accounts,
    }
}

section! {
    /// The OAuth 2 token endpoint; with this provider, all but the secret are set.
    pub struct OAuth2 at "auth.oauth2." {
        /// The token endpoint, for the resource owner's password grant and the refresh grant.
        pub token_url: Option<String> = URL
            .formerly(&["auth.auth0.token_url"]),
        /// The claim `iss` of its tokens, to the letter.
        pub issuer: Option<String> = TEXT
            .formerly(&["auth.auth0.issuer"]),
        /// Client of the password grant.
        pub client_id: Option<String> = TEXT.variables(&["AUTH0_CLIENT_ID"])
            .formerly(&["auth.auth0.client_id"]),
        /// The client's secret, if it has one.
        pub client_secret: Option<Secret> = SECRET.variables(&["AUTH0_CLIENT_SECRET"])
            .formerly(&["auth.auth0.client_secret"]),
        /// Requested, and needed in the claim `aud` of its access tokens.
        pub audience: Option<String> = TEXT
            .formerly(&["auth.auth0.audience"]),
        /// Scopes that are requested; `offline_access` gives a refresh token.
        pub scope: String = TEXT.default("openid profile email offline_access")
            .formerly(&["auth.auth0.scope"]),
        /// Where the issuer's public keys (RS256, ES256) are.
        pub jwks_endpoint: Option<String> = URL
            .formerly(&["auth.auth0.jwks_endpoint"]),
        /// An answer of the token endpoint or of the keys' that takes longer has failed.
        pub timeout: Duration = milliseconds(1, 60_000).default("5000")
            .formerly(&["auth.auth0.timeout"]),
    }
}

section! {
    /// Tokens that the server itself issues.
    pub struct Local at "auth.local." {
        /// The claim `iss` of the tokens that the server itself issues.
        pub issuer: String = TEXT.default("https://auth.gom.com"),
        /// Their claim `aud`.
        pub audience: String = TEXT.default("https://gql.gom.com"),
        /// How long a token of a kind that the application issues is valid. It cannot be refreshed.
        pub expiration: Duration = SECONDS.default("1800"),
    }
}

section! {
    /// Passwords that the server itself checks.
    pub struct Accounts at "auth.accounts." {
        /// How long the token of an account is valid before it is refreshed, which a disabled account is refused.
        pub expiration: Duration = SECONDS.default("1800"),
        /// Memory in KiB that hashing a password takes (argon2id). Accounts are rehashed at their next login.
        pub hash_memory: u32 = integer(8, 1_048_576).default("19456"),
        /// Passes over that memory.
        pub hash_passes: u32 = integer(1, 100).default("2"),
    }
}

impl Auth {
    /// Who checks passwords.
    pub fn provider(&self) -> Provider {
        let by_default = if self.oauth2.client_id.is_some() {
            Provider::OAuth2
        } else {
            Provider::Accounts
        };
        self.provider.unwrap_or(by_default)
    }
}

/// Who checks passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Our own table.
    Accounts,
    /// An OAuth 2 token endpoint.
    OAuth2,
}
