//! Trace context between spans and the text that travels in actions and metadata.

use std::time::SystemTime;

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;

use crate::export::Record;
use crate::{Span, SpanKind, Value, hex, origin, start};

pub(crate) const TRACEPARENT: &str = "traceparent";
pub(crate) const TRACESTATE: &str = "tracestate";

/// Returns `traceparent` and `tracestate` of the current span; both are empty when there is none.
pub fn current() -> (String, String) {
    Span::with_current(|span| span.context().map(texts).unwrap_or_default())
}

/// Tells whether a span that begins now would be kept: not within a trace that is not sampled. Who makes many spans can spare
/// itself those that nobody will see; the context that goes out is that of the span around them then, which says the same.
pub fn is_recorded() -> bool {
    Span::with_current(|span| span.context().map(SpanContext::is_sampled)).unwrap_or(true)
}

/// Records a span that is over already, with the times it had, e.g. the time that an action waited in a queue.
///
/// A parent that is empty or malformed makes it the root of a new trace, if that is kept.
pub fn record_past(
    name: &str,
    kind: SpanKind,
    (traceparent, tracestate): (&str, &str),
    start: SystemTime,
    end: SystemTime,
    attributes: &[(&'static str, String)],
) {
    let Some(outbox) = start::outbox() else { return };
    let parent = read(traceparent, tracestate);
    if !parent.as_ref().map_or_else(origin::is_kept, SpanContext::is_sampled) {
        return;
    }
    let context = origin::place(parent.as_ref(), true);
    let mut record = Record::begin(outbox, &context, parent.as_ref(), kind, format_args!("{name}"), start);
    for (name, value) in attributes {
        record.set(name, &Value::from(value));
    }
    record.end(end);
}

/// Reads a remote span's place; none when it is not well formed.
pub(crate) fn read(traceparent: &str, tracestate: &str) -> Option<SpanContext> {
    if traceparent.is_empty() {
        return None;
    }
    let context =
        TraceContextPropagator::new().extract_with_context(&Context::new(), &Pair { traceparent, tracestate });
    let span = context.span();
    span.span_context().is_valid().then(|| span.span_context().clone())
}

/// Every request is given one, so it is written without the machinery of formatting.
fn texts(context: &SpanContext) -> (String, String) {
    let mut text = String::with_capacity(55);
    text.push_str("00-");
    hex::push(&mut text, &context.trace_id().to_bytes());
    text.push('-');
    hex::push(&mut text, &context.span_id().to_bytes());
    text.push('-');
    // Flags of later versions are not passed on.
    hex::push(&mut text, &[context.trace_flags().to_u8() & 1]);
    (text, context.trace_state().header())
}

/// The two texts of the W3C trace context, as the carrier that OpenTelemetry wants.
struct Pair<'a> {
    traceparent: &'a str,
    tracestate: &'a str,
}

impl Extractor for Pair<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            TRACEPARENT => Some(self.traceparent),
            TRACESTATE => Some(self.tracestate),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT, TRACESTATE]
    }
}
