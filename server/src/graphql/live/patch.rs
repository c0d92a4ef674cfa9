//! Answers of a live query as JSON Patch, with revisions, as npm's `@n1ru4l/graphql-live-query-patch-json-patch` reads them: the whole
//! answer first, then what has changed of its data. Pure: the last answer and the next one in, the message out.

mod difference;
mod parts;

use std::sync::Arc;

use gom_engine::error::ApiError;
use gom_runtime::waiting::{Account, Charge, Waiting, WaitingBounds};
use serde_json::Value;

use self::difference::difference;
use crate::graphql::wire::{write_data, write_rest};
use crate::graphql::{Answer, Data, PATCH, Request, malformed};

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

/// What one subscriber has been sent, and what it is sent next.
pub(super) struct Patches {
    /// Of the last message with data; 0: there was none.
    revision: u64,
    last: Option<Kept>,
    account: Arc<Account>,
}

/// The data of an answer.
struct Kept {
    data: String,
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
    pub fn message(&mut self, answer: &Answer, id: &str) -> Vec<u8> {
        let last = self.last.take();
        let mut data = Vec::new();
        write_data(&mut data, &answer.data);
        let has_data = matches!(answer.data, Data::Fields(_));
        let is_comparable = has_data && data.len() <= MAX_COMPARED;
        let text = std::str::from_utf8(&data).ok().filter(|_| is_comparable);
        let patch = last
            .zip(text)
            .and_then(|(last, text)| difference(&last.data, text));
        let (name, content) = match &patch {
            Some(patch) => ("patch", patch.as_bytes()),
            None => ("data", data.as_slice()),
        };
        let mut out = Vec::with_capacity(FRAME + content.len());
        for part in [b"{\"", name.as_bytes(), b"\":", content] {
            out.extend_from_slice(part);
        }
        write_rest(&mut out, answer, id);
        if has_data {
            self.revision = if patch.is_some() {
                self.revision + 1
            } else {
                1
            };
            out.extend_from_slice(format!(",\"revision\":{}", self.revision).as_bytes());
        }
        out.push(b'}');
        if is_comparable && let Ok(data) = String::from_utf8(data) {
            self.keep(data);
        }
        out
    }

    fn keep(&mut self, data: String) {
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
