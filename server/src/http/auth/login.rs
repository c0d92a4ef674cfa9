//! `POST /auth/login`: by password, or as a customer by code and telephone number. Every attempt takes its
//! points from the limits before it is made; a right one gives them back. What is wrong with an attempt,
//! nobody is told.

use std::time::Duration;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gom_actors::limiter::{LoginAttempt, Reservation, Verdict};
use gom_actors::secret::SecretText;
use gom_actors::sessions::{NewSession, SessionId};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::bp::refusal;
use crate::http::State;
use crate::http::auth_services::AuthServices;
use crate::http::json_body::{self, Fields};
use crate::http::openapi::{self, Answer, Caller, Operation, SET_COOKIE, Tag};
use crate::http::rest_error::RestError;
use crate::http::session::{self, unanswered};
use crate::http::viewer::{check_page, check_site};
use crate::identity::{
    CustomerClaims, LoginError, MAX_NAME_CHARACTERS, MAX_PASSWORD_CHARACTERS, PHONE,
};
use crate::shop::customers::{self, LookUpError};

/// Characters of an id, which a customer's code is.
pub const CODE_CHARACTERS: usize = 25;
/// Digits of a telephone number.
const PHONE_DIGITS: usize = 10;

/// A wrong telephone number is answered no sooner. Looking up a customer who is there takes some
/// microseconds longer than one who is not, which many tries could tell apart.
const REFUSED_AFTER: Duration = Duration::from_millis(10);

/// What somebody claims to be.
enum Credentials {
    Password {
        username: String,
        password: SecretText,
    },
    Phone {
        code: String,
        phone: SecretText,
    },
}

/// What a right claim is worth.
struct Accepted {
    session: NewSession,
    /// The browser's half of the token.
    head: String,
    profile: Value,
}

pub fn operation() -> Operation {
    Operation::new(Tag::Sessions, "logIn", "Opens a session")
        .text(
            "A right login gets a session under a new id, with its cookies. A browser that is logged in already gets its \
             cookies again. Wrong attempts are counted, for user and address together and for the address.",
        )
        .by(&[Caller::CsrfOnly])
        .body("Who somebody claims to be.", openapi::reference("Login"))
        .answer(
            Answer::new(200, "Logged in. The profile, for the page to show.")
                .json(openapi::reference("Profile"))
                .header(SET_COOKIE),
        )
        .answer(Answer::new(204, "The browser was logged in already.").header(SET_COOKIE))
        .small_body_errors(json_body::LIMIT)
        .answer(
            Answer::error(
                403,
                &["EBADCSRFTOKEN", "invalid_grant"],
                "The CSRF token is missing or another session's, or the page is another site's (`EBADCSRFTOKEN`). User, \
                 password, code or telephone number are wrong: which, nobody is told (`invalid_grant`).",
            )
            .header(SET_COOKIE),
        )
        .answer(Answer::error(429, &["Too Many Requests"], "Too many wrong attempts."))
        .answer(Answer::error(500, &["Internal Server Error"], "A fault of the server or its settings."))
        .answer(Answer::error(
            503,
            &["Service Unavailable"],
            "Sessions, the database or whoever checks passwords do not answer.",
        ))
}

/// What a login is, and what it is worth.
pub fn schemas() -> Value {
    let text = json!({ "type": ["string", "null"] });
    json!({
        "Login": {
            "oneOf": [
                {
                    "title": "By password",
                    "type": "object",
                    "required": ["grantType", "username", "password"],
                    "properties": {
                        "grantType": { "const": "password" },
                        "username": openapi::text(MAX_NAME_CHARACTERS),
                        "password": openapi::text(MAX_PASSWORD_CHARACTERS),
                    },
                },
                {
                    "title": "As a customer",
                    "description": "Where the datamodel has customers who can log in.",
                    "type": "object",
                    "required": ["grantType", "username", "phone"],
                    "properties": {
                        "grantType": { "const": "phone" },
                        "username": openapi::text(CODE_CHARACTERS),
                        "phone": { "type": "string", "pattern": format!("^[0-9]{{{PHONE_DIGITS}}}$") },
                    },
                },
            ],
        },
        "Profile": {
            "type": "object",
            "required": ["nickname", "name", "sub"],
            "properties": {
                "nickname": text,
                "name": text,
                "picture": text,
                "email": text,
                "sub": { "type": "string", "description": "The user's name at whoever checked the login; a customer's id." },
                "seller": { "type": "string", "description": "Of a customer: the seller's `sub`." },
                "business": { "type": "string", "description": "Of a customer: the seller's business." },
            },
            "additionalProperties": false,
        },
    })
}

pub async fn handle(
    request: HttpRequest,
    state: Data<State>,
    body: Payload,
) -> Result<HttpResponse, RestError> {
    let edge = &state.edge;
    // Cookies that another site's page is answered with would take the place of ours, sent by it or not.
    check_site(&request, edge)?;
    let Some(id) = edge.cookies.id_of(&request) else {
        // The answer brings what the next attempt needs.
        edge.cookies.prepare(&request);
        return Err(RestError::csrf());
    };
    check_page(&request, edge, &id)?;
    let body = json_body::read(&request, body, state.limits.everyone.deadline).await?;
    let credentials = Credentials::read(body, edge.customers.is_some())?;
    // Without its half of a token no browser is logged in: most attempts need no look at the sessions. Where
    // that gives no answer, the attempt is made, and counted, all the same.
    if !edge.cookies.token_halves_of(&request).is_empty()
        && let Ok(logged_in) = session::join(&request, &state, &id).await
    {
        if let Some(head) = &logged_in.head {
            edge.cookies.give_token_half(&request, head);
        }
        edge.cookies.give_id(&request, &id);
        return Ok(HttpResponse::NoContent().finish());
    }

    let account = credentials.counted();
    let reservation = admit(&request, edge, &account).await?;
    let checked = match credentials {
        Credentials::Password { username, password } => {
            by_password(edge, &username, &password).await
        }
        Credentials::Phone { code, phone } => by_phone(&state, &code, &phone).await,
    };
    let accepted = match checked {
        Ok(accepted) => accepted,
        Err(error) => {
            // What nobody could check was no wrong attempt: an outage must not shut anybody out.
            if error.status_code().is_server_error() {
                edge.limiter.cancel(reservation).await;
            }
            return Err(error);
        }
    };
    edge.limiter.refund(reservation).await;
    match edge.limiter.count_right(&account).await {
        Verdict::Admitted(_) => {}
        refused => return Err(refusal(&refused)),
    }
    edge.cookies.give_device(&request, &account);
    open(&request, edge, id, accepted).await
}

/// Takes the attempt's points.
async fn admit(
    request: &HttpRequest,
    edge: &AuthServices,
    account: &str,
) -> Result<Reservation, RestError> {
    let address = edge.proxies.client_of(request);
    let device = edge.cookies.device_of(request, account);
    let attempt = LoginAttempt {
        user_and_address: Some(&format!("{account}_{address}")),
        account: Some(account),
        device: device.as_deref(),
        networks: &address.networks(),
    };
    match edge.limiter.admit(&attempt).await {
        Verdict::Admitted(reservation) => Ok(reservation),
        refused => Err(refusal(&refused)),
    }
}

/// Opens the session, under a new id: one that somebody planted in the browser is worth nothing.
async fn open(
    request: &HttpRequest,
    edge: &AuthServices,
    before: SessionId,
    accepted: Accepted,
) -> Result<HttpResponse, RestError> {
    let id = edge
        .sessions
        .open(accepted.session, Some(before))
        .await
        .map_err(unanswered)?;
    edge.cookies.give_id(request, &id);
    edge.cookies.give_token_half(request, &accepted.head);
    edge.cookies.give_csrf_token(request, &id);
    Ok(HttpResponse::Ok().json(accepted.profile))
}

async fn by_password(
    edge: &AuthServices,
    username: &str,
    password: &SecretText,
) -> Result<Accepted, RestError> {
    let login = edge
        .identity
        .password(username, password)
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
    Ok(Accepted {
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

async fn by_phone(state: &State, code: &str, phone: &SecretText) -> Result<Accepted, RestError> {
    let edge = &state.edge;
    let begun = Instant::now();
    let deadline = begun + state.limits.everyone.deadline;
    let customer = match &edge.customers {
        Some(customers) => {
            let found = customers
                .log_in(&state.api, code, phone.expose(), deadline)
                .await;
            found.map_err(|error| unknown(&error))?
        }
        None => None,
    };
    let Some(customer) = customer else {
        tokio::time::sleep_until(begun + REFUSED_AFTER).await;
        return Err(RestError::wrong_credentials());
    };
    let (profile, subject) = (customers::profile(&customer), customer.subject());
    let claims = CustomerClaims {
        uid: customer.uid,
        ext_uid: customer.code,
        seller: customer.seller,
        business: customer.business,
        permissions: edge.customer_permissions.clone(),
    };
    let token = edge.identity.customer_token(claims).map_err(|error| {
        tracing::error!(cause = %error, "a customer cannot log in");
        RestError::internal()
    })?;
    Ok(Accepted {
        session: NewSession {
            subject,
            provider: PHONE.to_owned(),
            signature: token.signature,
            refresh_token: None,
        },
        head: token.head,
        profile,
    })
}

/// The database said nothing of a customer.
pub fn unknown(error: &LookUpError) -> RestError {
    match error {
        LookUpError::Unavailable => RestError::unavailable(
            "The database is not available at the moment; try again",
            None,
        ),
        LookUpError::Fault(cause) => {
            tracing::error!(cause, "a customer cannot be looked up");
            RestError::internal()
        }
    }
}

impl Credentials {
    fn read(body: Map<String, Value>, of_customers: bool) -> Result<Self, RestError> {
        let grant = body
            .get("grantType")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let mut fields = Fields::of(body);
        let credentials = match grant.as_str() {
            "password" => Some(Credentials::Password {
                username: fields.text("username", MAX_NAME_CHARACTERS),
                password: SecretText::new(fields.text("password", MAX_PASSWORD_CHARACTERS)),
            }),
            "phone" if of_customers => Some(Credentials::Phone {
                code: fields.text("username", CODE_CHARACTERS),
                phone: SecretText::new(fields.digits("phone", PHONE_DIGITS)),
            }),
            _ => {
                let known = if of_customers {
                    "password, phone"
                } else {
                    "password"
                };
                fields.problem(format!(
                    "grantType must be one of the following values: {known}"
                ));
                None
            }
        };
        fields.check()?;
        credentials.ok_or_else(RestError::wrong_credentials)
    }

    /// Whom the attempts are counted against: a digest, so that the store holds no names, and so that however
    /// a name is typed it has one count.
    fn counted(&self) -> String {
        let (grant, name) = match self {
            Credentials::Password { username, .. } => ("password", username),
            Credentials::Phone { code, .. } => ("phone", code),
        };
        let message = format!("{grant} {}", name.trim().to_lowercase());
        URL_SAFE_NO_PAD.encode(digest(&SHA256, message.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: Value) -> Result<Credentials, String> {
        let Value::Object(body) = body else {
            panic!("a body is an object")
        };
        Credentials::read(body, true).map_err(|error| error.to_string())
    }

    #[test]
    fn all_that_is_wrong_with_a_body_is_said() {
        let grants = "grantType must be one of the following values: password, phone";
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
                json!({ "grantType": "phone", "username": "c".repeat(26), "phone": "123" }),
                "username must be shorter than or equal to 25 characters; phone must be 10 digits",
            ),
            (
                json!({ "grantType": "phone", "username": "c", "phone": "12345678901" }),
                "phone must be shorter than or equal to 10 characters",
            ),
            (
                json!({ "grantType": "phone", "username": "c", "phone": "12345678９0" }),
                "phone must be 10 digits",
            ),
        ] {
            assert_eq!(
                read(body.clone()).err().as_deref(),
                Some(expected),
                "{body}"
            );
        }
    }

    #[test]
    fn a_name_has_one_count_for_each_grant() {
        let password = |username: &str| {
            read(json!({ "grantType": "password", "username": username, "password": "x" }))
                .unwrap()
                .counted()
        };
        assert_eq!(password("Ana@example.com"), password(" ana@EXAMPLE.com "));
        assert_ne!(password("ana"), password("anna"));
        let phone = read(json!({ "grantType": "phone", "username": "ana", "phone": "0123456789" }))
            .unwrap();
        assert_ne!(password("ana"), phone.counted());
    }
}
