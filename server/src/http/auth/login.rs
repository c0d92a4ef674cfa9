//! `POST /auth/login`: by password, or by a provider of the application. Every attempt takes its points from the limits
//! before it is made; a right one gives them back. The answer does not say what is wrong with an attempt.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gom_actors::limiter::{LoginAttempt, Reservation, Verdict};
use gom_actors::secret::SecretText;
use gom_actors::sessions::{NewSession, SessionId};
use serde_json::{Map, Value, json};

use crate::http::State;
use crate::http::additions::{AcceptedLogin, Additions, Credentials, LoginProvider};
use crate::http::auth_services::AuthServices;
use crate::http::json_body::{self, Fields};
use crate::http::openapi::{self, Caller, OperationObject, ResponseObject, SET_COOKIE, Tag};
use crate::http::rest_error::RestError;
use crate::http::session::{self, unanswered};
use crate::http::viewer::{check_page, check_site};
use crate::identity::{LoginError, MAX_NAME_CHARACTERS, MAX_PASSWORD_CHARACTERS};

/// `grantType` of a login by password.
const PASSWORD: &str = "password";

/// What a client claims to be, and who checks it.
struct Claim<'a> {
    /// Nothing: a password.
    provider: Option<&'a dyn LoginProvider>,
    credentials: Credentials,
}

pub fn operation() -> OperationObject {
    OperationObject::new(Tag::Sessions, "logIn", "Opens a session")
        .text(
            "A right login gets a session under a new id, with its cookies. A browser that is logged in already gets its \
             cookies again. Wrong attempts are counted, for user and address together and for the address.",
        )
        .by(&[Caller::CsrfOnly])
        .body("Who somebody claims to be.", openapi::reference("Login"))
        .answer(
            ResponseObject::new(200, "Logged in. The profile, for the page to show.")
                .json(openapi::reference("Profile"))
                .header(SET_COOKIE),
        )
        .answer(ResponseObject::new(204, "The browser was logged in already.").header(SET_COOKIE))
        .small_body_errors(json_body::LIMIT)
        .answer(
            ResponseObject::error(
                403,
                &["EBADCSRFTOKEN", "invalid_grant"],
                "The CSRF token is missing or another session's, or the page is another site's (`EBADCSRFTOKEN`). User, \
                 password, code or telephone number are wrong: which of them is not revealed (`invalid_grant`).",
            )
            .header(SET_COOKIE),
        )
        .answer(ResponseObject::error(429, &["Too Many Requests"], "Too many wrong attempts."))
        .answer(ResponseObject::error(500, &["Internal Server Error"], "A fault of the server or its settings."))
        .answer(ResponseObject::error(
            503,
            &["Service Unavailable"],
            "Sessions, the database or the authenticator do not answer.",
        ))
}

/// What a login is, and what it is worth.
pub fn schemas(additions: &Additions) -> Value {
    let text = json!({ "type": ["string", "null"] });
    let by_password = json!({
        "title": "By password",
        "type": "object",
        "required": ["grantType", "username", "password"],
        "properties": {
            "grantType": { "const": PASSWORD },
            "username": openapi::text(MAX_NAME_CHARACTERS),
            "password": openapi::text(MAX_PASSWORD_CHARACTERS),
        },
    });
    let logins = additions.logins.iter().map(|login| login.schema());
    let mut profile = json!({
        "nickname": text,
        "name": text,
        "picture": text,
        "email": text,
        "sub": { "type": "string", "description": "The user's name at the login's provider." },
    });
    for login in &additions.logins {
        for (name, schema) in login.profile_schema() {
            profile[name] = schema;
        }
    }
    json!({
        "Login": { "oneOf": std::iter::once(by_password).chain(logins).collect::<Vec<_>>() },
        "Profile": {
            "type": "object",
            "required": ["nickname", "name", "sub"],
            "properties": profile,
            "additionalProperties": false,
        },
    })
}

pub async fn handle(
    request: HttpRequest,
    state: Data<State>,
    body: Payload,
) -> Result<HttpResponse, RestError> {
    let auth = &state.auth;
    // Cookies that another site's page is answered with would take the place of ours, sent by it or not.
    check_site(&request, auth)?;
    let Some(id) = auth.cookies.id_of(&request) else {
        // The answer brings what the next attempt needs.
        auth.cookies.prepare(&request);
        return Err(RestError::csrf());
    };
    check_page(&request, auth, &id)?;
    let body = json_body::read(&request, body, state.limits.everyone.deadline).await?;
    let claim = Claim::read(body, &state.additions)?;
    // Without its half of a token no browser is logged in: most attempts need no look at the sessions. Where
    // that gives no answer, the attempt is made, and counted, all the same.
    if !auth.cookies.token_halves_of(&request).is_empty()
        && let Ok(logged_in) = session::join(&request, &state, &id).await
    {
        if let Some(head) = &logged_in.head {
            auth.cookies.give_token_half(&request, head);
        }
        auth.cookies.give_id(&request, &id);
        return Ok(HttpResponse::NoContent().finish());
    }

    let account = claim.counted();
    let reservation = admit(&request, auth, &account).await?;
    let checked = match claim.provider {
        None => by_password(auth, &claim.credentials).await,
        Some(provider) => provider.check(&state, &claim.credentials).await,
    };
    let accepted = match checked {
        Ok(accepted) => accepted,
        Err(error) => {
            // What nobody could check was no wrong attempt: an outage must not shut anybody out.
            if error.status_code().is_server_error() {
                auth.limiter.cancel(reservation).await;
            }
            return Err(error);
        }
    };
    auth.limiter.refund(reservation).await;
    match auth.limiter.count_right(&account).await {
        Verdict::Admitted(_) => {}
        refused => return Err(RestError::not_admitted(&refused)),
    }
    auth.cookies.give_device(&request, &account);
    open(&request, auth, id, accepted).await
}

/// Takes the attempt's points.
async fn admit(
    request: &HttpRequest,
    auth: &AuthServices,
    account: &str,
) -> Result<Reservation, RestError> {
    let address = auth.proxies.client_of(request);
    let device = auth.cookies.device_of(request, account);
    let attempt = LoginAttempt {
        user_and_address: Some(&format!("{account}_{address}")),
        account: Some(account),
        device: device.as_deref(),
        networks: &address.networks(),
    };
    match auth.limiter.admit(&attempt).await {
        Verdict::Admitted(reservation) => Ok(reservation),
        refused => Err(RestError::not_admitted(&refused)),
    }
}

/// Opens the session, under a new id: one that somebody planted in the browser is worth nothing.
async fn open(
    request: &HttpRequest,
    auth: &AuthServices,
    before: SessionId,
    accepted: AcceptedLogin,
) -> Result<HttpResponse, RestError> {
    let id = auth
        .sessions
        .open(accepted.session, Some(before))
        .await
        .map_err(unanswered)?;
    auth.cookies.give_id(request, &id);
    auth.cookies.give_token_half(request, &accepted.head);
    auth.cookies.give_csrf_token(request, &id);
    Ok(HttpResponse::Ok().json(accepted.profile))
}

async fn by_password(
    auth: &AuthServices,
    credentials: &Credentials,
) -> Result<AcceptedLogin, RestError> {
    let login = auth
        .identity
        .password(&credentials.name, &credentials.secret)
        .await
        .map_err(|error| match error {
            LoginError::Wrong => RestError::wrong_credentials(),
            LoginError::Unavailable { retry } => RestError::unavailable(
                "Logins are not available at the moment; try again",
                Some(retry),
            ),
            LoginError::Misconfigured(cause) => {
                tracing::error!(cause, "nobody can log in by password");
                RestError::internal()
            }
        })?;
    Ok(AcceptedLogin {
        session: NewSession {
            subject: login.subject,
            provider: login.provider.to_owned(),
            signature: login.token.signature,
            refresh_token: login.refresh_token,
        },
        head: login.token.head,
        profile: Value::Object(login.profile),
    })
}

impl<'a> Claim<'a> {
    fn read(body: Map<String, Value>, additions: &'a Additions) -> Result<Self, RestError> {
        let grant = body
            .get("grantType")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let mut fields = Fields::of(body);
        let claim = match (grant.as_str(), additions.login(&grant)) {
            (PASSWORD, _) => Some(Claim {
                provider: None,
                credentials: Credentials {
                    name: fields.text("username", MAX_NAME_CHARACTERS),
                    secret: SecretText::new(fields.text("password", MAX_PASSWORD_CHARACTERS)),
                },
            }),
            (_, Some(provider)) => Some(Claim {
                provider: Some(provider),
                credentials: provider.credentials(&mut fields),
            }),
            _ => {
                let grants: Vec<&str> = std::iter::once(PASSWORD)
                    .chain(additions.available_logins().map(LoginProvider::grant))
                    .collect();
                fields.problem(format!(
                    "grantType must be one of the following values: {}",
                    grants.join(", ")
                ));
                None
            }
        };
        fields.check()?;
        claim.ok_or_else(RestError::wrong_credentials)
    }

    /// The name that attempts are counted for: a digest, so that the store holds no names, and the same however the name is
    /// typed.
    fn counted(&self) -> String {
        let grant = self.provider.map_or(PASSWORD, LoginProvider::grant);
        let message = format!("{grant} {}", self.credentials.name.trim().to_lowercase());
        URL_SAFE_NO_PAD.encode(digest(&SHA256, message.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::future::LocalBoxFuture;
    use serde_json::json;

    use super::*;

    /// An application's way to log in, which takes a code.
    struct ByCode;

    impl LoginProvider for ByCode {
        fn grant(&self) -> &'static str {
            "code"
        }

        fn schema(&self) -> Value {
            json!({})
        }

        fn credentials(&self, fields: &mut Fields) -> Credentials {
            Credentials {
                name: fields.text("username", 25),
                secret: SecretText::new(fields.digits("code", 10)),
            }
        }

        fn check<'a>(
            &'a self,
            _: &'a State,
            _: &'a Credentials,
        ) -> LocalBoxFuture<'a, Result<AcceptedLogin, RestError>> {
            async { Err(RestError::wrong_credentials()) }.boxed_local()
        }
    }

    /// The digest of the name that an attempt is counted for.
    fn read(additions: &Additions, body: Value) -> Result<String, String> {
        let Value::Object(body) = body else {
            panic!("a body is an object")
        };
        Claim::read(body, additions)
            .map(|claim| claim.counted())
            .map_err(|error| error.to_string())
    }

    fn with_code() -> Additions {
        Additions {
            logins: vec![Box::new(ByCode)],
            ..Additions::default()
        }
    }

    #[test]
    fn all_that_is_wrong_with_a_body_is_reported() {
        let grants = "grantType must be one of the following values: password, code";
        for (body, expected) in [
            (json!({}), grants),
            (json!({ "grantType": "token" }), grants),
            (json!({ "grantType": 1 }), grants),
            (
                json!({ "grantType": "password" }),
                "username should not be empty; password should not be empty",
            ),
            (
                json!({ "grantType": "password", "username": 1, "password": "" }),
                "username must be a string; password should not be empty",
            ),
            (
                json!({ "grantType": "password", "username": "u".repeat(257), "password": "p".repeat(257) }),
                "username must be shorter than or equal to 256 characters; password must be shorter than or equal to 256 characters",
            ),
            (
                json!({ "grantType": "password", "username": "a\u{0}b", "password": null }),
                "username must not contain a zero byte; password must be a string",
            ),
            (
                json!({ "grantType": "code", "username": "c".repeat(26), "code": "123" }),
                "username must be shorter than or equal to 25 characters; code must be 10 digits",
            ),
        ] {
            assert_eq!(
                read(&with_code(), body.clone()).err().as_deref(),
                Some(expected),
                "{body}"
            );
        }
    }

    #[test]
    fn without_an_application_passwords_are_the_only_grant() {
        let body = json!({ "grantType": "code", "username": "c", "code": "0123456789" });
        assert_eq!(
            read(&Additions::default(), body),
            Err("grantType must be one of the following values: password".to_owned())
        );
    }

    #[test]
    fn a_name_has_one_count_for_each_grant() {
        let additions = with_code();
        let password = |username: &str| {
            read(
                &additions,
                json!({ "grantType": "password", "username": username, "password": "x" }),
            )
        };
        assert_eq!(password("Ana@example.com"), password(" ana@EXAMPLE.com "));
        assert_ne!(password("ana"), password("anna"));
        let code = read(
            &additions,
            json!({ "grantType": "code", "username": "ana", "code": "0123456789" }),
        );
        assert!(code.is_ok());
        assert_ne!(password("ana"), code);
    }
}
