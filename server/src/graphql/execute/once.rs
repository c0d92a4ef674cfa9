//! A mutation's root field that came with an idempotency key: it is carried out once, and a repetition gets the first answer
//! (ADR 41).

use gom_actors::database::{JsonText, RunError};
use gom_engine::error::{ApiError, ErrorKind};
use gom_engine::plan::{AnswerSlot, StoredAnswer, is_marked, key_reused};
use gom_engine::request::SelectedField;
use gom_runtime::crash::crash_point;
use gom_telemetry::metrics::{KEYED_WRITES, KeyedWrite};

use super::fields::{Execution, misplanned};
use super::part::Part;
use crate::graphql::Fragment;
use crate::graphql::context::{Plan, RootField};
use crate::graphql::failure::may_be_repeated_with_key;
use crate::graphql::idempotency::is_without_table;

/// How often a field is begun whose key was in use when it was claimed, and free again when it was looked up.
const ATTEMPTS: usize = 3;

impl Execution<'_> {
    pub(super) async fn write_once(&self, root: RootField<'_>, slot: &AnswerSlot) -> Part {
        let (_, field) = root;
        for _ in 0..ATTEMPTS {
            let error = match self.plan(root).await {
                Ok(Plan::Write(program)) => {
                    match self.database.transact(program, self.deadline).await {
                        Err(RunError::Unmet(error))
                            if error.kind == ErrorKind::IdempotencyKeyReused =>
                        {
                            *error
                        }
                        Err(error) => return self.failed_once(field, error),
                        Ok(found) => {
                            crash_point("written");
                            KEYED_WRITES.inc(KeyedWrite::Written);
                            return self.found(field, found).of_write();
                        }
                    }
                }
                Ok(Plan::Read(_)) => return self.failed(field, misplanned()),
                // A viewer that may not do this any more gets nothing of what it did.
                Err(error) if error.kind == ErrorKind::Forbidden => {
                    return self.failed(field, error);
                }
                // A rule about time may forbid now what was done in time.
                Err(error) => error,
            };
            let found = match self.database.read(slot.look_up(), self.deadline).await {
                Ok(found) => found,
                Err(error) => return self.failed_once(field, error),
            };
            let was_claimed = error.kind == ErrorKind::IdempotencyKeyReused;
            let (result, part) = match StoredAnswer::read(found.as_ref().map(JsonText::as_str)) {
                StoredAnswer::Found(text) => {
                    (KeyedWrite::Repeated, self.stored(field, text).of_write())
                }
                StoredAnswer::TooLarge => {
                    let part = self.failed(field, too_large(slot));
                    (KeyedWrite::NotStored, part.of_write())
                }
                StoredAnswer::Removed => (
                    KeyedWrite::NotStored,
                    self.failed(field, removed()).of_write(),
                ),
                StoredAnswer::OtherRequest => {
                    (KeyedWrite::Reused, self.failed(field, key_reused()))
                }
                _ if !was_claimed => return self.failed(field, error),
                StoredAnswer::TooManyKeys => {
                    (KeyedWrite::TooMany, self.failed(field, too_many_keys(slot)))
                }
                // It was removed, or the other transaction rolled back, since it was claimed.
                StoredAnswer::Open => continue,
            };
            KEYED_WRITES.inc(result);
            return part;
        }
        let message = "The idempotency key is in use by another request, which may still be carried out; this one has written \
                       nothing. Repeat the request with the same key.";
        self.failed(field, ApiError::new(ErrorKind::Unavailable, message))
    }

    /// The first answer, as it was given.
    fn stored(&self, field: &SelectedField, text: Option<&str>) -> Part {
        match text {
            None => self.found(field, None),
            Some(text) if is_marked(text) => self.completed(field, text),
            Some(text) => Part {
                fragment: Some(Fragment::Text(text.to_owned())),
                ..Part::default()
            },
        }
    }

    fn failed_once(&self, field: &SelectedField, error: RunError) -> Part {
        if is_without_table(&error) {
            let message = "This database has no place for idempotency keys; nothing was written. Bring Gom's own tables to this \
                 version (`gom migrate apply`, or --deploy), or send the request without a key.";
            return self.failed(field, ApiError::new(ErrorKind::Unavailable, message));
        }
        let part = self.written(field, Err(error));
        let errors = part.errors.into_iter().map(may_be_repeated_with_key);
        Part {
            errors: errors.collect(),
            ..part
        }
    }
}

fn too_large(slot: &AnswerSlot) -> ApiError {
    let message = format!(
        "It was written, once, by the first request with this idempotency key. Its answer was too large to be stored; the limit is \
         {} bytes (idempotency.answer_bytes). Read what you need of it.",
        slot.answer_bytes
    );
    ApiError::new(ErrorKind::LimitExceeded, message)
}

fn removed() -> ApiError {
    let message = "It was written, once, by the first request with this idempotency key. Its answer was removed when the session \
                   logged out. Read what you need of it.";
    ApiError::new(ErrorKind::LimitExceeded, message)
}

fn too_many_keys(slot: &AnswerSlot) -> ApiError {
    let message = format!(
        "You have as many idempotency keys as one user may have; the limit is {} (idempotency.keys_per_user). This \
         request has written nothing; an earlier one with the same key, if it is still in flight, may still be carried out. \
         Repeat the request with the same key: keys are removed some time after their first use (idempotency.keep_for).",
        slot.keys.unwrap_or_default()
    );
    ApiError::new(ErrorKind::LimitExceeded, message)
}
