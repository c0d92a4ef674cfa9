//! `POST /auth/login` of a customer: by the code that a seller gave, and the telephone number as that seller has it.

use std::time::Duration;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use gom_actors::secret::SecretText;
use gom_actors::sessions::NewSession;
use gom_engine::policy::Policy;
use gom_server::graphql::Engine;
use gom_server::http::openapi;
use gom_server::http::{AcceptedLogin, Credentials, Fields, LoginProvider, RestError, State};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::customers::{self, Customers, LookUpError};
use crate::subject::{CUSTOMER_TOKEN, CustomerClaims, PHONE};

/// Characters of an id, which a customer's code is.
pub const CODE_CHARACTERS: usize = 25;
/// Digits of a telephone number.
const PHONE_DIGITS: usize = 10;

/// A wrong telephone number is answered no sooner. Looking up a customer who is there takes some
/// microseconds longer than one who is not, which many tries could tell apart.
const REFUSED_AFTER: Duration = Duration::from_millis(10);

/// The role of those who log in as customers.
const CUSTOMER: &str = "customer";

/// Logs customers in.
pub struct PhoneLogin {
    /// Nothing, if the datamodel has none who could log in.
    customers: Option<Customers>,
    /// What a customer's token allows.
    permissions: Vec<String>,
}

impl PhoneLogin {
    pub fn new(engine: &Engine) -> Self {
        let roles = engine.policy().map(Policy::roles).unwrap_or_default();
        PhoneLogin {
            customers: Customers::of(engine),
            permissions: roles
                .iter()
                .find(|role| role.name == CUSTOMER)
                .map(|role| role.permissions.clone())
                .unwrap_or_default(),
        }
    }

    async fn log_in(
        &self,
        state: &State,
        credentials: &Credentials,
    ) -> Result<AcceptedLogin, RestError> {
        let begun = Instant::now();
        let deadline = begun + state.limits.everyone.deadline;
        let customer = match &self.customers {
            Some(customers) => {
                let (code, phone) = (&credentials.name, credentials.secret.expose());
                let found = customers.log_in(&state.api, code, phone, deadline).await;
                found.map_err(|error| look_up_failure(&error))?
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
            permissions: self.permissions.clone(),
        };
        let identity = &state.auth.identity;
        let token = identity.issue(&CUSTOMER_TOKEN, claims.into_claims());
        let token = token.map_err(|error| {
            tracing::error!(cause = %error, "a customer cannot log in");
            RestError::internal()
        })?;
        Ok(AcceptedLogin {
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
}

impl LoginProvider for PhoneLogin {
    fn grant(&self) -> &'static str {
        PHONE
    }

    fn is_available(&self) -> bool {
        self.customers.is_some()
    }

    fn schema(&self) -> Value {
        json!({
            "title": "As a customer",
            "description": "Where the datamodel has customers who can log in.",
            "type": "object",
            "required": ["grantType", "username", "phone"],
            "properties": {
                "grantType": { "const": PHONE },
                "username": openapi::text(CODE_CHARACTERS),
                "phone": { "type": "string", "pattern": format!("^[0-9]{{{PHONE_DIGITS}}}$") },
            },
        })
    }

    fn profile_schema(&self) -> Map<String, Value> {
        let text = |description: &str| json!({ "type": "string", "description": description });
        let schemas = [
            (
                "sub",
                "The user's name at the login's provider; a customer's id.",
            ),
            ("seller", "Of a customer: the seller's `sub`."),
            ("business", "Of a customer: the seller's business."),
        ];
        schemas
            .into_iter()
            .map(|(name, description)| (name.to_owned(), text(description)))
            .collect()
    }

    fn credentials(&self, fields: &mut Fields) -> Credentials {
        Credentials {
            name: fields.text("username", CODE_CHARACTERS),
            secret: SecretText::new(fields.digits("phone", PHONE_DIGITS)),
        }
    }

    fn check<'a>(
        &'a self,
        state: &'a State,
        credentials: &'a Credentials,
    ) -> LocalBoxFuture<'a, Result<AcceptedLogin, RestError>> {
        self.log_in(state, credentials).boxed_local()
    }
}

/// The database has no answer about a customer.
pub fn look_up_failure(error: &LookUpError) -> RestError {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with a body.
    fn problems(body: Value) -> Vec<String> {
        let Value::Object(body) = body else {
            panic!("a body is an object")
        };
        let login = PhoneLogin {
            customers: None,
            permissions: Vec::new(),
        };
        let mut fields = Fields::of(body);
        login.credentials(&mut fields);
        fields.into_problems()
    }

    #[test]
    fn all_that_is_wrong_with_a_body_is_reported() {
        for (body, expected) in [
            (
                json!({ "grantType": "phone", "username": "c".repeat(26), "phone": "123" }),
                &[
                    "username must be shorter than or equal to 25 characters",
                    "phone must be 10 digits",
                ][..],
            ),
            (
                json!({ "grantType": "phone", "username": "c", "phone": "12345678901" }),
                &["phone must be shorter than or equal to 10 characters"],
            ),
            (
                json!({ "grantType": "phone", "username": "c", "phone": "12345678９0" }),
                &["phone must be 10 digits"],
            ),
        ] {
            assert_eq!(problems(body.clone()), expected, "{body}");
        }
    }
}
