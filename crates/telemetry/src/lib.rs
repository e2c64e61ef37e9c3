//! Makes what happens visible: spans that one trace holds together, logs that name the trace, metrics for Prometheus.
//!
//! The rest of the workspace makes its spans with [`Span::begin`], writes `tracing` events and calls the functions here; nobody else
//! knows OpenTelemetry. Spans of `tracing` itself are not looked at; clippy refuses them.
//!
//! # What always holds
//!
//! * Before [`init`], and in tests that never call it, every function is a cheap no-op: no ids, no metrics, no panic.
//! * [`init`] works once per process; a second call is an error.
//! * Observing never holds up or fails the product: exports happen on threads of their own and are dropped when the
//!   collector is away; [`Guard::shutdown`] is bounded in time.
//! * The level of the logs decides nothing about traces: the spans of a trace that is kept are all recorded.
//! * Whether a trace is kept is decided where it begins, before its first span is made; a trace that is not kept costs no more than its
//!   ids, which travel and stand in the log all the same.
//! * Labels of metrics come from small closed sets (domain, tier, outcome); never a tenant, an id or a text.

mod capture;
mod config;
mod context;
mod export;
mod fields;
mod filter;
mod gather;
mod headers;
mod hex;
mod instrument;
mod json;
pub mod metric;
mod origin;
mod pretty;
pub mod propagate;
mod span;
mod start;
mod value;
mod warned;

pub use capture::Capture;
pub use config::{Config, Error, LogFormat};
pub use context::{current, is_recorded, record_past};
pub use headers::Headers;
pub use instrument::{Instrument, Instrumented};
pub use origin::Origin;
pub use span::{Entered, Span, SpanKind};
pub use start::{Guard, init};
pub use value::Value;

#[cfg(test)]
mod tests;
