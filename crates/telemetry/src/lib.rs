//! Makes what happens visible: spans that one trace holds together, logs that name the trace, metrics for Prometheus.
//!
//! The rest of the workspace makes its spans with [`span!`], writes `tracing` events and calls the functions here; nobody else
//! knows OpenTelemetry. Two field names of a span have a meaning: `otel.kind` (`server`, `client`, `producer`, `consumer`) and
//! `otel.name` (a name that is only known at run time).
//!
//! # What always holds
//!
//! * Before [`init`], and in tests that never call it, every function is a cheap no-op: no ids, no metrics, no panic.
//! * [`init`] works once per process; a second call is an error.
//! * Observing never holds up or fails the product: exports happen on threads of their own and are dropped when the
//!   collector is away; [`Guard::shutdown`] is bounded in time.
//! * The level of the logs decides nothing about traces: spans from `info` up are always recorded.
//! * Whether a trace is kept is decided where it begins, before its first span is made; a trace that is not kept costs no more than its
//!   ids, which travel and stand in the log all the same.
//! * Labels of metrics come from small closed sets (domain, tier, outcome); never a tenant, an id or a text.

mod config;
mod context;
mod filter;
mod gather;
mod hex;
mod json;
pub mod metric;
mod origin;
pub mod propagate;
mod start;

pub use config::{Config, Error, LogFormat};
pub use context::{SpanKind, add_link, current, is_recorded, mark_failed, record_past, trace_id};
pub use origin::Origin;
#[doc(hidden)]
pub use origin::UNSEEN;
pub use start::{Guard, init};
#[doc(hidden)]
pub use tracing as __tracing;

#[cfg(test)]
mod tests;
