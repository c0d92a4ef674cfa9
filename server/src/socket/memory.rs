//! What is remembered of an operation for a client that has no cursors, so that it goes on from there when it comes back.

use std::cell::{Cell, OnceCell};
use std::fmt::Write;
use std::sync::Arc;

use gom_actors::resume::{Key, Positions, ResumeError, Tracked};
use gom_actors::sessions::SessionId;
use gom_engine::events::Cursor;
use serde_json::Value;

use crate::graphql::{LEAVES, Request};

/// Of one operation of a socket, however often it is started again there.
pub(super) struct Memory {
    positions: Positions,
    session: SessionId,
    request: Arc<Request>,
    /// From where on it is known to be a subscription.
    tracked: OnceCell<Tracked>,
    /// It went on from where it was, and nothing has been delivered yet.
    pub resumed: Cell<bool>,
    /// Up to where a receipt was asked for.
    pub asked: Cell<Option<Cursor>>,
}

impl Memory {
    pub fn new(positions: Positions, session: SessionId, request: Arc<Request>) -> Self {
        Memory {
            positions,
            session,
            request,
            tracked: OnceCell::new(),
            resumed: Cell::new(false),
            asked: Cell::new(None),
        }
    }

    /// The position that is kept of it; nothing of queries and mutations, and of subscriptions that came with a cursor.
    pub fn tracked(&self) -> Option<&Tracked> {
        self.tracked.get()
    }

    /// Where it goes on.
    ///
    /// # Errors
    /// If that cannot be read at the moment.
    pub async fn resume(&self) -> Result<Option<Cursor>, ResumeError> {
        let tracked = self.tracked.get_or_init(|| {
            let Request {
                text,
                operation_name,
                variables,
                extensions,
                ..
            } = &*self.request;
            let session = self.session.as_str().as_bytes();
            let name = operation_name.as_deref().unwrap_or_default().as_bytes();
            let mut canonical = String::new();
            for (name, value) in sorted(variables) {
                write_canonical(&mut canonical, name, value);
            }
            // One that reports leaves goes on from positions of its own kind only. The others keep the key that the previous
            // version knows.
            if extensions.flag(LEAVES).unwrap_or_default() {
                canonical.push_str("leaves");
            }
            let key = Key::of([session, name, text.as_bytes(), canonical.as_bytes()]);
            self.positions.track(Key::of([session]), key)
        });
        let from = tracked.resume().await?;
        self.resumed.set(from.is_some());
        Ok(from)
    }

    /// Its client wants it no more.
    pub fn forget(&self) {
        if let Some(tracked) = self.tracked.get() {
            tracked.forget();
        }
    }
}

fn sorted(map: &serde_json::Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by_key(|(name, _)| *name);
    entries
}

/// The same text for the same value, in whatever order its fields came.
fn write_canonical(out: &mut String, name: &str, value: &Value) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{name:?}:");
    match value {
        Value::Object(map) => {
            out.push('{');
            sorted(map)
                .into_iter()
                .for_each(|(name, value)| write_canonical(out, name, value));
            out.push('}');
        }
        Value::Array(values) => {
            out.push('[');
            values
                .iter()
                .for_each(|value| write_canonical(out, "", value));
            out.push(']');
        }
        other => {
            let _ = write!(out, "{other},");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        let mut out = String::new();
        write_canonical(&mut out, "", &serde_json::from_str(text).unwrap());
        out
    }

    #[test]
    fn equal_variables_are_equal_in_whatever_order_and_others_are_not() {
        assert_eq!(
            canonical(r#"{"a":{"b":1,"c":[2]},"d":null}"#),
            canonical(r#"{"d":null,"a":{"c":[2],"b":1}}"#)
        );
        let different = [
            r#"{"a":1}"#,
            r#"{"a":"1"}"#,
            r#"{"b":1}"#,
            r#"{"a":[1]}"#,
            r#"{"a":[1,2]}"#,
            r#"{"a":[[1],2]}"#,
            r#"{"a":[[1,2]]}"#,
            r#"{"a":{"b":1}}"#,
            r#"{"a":{},"b":1}"#,
            r#"{"a":null}"#,
            "{}",
            "[]",
            r#"{"a\":1,":2}"#,
            r#"[{"a":1},{"b":1}]"#,
            r#"[{"a":1,"b":1}]"#,
        ];
        let mut texts: Vec<String> = different.into_iter().map(canonical).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), different.len());
    }
}
