//! Where a span belongs, and whether anybody will see it, known before it is made.
//!
//! OpenTelemetry learns only when a span is done whether its trace is kept, and has collected all about it by then; nine of ten
//! requests would pay for what is thrown away. So it is decided first: of a trace that nobody will see only the ids are kept, for those who
//! are called and for the log.

use std::sync::OnceLock;

use opentelemetry::Context;
use opentelemetry::trace::{SpanId, TraceContextExt as _, TraceId};
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator};
use tracing::span::Id;
use tracing::{Dispatch, Span, dispatcher};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::registry::{LookupSpan as _, Registry};

use crate::context;

/// Target of spans that are for the log alone.
#[doc(hidden)]
pub const UNSEEN: &str = "unseen";

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

/// Where a span belongs. [`crate::span!`] takes it.
#[derive(Debug)]
pub struct Origin(Kind);

#[derive(Debug)]
enum Kind {
    /// In a trace that is kept: below a remote span, or else below the one around it, if any.
    Seen(Option<Context>),
    Unseen(Unseen),
}

impl Origin {
    /// Belongs into the trace of the span around it, or begins a trace.
    pub fn here() -> Self {
        let around = dispatcher::get_default(|dispatch| {
            let id = dispatch.current_span().id().cloned()?;
            Some(Unseen::with(&id, dispatch, Unseen::child))
        });
        match around {
            Some(Some(unseen)) => Self(Kind::Unseen(unseen)),
            Some(None) => Self(Kind::Seen(None)),
            None if is_kept() => Self(Kind::Seen(None)),
            None => Self(Kind::Unseen(Unseen::of(RandomIdGenerator::default().new_trace_id(), String::new()))),
        }
    }

    /// Belongs below a remote span; one that is absent or malformed changes nothing.
    pub fn remote(traceparent: &str, tracestate: &str) -> Self {
        let Some(remote) = context::read(traceparent, tracestate) else { return Self::here() };
        let span = remote.span();
        let known = span.span_context();
        if known.is_sampled() {
            return Self(Kind::Seen(Some(remote)));
        }
        Self(Kind::Unseen(Unseen::of(known.trace_id(), known.trace_state().header())))
    }

    #[doc(hidden)]
    pub fn is_seen(&self) -> bool {
        matches!(self.0, Kind::Seen(_))
    }

    #[doc(hidden)]
    #[must_use]
    pub fn attach(self, span: Span) -> Span {
        match self.0 {
            Kind::Seen(None) => {}
            Kind::Seen(Some(remote)) => {
                // It fails only when nothing is traced or the span is filtered out: then there is nothing to connect.
                let _ = span.set_parent(remote);
            }
            Kind::Unseen(unseen) => unseen.note(&span),
        }
        span
    }
}

/// Makes a span for traces and the log, at the level `info`: first its [`Origin`], then as `tracing` has it.
///
/// All spans of the workspace are made with it: one that is not would begin a trace of its own within one that nobody sees.
#[macro_export]
macro_rules! span {
    ($origin:expr, $($described:tt)+) => {{
        let origin: $crate::Origin = $origin;
        let span = if origin.is_seen() {
            $crate::__tracing::info_span!($($described)+)
        } else {
            $crate::__tracing::info_span!(target: $crate::UNSEEN, $($described)+)
        };
        origin.attach(span)
    }};
}

/// The ids of a span that nobody will see.
#[derive(Clone, Debug)]
pub(crate) struct Unseen {
    pub(crate) trace: TraceId,
    pub(crate) span: SpanId,
    pub(crate) state: String,
}

impl Unseen {
    fn of(trace: TraceId, state: String) -> Self {
        Self { trace, span: RandomIdGenerator::default().new_span_id(), state }
    }

    fn child(&self) -> Self {
        Self::of(self.trace, self.state.clone())
    }

    /// Keeps them with the span.
    fn note(self, span: &Span) {
        span.with_subscriber(|(id, dispatch)| {
            if let Some(span) = dispatch.downcast_ref::<Registry>().and_then(|registry| registry.span(id)) {
                span.extensions_mut().insert(self);
            }
        });
    }

    /// Reads those of a span, if nobody will see it.
    pub(crate) fn with<T>(id: &Id, dispatch: &Dispatch, read: impl FnOnce(&Self) -> T) -> Option<T> {
        let span = dispatch.downcast_ref::<Registry>()?.span(id)?;
        let extensions = span.extensions();
        extensions.get::<Self>().map(read)
    }

    /// Reads those of the current span, if nobody will see it.
    pub(crate) fn with_current<T>(read: impl Fn(&Self) -> T) -> Option<T> {
        dispatcher::get_default(|dispatch| Self::with(dispatch.current_span().id()?, dispatch, &read))
    }
}
