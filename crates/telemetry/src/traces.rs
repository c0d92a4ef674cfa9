//! Spans of what the process does, for OpenTelemetry. Knows nothing of where they go: without [`switch_on`] there are
//! none, and a check costs one read of a flag.

use std::borrow::Cow;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry::global;
use opentelemetry::trace::{FutureExt, SpanBuilder, TraceContextExt, Tracer};

pub use opentelemetry::trace::{SpanKind, SpanRef, Status};
pub use opentelemetry::{Context, KeyValue};

const SCOPE: &str = "gom";
/// Bytes of a text that a span keeps: statements may be long.
const MAX_TEXT_BYTES: usize = 8 * 1024;

static ON: AtomicBool = AtomicBool::new(false);

/// Spans are made from now on: an exporter is set up.
pub fn switch_on() {
    ON.store(true, Ordering::Relaxed);
}

/// Whether spans are made.
#[inline]
pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// What a span starts with.
#[derive(Debug)]
pub struct Begun {
    /// The operation's name, of few different ones.
    pub name: Cow<'static, str>,
    /// Which side of a call it is.
    pub kind: SpanKind,
    /// What is known at the start.
    pub attributes: Vec<KeyValue>,
    /// The context of its parent span; if there is none, the current one.
    pub parent: Option<Context>,
}

/// What a span starts with, if spans are made.
#[inline]
pub fn begin(begun: impl FnOnce() -> Begun) -> Option<Begun> {
    is_on().then(begun)
}

/// Runs a future in a span; spans that it begins are children of this one. `end` adds the outcome.
pub async fn within<T>(
    begun: Option<Begun>,
    future: impl Future<Output = T>,
    end: impl FnOnce(&T, SpanRef<'_>),
) -> T {
    let mut future = pin!(future);
    let Some(Begun {
        name,
        kind,
        attributes,
        parent,
    }) = begun
    else {
        return future.await;
    };
    let parent = parent.unwrap_or_else(Context::current);
    let tracer = global::tracer(SCOPE);
    let builder = SpanBuilder::from_name(name)
        .with_kind(kind)
        .with_attributes(attributes);
    let context = parent.with_span(tracer.build_with_context(builder, &parent));
    let done = future.as_mut().with_context(context.clone()).await;
    end(&done, context.span());
    context.span().end();
    done
}

/// The id of this task's current trace.
pub fn trace_id() -> Option<String> {
    if !is_on() {
        return None;
    }
    let context = Context::current();
    let span = context.span();
    let of_span = span.span_context();
    of_span.is_valid().then(|| of_span.trace_id().to_string())
}

/// As much of a text as a span keeps.
pub fn bounded(text: &str) -> String {
    match text
        .char_indices()
        .find(|(at, letter)| at + letter.len_utf8() > MAX_TEXT_BYTES)
    {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(bounded("select 1"), "select 1");
        let cut = bounded(&format!("a{}", "ñ".repeat(MAX_TEXT_BYTES)));
        assert_eq!(cut.len(), MAX_TEXT_BYTES - 1 + '…'.len_utf8());
    }
}
