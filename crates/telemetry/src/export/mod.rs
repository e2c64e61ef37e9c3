//! The way of the spans of kept traces to the collector, as OTLP has it: written down as they happen ([`record`]), gathered until
//! enough are together ([`outbox`]), and sent ([`sender`]).
//!
//! OpenTelemetry's own way collects a span as a tree of texts, hands it to another thread, copies the tree, makes another one that
//! `prost` can write, and writes that: for ten traces of a hundred, a sixteenth of all that a gateway did. What is sent is the same.

mod outbox;
mod record;
mod sender;
mod wire;

pub(crate) use outbox::Outbox;
pub(crate) use record::{Event, Record};
pub(crate) use sender::{Collector, Sending};
pub(crate) use wire::Scalar;

#[cfg(test)]
mod tests;
