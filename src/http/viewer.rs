//! Who asks, from the request's headers.

use actix_web::HttpRequest;
use actix_web::http::header;
use gom_engine::error::{ApiError, ErrorKind};

use crate::identity::{ServiceTokens, Viewer};

/// Prisma's error for a token that it does not accept.
const INVALID_TOKEN: u16 = 3015;

/// The viewer that the request's `Authorization: Bearer` names.
///
/// # Errors
/// Prisma's error 3015, if there is no token or a wrong one.
pub fn viewer(request: &HttpRequest, tokens: &ServiceTokens) -> Result<Viewer, ApiError> {
    request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(bearer)
        .filter(|token| tokens.check(token).is_ok())
        .map(|_| Viewer::Service)
        .ok_or_else(|| ApiError {
            kind: ErrorKind::Unauthenticated,
            ..ApiError::numbered(
                INVALID_TOKEN,
                "Your token is invalid. It might have expired or you might be using a token from a different project.",
            )
        })
}

/// The token of `Bearer TOKEN`; the scheme's letters may be of either case.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bearer_scheme_carries_tokens() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("Bearer"), None);
    }
}
