//! The provider `oauth2`: an OAuth 2 token endpoint with the resource owner's password grant and the refresh
//! grant (RFC 6749, 4.3 and 6).

use std::sync::Arc;
use std::time::Duration;

use gom_actors::secret::SecretText;
use gom_actors::sessions::{RefreshFailure, Renewed};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use super::AUTH0;
use super::claims::is_for;
use super::login::{Login, LoginError};
use super::token::{AccessToken, TokenError};
use super::upstream_client::{UpstreamAnswer, UpstreamClient};
use super::verifier::Verifier;
use crate::settings::{OAuth2, Secret};

/// More than any answer with three tokens is long.
pub(super) const MAX_ANSWER_BYTES: usize = 128 * 1024;
/// Logins and refreshes in flight at once; the next is refused with `Retry-After`.
const MAX_IN_FLIGHT: usize = 64;
/// Of one of the two: a herd of either leaves places to the other.
const MAX_OF_A_KIND: usize = 48;
const RETRY: Duration = Duration::from_secs(5);

/// A client of a token endpoint.
pub(super) struct TokenEndpoint {
    outside: UpstreamClient,
    client_id: String,
    client_secret: Option<Secret>,
    issuer: String,
    audience: String,
    scope: String,
    room: Semaphore,
    room_for_logins: Semaphore,
    room_for_refreshes: Semaphore,
    verifier: Arc<Verifier>,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    refresh_token: Option<String>,
    id_token: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Refused {
    error: String,
    error_description: String,
}

/// Why nothing was granted.
enum NotGranted {
    /// By this user, password or refresh token.
    Wrong,
    /// Of this user, whatever the password or refresh token.
    Refused,
    Unavailable {
        retry: Duration,
    },
    /// By the client or its request.
    Misconfigured(String),
}

/// Of a login by password: that it was right is never said.
impl From<NotGranted> for LoginError {
    fn from(refusal: NotGranted) -> Self {
        match refusal {
            NotGranted::Wrong | NotGranted::Refused => LoginError::Wrong,
            NotGranted::Unavailable { retry } => LoginError::Unavailable { retry },
            NotGranted::Misconfigured(cause) => LoginError::Misconfigured(cause),
        }
    }
}

impl TokenEndpoint {
    /// `None` if the settings name no endpoint.
    pub fn new(
        settings: &OAuth2,
        outside: UpstreamClient,
        verifier: Arc<Verifier>,
    ) -> Option<Self> {
        Some(TokenEndpoint {
            outside,
            client_id: settings.client_id.clone()?,
            client_secret: settings.client_secret.clone(),
            issuer: settings.issuer.clone()?,
            audience: settings.audience.clone()?,
            scope: settings.scope.clone(),
            room: Semaphore::new(MAX_IN_FLIGHT),
            room_for_logins: Semaphore::new(MAX_OF_A_KIND),
            room_for_refreshes: Semaphore::new(MAX_OF_A_KIND),
            verifier,
        })
    }

    pub async fn password(
        &self,
        username: &str,
        password: &SecretText,
    ) -> Result<Login, LoginError> {
        let grant = [
            ("grant_type", "password"),
            ("username", username),
            ("password", password.expose()),
            ("audience", &self.audience),
            ("scope", &self.scope),
        ];
        let granted = self.ask(&grant, &self.room_for_logins).await?;
        let (token, subject) = self.accept(&granted.access_token).await?;
        let profile = self.profile(granted.id_token.as_deref(), &subject).await;
        let refresh_token = granted.refresh_token.map(SecretText::new);
        Ok(Login {
            provider: AUTH0,
            token,
            refresh_token,
            subject,
            profile,
        })
    }

    pub async fn refresh(&self, refresh_token: &str) -> Result<Renewed, RefreshFailure> {
        let grant = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
        ];
        let renewed = async {
            let granted = self.ask(&grant, &self.room_for_refreshes).await?;
            let (token, _) = self.accept(&granted.access_token).await?;
            let refresh_token = granted.refresh_token.map(SecretText::new);
            Ok(Renewed {
                head: token.head,
                signature: token.signature,
                refresh_token,
            })
        };
        renewed.await.map_err(|refusal| match refusal {
            NotGranted::Wrong => RefreshFailure::Rejected,
            // Nobody is logged out because something is wrong at our end, or because a rule of the issuer's does not hold at the
            // moment.
            NotGranted::Refused => RefreshFailure::Unavailable,
            NotGranted::Misconfigured(cause) => {
                tracing::error!(cause, "tokens cannot be refreshed");
                RefreshFailure::Unavailable
            }
            NotGranted::Unavailable { .. } => RefreshFailure::Unavailable,
        })
    }

    async fn ask(&self, grant: &[(&str, &str)], room: &Semaphore) -> Result<Granted, NotGranted> {
        let (Ok(_own), Ok(_room)) = (room.try_acquire(), self.room.try_acquire()) else {
            tracing::warn!(
                "too many logins or refreshes wait for the token endpoint (auth.oauth2.token_url)"
            );
            return Err(NotGranted::Unavailable { retry: RETRY });
        };
        let mut form = grant.to_vec();
        form.push(("client_id", &self.client_id));
        if let Some(secret) = &self.client_secret {
            form.push(("client_secret", secret.expose()));
        }
        let answer = self
            .outside
            .post_form(&form)
            .await
            .map_err(|reason| unavailable(&reason, RETRY))?;
        read(&answer)
    }

    /// A granted access token in two halves, and whose it is. It is verified here, and so known from then on.
    async fn accept(&self, token: &str) -> Result<(AccessToken, String), NotGranted> {
        let token = match AccessToken::from_foreign(token) {
            Some(Ok(token)) => token,
            Some(Err(too_large)) => return Err(NotGranted::Misconfigured(too_large.to_string())),
            None => {
                let cause = "the token endpoint gives access tokens that are no JSON Web Tokens: correct \
                             auth.oauth2.audience, or the API's settings at the issuer";
                return Err(NotGranted::Misconfigured(cause.into()));
            }
        };
        match self
            .verifier
            .verify(AUTH0, &token.head, &token.signature)
            .await
        {
            Ok(user) => Ok((token, user.subject.clone())),
            Err(TokenError::Unavailable) => Err(NotGranted::Unavailable { retry: RETRY }),
            Err(error) => Err(NotGranted::Misconfigured(format!(
                "the token endpoint gives access tokens that are not accepted ({error}): compare \
                 auth.oauth2.issuer, audience and jwks_endpoint with the issuer's, and let it put the list \
                 `permissions` into the token"
            ))),
        }
    }

    /// What the id token says of the user, if it can be believed.
    async fn profile(&self, id_token: Option<&str>, subject: &str) -> Map<String, Value> {
        let claims = match id_token.and_then(|token| token.rsplit_once('.')) {
            Some((signed, signature)) => self.verifier.foreign_claims(signed, signature).await.ok(),
            None => None,
        };
        let believed = claims.filter(|claims| {
            let text = |name: &str| claims.get(name).and_then(Value::as_str);
            text("iss") == Some(&self.issuer)
                && text("sub") == Some(subject)
                && is_for(&self.client_id, claims)
        });
        let mut profile = Map::new();
        for name in ["nickname", "name", "picture", "email"] {
            let value = believed
                .as_ref()
                .and_then(|claims| claims.get(name))
                .filter(|value| value.is_string());
            profile.insert(name.into(), value.cloned().unwrap_or(Value::Null));
        }
        profile.insert("sub".into(), subject.into());
        profile
    }
}

fn unavailable(reason: &str, retry: Duration) -> NotGranted {
    tracing::warn!(
        reason,
        "the token endpoint (auth.oauth2.token_url) gives no usable answer"
    );
    NotGranted::Unavailable { retry }
}

fn read(answer: &UpstreamAnswer) -> Result<Granted, NotGranted> {
    let status = answer.status;
    if status == reqwest::StatusCode::OK {
        return serde_json::from_slice(&answer.body)
            .map_err(|_| unavailable("the answer is no token response", RETRY));
    }
    if !status.is_client_error() {
        return Err(unavailable(&format!("it answers {status}"), RETRY));
    }
    let refused: Refused = serde_json::from_slice(&answer.body).unwrap_or_default();
    // Too many attempts of one person, not too many requests of ours.
    if status == reqwest::StatusCode::TOO_MANY_REQUESTS && refused.error != "too_many_attempts" {
        return Err(unavailable("it answers 429", retry_after(&answer.headers)));
    }
    match refused.error.as_str() {
        "" => Err(unavailable(
            &format!("it answers {status} without an OAuth 2 error"),
            RETRY,
        )),
        // Beside what RFC 6749 calls a wrong password, persons of whom the issuer wants more, which this grant cannot give.
        "invalid_grant" | "too_many_attempts" | "mfa_required" | "password_leaked" => {
            tracing::info!(
                error = refused.error,
                "the token endpoint refuses one person"
            );
            Err(NotGranted::Wrong)
        }
        // Auth0 says so of a wrong client secret as well, with this status.
        "access_denied" if status == reqwest::StatusCode::UNAUTHORIZED => {
            Err(misconfigured(&refused))
        }
        // Persons whom the issuer has blocked, or its rules refuse. That the password was right is not revealed.
        "access_denied" | "unauthorized" | "requires_verification" | "invalid_user_password" => {
            tracing::info!(
                error = refused.error,
                "the token endpoint refuses one person"
            );
            Err(NotGranted::Refused)
        }
        "temporarily_unavailable" | "server_error" | "slow_down" => Err(unavailable(
            &format!("it answers {}", refused.error),
            retry_after(&answer.headers),
        )),
        _ => Err(misconfigured(&refused)),
    }
}

fn misconfigured(
    Refused {
        error,
        error_description,
    }: &Refused,
) -> NotGranted {
    let description: String = error_description.chars().take(200).collect();
    NotGranted::Misconfigured(format!(
        "the token endpoint refuses the client: {error:?} ({description:?}); compare auth.oauth2 with the application's \
         settings at the issuer"
    ))
}

/// Whole seconds; a date, or anything invalid, counts as not given.
fn retry_after(headers: &HeaderMap) -> Duration {
    let seconds = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok());
    seconds.map_or(RETRY, |seconds: u64| {
        Duration::from_secs(seconds.clamp(1, 3_600))
    })
}
