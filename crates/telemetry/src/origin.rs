//! Where a span belongs, and whether anybody will see it, known before it is made.
//!
//! OpenTelemetry learns only when a span is done whether its trace is kept, and has collected all about it by then; nine of ten
//! requests would pay for what is thrown away. So it is decided first: of a trace that nobody will see only the ids are kept, for those who
//! are called and for the log.

use std::sync::OnceLock;

use opentelemetry::trace::{SpanContext, TraceFlags};
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator};

use crate::{Span, context};

/// Share of the traces that begin here that are kept.
static RATIO: OnceLock<f64> = OnceLock::new();

/// Sets the share of the traces that begin here that are kept, once; before that all of them are.
pub(crate) fn keep(ratio: f64) {
    let _ = RATIO.set(ratio);
}

/// Decides whether a trace that begins now is kept.
pub(crate) fn is_kept() -> bool {
    RATIO.get().is_none_or(|ratio| rand::random::<f64>() < *ratio)
}

/// Where a span belongs. [`Span::begin`] takes it.
#[derive(Debug)]
pub struct Origin {
    /// None where a trace begins.
    parent: Option<SpanContext>,
    is_kept: bool,
    around: Span,
}

impl Origin {
    /// Belongs into the trace of the span around it, or begins a trace.
    pub fn here() -> Self {
        let around = Span::current();
        match around.context().cloned() {
            Some(parent) => Self { is_kept: parent.is_sampled(), parent: Some(parent), around },
            None => Self::new_trace(),
        }
    }

    /// Begins a trace, whatever is around it.
    pub fn new_trace() -> Self {
        Self { parent: None, is_kept: is_kept(), around: Span::none() }
    }

    /// Belongs below a remote span; one that is absent or malformed changes nothing.
    pub fn remote(traceparent: &str, tracestate: &str) -> Self {
        Self::below(traceparent, tracestate).unwrap_or_else(Self::here)
    }

    /// Belongs below a remote span, or begins a trace, whatever is around it.
    pub fn beyond(traceparent: &str, tracestate: &str) -> Self {
        Self::below(traceparent, tracestate).unwrap_or_else(Self::new_trace)
    }

    fn below(traceparent: &str, tracestate: &str) -> Option<Self> {
        let parent = context::read(traceparent, tracestate)?;
        Some(Self { is_kept: parent.is_sampled(), parent: Some(parent), around: Span::none() })
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// Takes it apart: the place of the span that begins, the span that is above in the trace, and the one whose fields lines of the
    /// log have, too.
    pub(crate) fn into_parts(self) -> (SpanContext, Option<SpanContext>, Span) {
        (place(self.parent.as_ref(), self.is_kept), self.parent, self.around)
    }
}

/// Returns the place of a span that begins below another, or begins a trace.
pub(crate) fn place(parent: Option<&SpanContext>, is_kept: bool) -> SpanContext {
    let ids = RandomIdGenerator::default();
    let trace = parent.map_or_else(|| ids.new_trace_id(), SpanContext::trace_id);
    let state = parent.map(|parent| parent.trace_state().clone()).unwrap_or_default();
    SpanContext::new(trace, ids.new_span_id(), TraceFlags::default().with_sampled(is_kept), false, state)
}
