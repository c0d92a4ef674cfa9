//! Spans of what the process does, for OpenTelemetry. Knows nothing of where they go: without [`switch_on`] there are
//! none, and asking costs one look at a flag.

use std::borrow::Cow;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry::global;
use opentelemetry::trace::{FutureExt, SpanBuilder, TraceContextExt, Tracer};

pub use opentelemetry::trace::{SpanKind, SpanRef, Status};
pub use opentelemetry::{Context, KeyValue};

const SCOPE: &str = "gom";
/// Bytes of a text that a span keeps: statements may be long.
const LONGEST: usize = 8 * 1024;

static ON: AtomicBool = AtomicBool::new(false);

/// Somebody has said where spans go.
pub fn switch_on() {
    ON.store(true, Ordering::Relaxed);
}

#[inline]
pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// What a span begins with.
#[derive(Debug)]
pub struct Begun {
    pub name: Cow<'static, str>,
    pub kind: SpanKind,
    pub attributes: Vec<KeyValue>,
    /// Of the span that it belongs to; nothing: of the current one, if there is one.
    pub parent: Option<Context>,
}

/// What a span begins with, if there are spans.
#[inline]
pub fn begin(begun: impl FnOnce() -> Begun) -> Option<Begun> {
    is_on().then(begun)
}

/// Carries out a future in a span; what it begins in the meantime belongs to the span. `end` says how it went.
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

/// The id of the trace that is under way on this task.
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
        .find(|(at, letter)| at + letter.len_utf8() > LONGEST)
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
        let cut = bounded(&format!("a{}", "ñ".repeat(LONGEST)));
        assert_eq!(cut.len(), LONGEST - 1 + '…'.len_utf8());
    }
}
