//! Answers of a live query as JSON Patch, with revisions, as npm's `@n1ru4l/graphql-live-query-patch-json-patch` reads them: the whole
//! answer first, then what has changed of its data. Pure: the last answer and the next one in, the message out.

mod difference;
mod parts;

use std::sync::{Arc, Mutex, PoisonError};

use gom_engine::error::ApiError;
use gom_runtime::waiting::{Account, Charge, Waiting, WaitingBounds};
use serde_json::Value;

use self::difference::difference;
use crate::graphql::wire::{write_data, write_rest};
use crate::graphql::{Answer, AnswerCursor, Data, PATCH, Request, malformed};

/// The name of the only format.
const JSON_PATCH: &str = "json-patch";
/// Data of more bytes is sent whole, and not kept: to compare it would occupy the worker. Of so many bytes, lists of rows take 2 to 10 ms,
/// and what is made to take long 30 ms.
const MAX_COMPARED: usize = 512 * 1024;
/// Room for the parts of a message that are neither data nor errors.
const FRAME: usize = 96;
/// Bytes of data that are kept for the next difference. Where there is no room, data is not kept, and the next answer is whole.
const KEPT: WaitingBounds = WaitingBounds {
    service: 64 * 1024 * 1024,
    user: 8 * 1024 * 1024,
    all: 128 * 1024 * 1024,
};

/// What is kept of answers for the next difference, by user.
pub fn kept_answers() -> Waiting {
    Waiting::new(KEPT)
}

/// Whether a request asks for patches.
///
/// # Errors
/// If it asks for another format.
pub(super) fn wants_patches(request: &Request) -> Result<bool, ApiError> {
    match request.extensions.get(PATCH) {
        None => Ok(false),
        Some(Value::String(format)) if format == JSON_PATCH => Ok(true),
        Some(_) => Err(malformed(
            PATCH,
            "the format of patches is \"json-patch\", and there is no other",
        )),
    }
}

/// Of what has one answer, or is no query: its client would wait for revisions.
///
/// # Errors
/// If patches are asked for.
pub fn without_patches(request: &Request) -> Result<(), ApiError> {
    if wants_patches(request)? {
        let reason = "only live queries (@live) have patches, over websockets and event streams: other queries, mutations and \
                      subscriptions do not";
        return Err(malformed(PATCH, reason));
    }
    Ok(())
}

/// The data of an answer, as differences are made of it. Shared by all subscribers that are sent the answer.
pub(super) struct Comparable {
    /// Nothing of data that is null or too large.
    data: Option<Arc<str>>,
    /// The last difference that was made, and from what: subscribers that are sent the same show the same, mostly.
    made: Mutex<Option<Made>>,
}

#[derive(Clone)]
struct Made {
    from: Arc<str>,
    patch: Option<Arc<str>>,
}

impl Comparable {
    pub fn of(data: &Data) -> Self {
        let mut text = Vec::new();
        if matches!(data, Data::Fields(_)) {
            write_data(&mut text, data);
        }
        let is_comparable = !text.is_empty() && text.len() <= MAX_COMPARED;
        let text = String::from_utf8(text).ok().filter(|_| is_comparable);
        Comparable {
            data: text.map(Arc::from),
            made: Mutex::default(),
        }
    }

    /// What makes this of other data; nothing if it is sent whole.
    fn patch_from(&self, from: &Arc<str>) -> Option<Arc<str>> {
        let data = self.data.as_ref()?;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        // Those who joined at different times were sent different answers of the same text.
        let is_from = |made: &&Made| Arc::ptr_eq(&made.from, from) || made.from == *from;
        if let Some(made) = made.as_ref().filter(is_from) {
            return made.patch.clone();
        }
        let patch: Option<Arc<str>> = difference(from, data).map(Arc::from);
        *made = Some(Made {
            from: Arc::clone(from),
            patch: patch.clone(),
        });
        patch
    }
}

/// What one subscriber has been sent, and what it is sent next.
pub(super) struct Patches {
    /// Of the last message with data; 0: there was none.
    revision: u64,
    last: Option<Kept>,
    account: Arc<Account>,
}

/// The data of an answer. Others may keep the same; it counts for each.
struct Kept {
    data: Arc<str>,
    _counted: Charge,
}

impl Patches {
    pub fn new(account: Arc<Account>) -> Self {
        Patches {
            revision: 0,
            last: None,
            account,
        }
    }

    /// The message for the next answer. Each starts over with `"data"` and `"revision":1`, or goes on with `"patch"` and the revision
    /// after the last one; `errors` and `extensions` are of this answer in both. One whose data is null has no revision: the
    /// client passes it on as it is.
    pub fn message(
        &mut self,
        answer: &Answer,
        comparable: &Comparable,
        cursor: &AnswerCursor,
        id: &str,
    ) -> Vec<u8> {
        let last = self.last.take();
        let has_data = matches!(answer.data, Data::Fields(_));
        let patch = last.and_then(|last| comparable.patch_from(&last.data));
        let mut out = Vec::new();
        match &patch {
            Some(patch) => {
                out.reserve(FRAME + patch.len());
                out.extend_from_slice(b"{\"patch\":");
                out.extend_from_slice(patch.as_bytes());
            }
            None => {
                out.extend_from_slice(b"{\"data\":");
                write_data(&mut out, &answer.data);
            }
        }
        write_rest(&mut out, &answer.errors, cursor, id);
        if has_data {
            self.revision = if patch.is_some() {
                self.revision + 1
            } else {
                1
            };
            out.extend_from_slice(format!(",\"revision\":{}", self.revision).as_bytes());
        }
        out.push(b'}');
        if let Some(data) = &comparable.data {
            self.keep(Arc::clone(data));
        }
        out
    }

    fn keep(&mut self, data: Arc<str>) {
        if self.account.check().is_ok() {
            let counted = self.account.charge(data.len());
            self.last = Some(Kept {
                data,
                _counted: counted,
            });
        }
    }
}

#[cfg(test)]
mod tests;
