//! Trace context between spans and the text that travels in actions and metadata.

use std::time::SystemTime;

use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{Span as _, SpanId, Status, TraceContextExt as _, TraceId, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::origin::{self, Unseen};
use crate::{hex, start};

pub(crate) const TRACEPARENT: &str = "traceparent";
pub(crate) const TRACESTATE: &str = "tracestate";

/// What a span is to its neighbours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpanKind {
    /// Work inside a process.
    #[default]
    Internal,
    /// Answers a call.
    Server,
    /// Makes a call.
    Client,
    /// Puts work into a queue.
    Producer,
    /// Takes work out of a queue.
    Consumer,
}

impl From<SpanKind> for opentelemetry::trace::SpanKind {
    fn from(kind: SpanKind) -> Self {
        match kind {
            SpanKind::Internal => Self::Internal,
            SpanKind::Server => Self::Server,
            SpanKind::Client => Self::Client,
            SpanKind::Producer => Self::Producer,
            SpanKind::Consumer => Self::Consumer,
        }
    }
}

/// Returns `traceparent` and `tracestate` of the current span; both are empty when there is none.
pub fn current() -> (String, String) {
    let unseen = Unseen::with_current(|unseen| (traceparent(unseen.trace, unseen.span, 0), unseen.state.clone()));
    unseen.unwrap_or_else(|| {
        let context = Span::current().context();
        let span = context.span();
        let known = span.span_context();
        if !known.is_valid() {
            return (String::new(), String::new());
        }
        // Flags of later versions are not passed on.
        let flags = known.trace_flags().to_u8() & 1;
        (traceparent(known.trace_id(), known.span_id(), flags), known.trace_state().header())
    })
}

/// Tells whether a span that begins now would be kept: not within a trace that is not sampled. Who makes many spans can spare
/// itself those that nobody will see; the context that goes out is that of the span around them then, which says the same.
pub fn is_recorded() -> bool {
    Unseen::with_current(|_| ()).is_none()
}

/// Links a span to a remote one that is related and not its parent; a malformed one changes nothing.
pub fn add_link(span: &Span, traceparent: &str, tracestate: &str) {
    if let Some(other) = read(traceparent, tracestate) {
        span.add_link(other.span().span_context().clone());
    }
}

/// Returns the trace that a span belongs to, as 32 lower-case hexadecimal digits.
pub fn trace_id(span: &Span) -> Option<String> {
    let unseen = span.with_subscriber(|(id, dispatch)| Unseen::with(id, dispatch, |unseen| unseen.trace));
    let trace = unseen.flatten().or_else(|| {
        let context = span.context();
        let known = context.span().span_context().clone();
        known.is_valid().then(|| known.trace_id())
    });
    trace.map(|trace| trace.to_string())
}

/// Marks a span as failed. The reason is a stable word, never a text with contents.
pub fn mark_failed(span: &Span, reason: &'static str) {
    span.set_status(Status::error(reason));
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
    let Some(tracer) = start::tracer() else { return };
    let parent = read(traceparent, tracestate);
    if parent.is_none() && !origin::is_kept() {
        return;
    }
    let parent = parent.unwrap_or_default();
    let attributes = attributes.iter().map(|(key, value)| KeyValue::new(*key, value.clone()));
    let builder = tracer
        .span_builder(name.to_owned())
        .with_kind(kind.into())
        .with_start_time(start)
        .with_attributes(attributes.collect::<Vec<_>>());
    let mut span = tracer.build_with_context(builder, &parent);
    span.end_with_timestamp(end);
}

/// Reads a remote context; none when it is not well formed.
pub(crate) fn read(traceparent: &str, tracestate: &str) -> Option<Context> {
    if traceparent.is_empty() {
        return None;
    }
    let pair = Pair { traceparent: traceparent.to_owned(), tracestate: tracestate.to_owned() };
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &pair);
    let valid = context.span().span_context().is_valid();
    valid.then_some(context)
}

/// Every request is given one, so it is written without the machinery of formatting.
fn traceparent(trace: TraceId, span: SpanId, flags: u8) -> String {
    let mut text = String::with_capacity(55);
    text.push_str("00-");
    hex::push(&mut text, &trace.to_bytes());
    text.push('-');
    hex::push(&mut text, &span.to_bytes());
    text.push('-');
    hex::push(&mut text, &[flags]);
    text
}

/// The two texts of the W3C trace context, as the carrier that OpenTelemetry wants.
struct Pair {
    traceparent: String,
    tracestate: String,
}

impl Extractor for Pair {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            TRACEPARENT => Some(&self.traceparent),
            TRACESTATE => Some(&self.tracestate),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT, TRACESTATE]
    }
}
