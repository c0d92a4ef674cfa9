//! The idempotency key of a mutation: where it comes from, what it may be, and whose it is (ADR 41).

use std::fmt::Write;
use std::time::Duration;

use actix_web::rt;
use aws_lc_rs::digest::{Context, SHA256};
use gom_actors::database::RunError;
use gom_engine::error::{ApiError, ErrorKind};
use gom_engine::plan::{AnswerSlot, Expect, Program, Rights, Step};
use gom_engine::sql::idempotency::forget_session;
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep_until};

use super::canonical::canonical;
use super::extensions::{IDEMPOTENCY_KEY, malformed};
use super::{Api, Engine, Request};
use crate::identity::Viewer;
use crate::settings;

/// Characters of a key.
const MAX_KEY: usize = 128;
/// How long a log-out waits for the removal of its session's answers.
const FORGET_TIMEOUT: Duration = Duration::from_secs(2);
const FORM: &str = "it must have 1 to 128 visible characters of ASCII";

/// What HTTP's header `Idempotency-Key` says. It is read only where a mutation is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum HeaderKey {
    /// The request has no such header.
    #[default]
    Missing,
    /// The header's text; a mutation checks whether it is a key.
    Given(String),
    /// It is no text, or there are several.
    Malformed,
    /// It came with several operations, and cannot be the key of each.
    OfBatch,
}

/// How keys are kept, where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyOptions {
    /// Size of the answers of one key; larger ones are not stored.
    pub answer_bytes: usize,
    /// Keys of one user that are kept; the service has no such bound.
    pub keys_per_user: usize,
}

impl KeyOptions {
    pub fn of(settings: &settings::Idempotency) -> Option<Self> {
        (!settings.keep_for.is_zero()).then_some(KeyOptions {
            answer_bytes: settings.answer_bytes,
            keys_per_user: settings.keys_per_user,
        })
    }
}

impl Request {
    /// The key of a mutation.
    ///
    /// # Errors
    /// If it is malformed, or there are two.
    fn key(&self) -> Result<Option<&str>, ApiError> {
        let given = self.extensions.text(IDEMPOTENCY_KEY)?;
        if given.is_some_and(|key| !is_key(key)) {
            return Err(malformed(IDEMPOTENCY_KEY, FORM));
        }
        let of_header = match &self.header_key {
            HeaderKey::Missing => return Ok(given),
            HeaderKey::Given(key) if is_key(key) => key.as_str(),
            HeaderKey::Given(_) | HeaderKey::Malformed => {
                return Err(unusable(&format!("the header Idempotency-Key: {FORM}")));
            }
            HeaderKey::OfBatch => {
                let message = "the header Idempotency-Key is the key of one mutation, and came with a batch: give each \
                     mutation its own as extensions.idempotencyKey";
                return Err(unusable(message));
            }
        };
        if given.is_some_and(|given| given != of_header) {
            return Err(unusable(
                "the header Idempotency-Key and extensions.idempotencyKey differ: send one of them",
            ));
        }
        Ok(Some(of_header))
    }

    /// The same of what is no mutation. A client may send the header with everything; in the request itself, a key promises
    /// what nothing but a mutation keeps.
    ///
    /// # Errors
    /// If the request itself has one.
    pub(super) fn refuse_key(&self) -> Result<(), ApiError> {
        match self.extensions.get(IDEMPOTENCY_KEY) {
            None => Ok(()),
            Some(_) => Err(malformed(
                IDEMPOTENCY_KEY,
                "only mutations take one: queries and subscriptions may be repeated without",
            )),
        }
    }

    /// Of what the key stands for: another request cannot have it, nor the same one of a viewer for whom it means something
    /// else.
    fn digest(&self, who: Option<(&str, &Map<String, Value>)>) -> String {
        let (role, claims) = who.unzip();
        digest([
            self.operation_name.as_deref().unwrap_or_default(),
            &self.text,
            &self.canonical_variables(),
            role.unwrap_or_default(),
            &claims.map(canonical).unwrap_or_default(),
        ])
    }
}

impl Engine {
    /// Where a mutation's answers are stored, if it came with a key: of its first field.
    ///
    /// # Errors
    /// If the key cannot be used.
    pub(super) fn slot(
        &self,
        request: &Request,
        viewer: &Viewer,
        rights: Option<&Rights>,
    ) -> Result<Option<AnswerSlot>, ApiError> {
        let Some(key) = request.key()? else {
            return Ok(None);
        };
        let options = self.keys.ok_or_else(|| {
            unusable("idempotency keys are off here (idempotency.keep_for): send the request without one")
        })?;
        let user = viewer.user();
        Ok(Some(AnswerSlot {
            viewer: owner(self.planner.physical().schema_name(), viewer),
            key: key.to_owned(),
            request: request.digest(rights.map(|rights| (rights.role(), rights.decided_by()))),
            session: request.session.clone().filter(|_| user.is_some()),
            field: 0,
            answer_bytes: options.answer_bytes,
            keys: user.map(|_| options.keys_per_user),
        }))
    }
}

impl Api {
    /// Removes the answers of a session's idempotency keys; and once more when whatever was in flight has ended, which may have
    /// had some of the rows locked, or have stored an answer since.
    ///
    /// # Errors
    /// If the database does not do it now: what it does not do later is logged, and the answers end with their keys.
    pub async fn forget_keys(&self, session: String) -> Result<(), RunError> {
        if self.engine.keys.is_none() {
            return Ok(());
        }
        let ended = Instant::now() + self.engine.user_limits().deadline + FORGET_TIMEOUT;
        let (api, again) = (self.clone(), session.clone());
        rt::spawn(async move {
            sleep_until(ended).await;
            if let Err(error) = api.forget_keys_now(again).await {
                tracing::warn!(cause = %error, "answers of a session's idempotency keys may be kept for their time, though it has been closed");
            }
        });
        self.forget_keys_now(session).await
    }

    async fn forget_keys_now(&self, session: String) -> Result<(), RunError> {
        let program = Program {
            steps: vec![Step::Run {
                statement: forget_session(session),
                fills: Vec::new(),
                expect: Expect::Anything,
            }],
            registers: 1,
        };
        let deadline = Instant::now() + FORGET_TIMEOUT;
        match self.database.transact(program, deadline).await {
            Err(error) if !is_without_table(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

/// Whether the database has no place for keys: Gom's own tables are of an earlier version, or not for this role.
pub(super) fn is_without_table(error: &RunError) -> bool {
    let RunError::Rejected(report) = error else {
        return false;
    };
    match report.sqlstate.as_str() {
        "42P01" | "42501" => report.message.contains("idempotency_key"),
        "3F000" => report.message.contains("gom"),
        _ => false,
    }
}

/// A digest of who alone may have the answers: the subject, or the service, of one schema's API.
fn owner(schema: &str, viewer: &Viewer) -> String {
    match viewer {
        Viewer::Service => digest(["service", schema]),
        Viewer::User(user) => digest(["user", schema, &user.subject]),
    }
}

/// In hexadecimal. Different parts have different digests, also where one ends in what the next one begins with.
fn digest<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&part.len().to_be_bytes());
        context.update(part.as_bytes());
    }
    let digest = context.finish();
    let empty = String::with_capacity(64);
    digest.as_ref().iter().fold(empty, |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn is_key(text: &str) -> bool {
    (1..=MAX_KEY).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A key that cannot be used, and why. Nothing has been carried out.
pub(super) fn unusable(reason: &str) -> ApiError {
    ApiError::new(
        ErrorKind::BadUserInput,
        format!("The idempotency key cannot be used, and nothing was written: {reason}"),
    )
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use serde_json::json;

    use super::*;
    use crate::graphql::Extensions;
    use crate::identity::User;

    fn request(of_header: HeaderKey, extension: Value) -> Request {
        Request {
            header_key: of_header,
            extensions: Extensions::new([(IDEMPOTENCY_KEY.to_owned(), extension)]),
            ..Request::default()
        }
    }

    fn given(key: &str) -> HeaderKey {
        HeaderKey::Given(key.to_owned())
    }

    #[test]
    fn the_key_is_that_of_the_header_or_of_the_extensions() {
        let longest = "x".repeat(MAX_KEY);
        for (of_header, extension, expected) in [
            (HeaderKey::Missing, Value::Null, None),
            (given("a"), Value::Null, Some("a")),
            (HeaderKey::Missing, json!("a"), Some("a")),
            (given("a"), json!("a"), Some("a")),
            (HeaderKey::Missing, json!(longest), Some(longest.as_str())),
        ] {
            assert_eq!(request(of_header, extension).key(), Ok(expected));
        }
    }

    #[test]
    fn a_key_that_is_none_is_refused() {
        let too_long = "x".repeat(MAX_KEY + 1);
        for (of_header, extension, message) in [
            (given(""), Value::Null, FORM),
            (given("a b"), Value::Null, FORM),
            (given(&too_long), Value::Null, FORM),
            (HeaderKey::Malformed, json!("a"), FORM),
            (HeaderKey::Missing, json!("ñ"), FORM),
            (HeaderKey::Missing, json!(too_long), FORM),
            (HeaderKey::Missing, json!(3), "it must be a text"),
            (given("a"), json!("b"), "differ"),
            (HeaderKey::OfBatch, json!("a"), "batch"),
        ] {
            let error = request(of_header, extension).key().unwrap_err();
            assert_eq!(error.kind, ErrorKind::BadUserInput);
            assert!(error.message.contains(message), "{}", error.message);
        }
    }

    #[test]
    fn a_query_ignores_the_header_and_refuses_the_extension() {
        assert_eq!(request(given("a"), Value::Null).refuse_key(), Ok(()));
        assert!(
            request(HeaderKey::Missing, json!("a"))
                .refuse_key()
                .is_err()
        );
    }

    #[test]
    fn requests_are_equal_in_whatever_order_their_variables_came() {
        let request = |text: &str, name: Option<&str>, variables: &str| Request {
            text: text.to_owned(),
            operation_name: name.map(str::to_owned),
            variables: serde_json::from_str(variables).unwrap(),
            ..Request::default()
        };
        let one = request("mutation", None, r#"{"a":1,"b":{"c":2,"d":3}}"#).digest(None);
        let same = request("mutation", None, r#"{"b":{"d":3,"c":2},"a":1}"#).digest(None);
        assert_eq!(one, same);
        for other in [
            request("mutation", None, r#"{"a":2,"b":{"c":2,"d":3}}"#),
            request("mutation ", None, r#"{"a":1,"b":{"c":2,"d":3}}"#),
            request("mutation", Some("A"), r#"{"a":1,"b":{"c":2,"d":3}}"#),
        ] {
            assert_ne!(one, other.digest(None));
        }
    }

    #[test]
    fn a_request_is_another_one_of_another_role_or_with_other_claims() {
        let request = Request {
            text: "mutation".to_owned(),
            ..Request::default()
        };
        let of = |role: &str, claims: &str| {
            let claims: Map<_, _> = serde_json::from_str(claims).unwrap();
            request.digest(Some((role, &claims)))
        };
        let one = of("host", r#"{"sub":"ana","tenant":{"a":1,"b":2}}"#);
        assert_eq!(one, of("host", r#"{"tenant":{"b":2,"a":1},"sub":"ana"}"#));
        for other in [
            of("guest", r#"{"sub":"ana","tenant":{"a":1,"b":2}}"#),
            of("host", r#"{"sub":"ana","tenant":{"a":1,"b":3}}"#),
            of("host", r#"{"sub":"ana"}"#),
            request.digest(None),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn an_owner_is_a_subject_or_the_service_of_one_schema() {
        let user = |subject: &str, permissions: &[&str]| {
            let permissions = permissions.iter().map(|p| (*p).to_owned()).collect();
            let user = User::new(subject.into(), permissions, Map::new(), SystemTime::now());
            Viewer::User(user.into())
        };
        let one = owner("a", &user("ana", &["role:a"]));
        assert_eq!(one, owner("a", &user("ana", &["role:b"])), "in any role");
        for other in [
            owner("b", &user("ana", &["role:a"])),
            owner("a", &user("bea", &["role:a"])),
            owner("a", &Viewer::Service),
            owner("a", &user("service", &[])),
        ] {
            assert_ne!(one, other);
        }
    }
}
