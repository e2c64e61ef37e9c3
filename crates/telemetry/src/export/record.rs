//! A span of a trace that is kept, written down as it will be sent.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{SpanContext, SpanId};

use super::outbox::Outbox;
use super::wire::{self, Scalar};
use crate::{SpanKind, Value};

/// About as many bytes as the span of a request takes.
const BYTES: usize = 768;
/// How many events a span has at most, as OpenTelemetry has it by default; what comes then is counted.
const EVENTS: u32 = 128;
/// `STATUS_CODE_ERROR`
const ERROR: u64 = 2;
/// `SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK`, `SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK`
const IS_KNOWN: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// Numbers of the fields of a `Span`, and of a `Span.Event` and a `Status` within it.
mod field {
    pub(super) const TRACE_ID: u32 = 1;
    pub(super) const SPAN_ID: u32 = 2;
    pub(super) const TRACE_STATE: u32 = 3;
    pub(super) const PARENT_SPAN_ID: u32 = 4;
    pub(super) const NAME: u32 = 5;
    pub(super) const KIND: u32 = 6;
    pub(super) const START: u32 = 7;
    pub(super) const END: u32 = 8;
    pub(super) const ATTRIBUTES: u32 = 9;
    pub(super) const EVENTS: u32 = 11;
    pub(super) const DROPPED_EVENTS: u32 = 12;
    pub(super) const STATUS: u32 = 15;
    pub(super) const FLAGS: u32 = 16;
    pub(super) const EVENT_TIME: u32 = 1;
    pub(super) const EVENT_NAME: u32 = 2;
    pub(super) const EVENT_ATTRIBUTES: u32 = 3;
    pub(super) const STATUS_MESSAGE: u32 = 2;
    pub(super) const STATUS_CODE: u32 = 3;
}

/// What is known of the span. It is sent when this is dropped.
pub(crate) struct Record {
    bytes: Vec<u8>,
    outbox: &'static Outbox,
    events: u32,
    failed: Option<&'static str>,
    /// None as long as it goes on.
    end: Option<SystemTime>,
}

impl Record {
    /// Begins a span whose place in its trace is known.
    pub(crate) fn begin(
        outbox: &'static Outbox,
        context: &SpanContext,
        parent: Option<&SpanContext>,
        kind: SpanKind,
        title: fmt::Arguments<'_>,
        start: SystemTime,
    ) -> Self {
        let mut bytes = Vec::with_capacity(BYTES);
        place(&mut bytes, context, parent);
        match title.as_str() {
            Some(title) => wire::bytes(&mut bytes, field::NAME, title.as_bytes()),
            None => wire::bytes(&mut bytes, field::NAME, title.to_string().as_bytes()),
        }
        wire::number(&mut bytes, field::KIND, number_of(kind));
        wire::fixed64(&mut bytes, field::START, nanoseconds(start));
        Self { bytes, outbox, events: 0, failed: None, end: None }
    }

    pub(crate) fn set(&mut self, name: &'static str, value: &Value<'_>) {
        value.show(|scalar| wire::attribute(&mut self.bytes, field::ATTRIBUTES, name, scalar));
    }

    /// Marks it as failed; a reason that is known already stays, if there is no other.
    pub(crate) fn fail(&mut self, reason: &'static str) {
        if !reason.is_empty() || self.failed.is_none() {
            self.failed = Some(reason);
        }
    }

    pub(crate) fn add(&mut self, event: &Event) {
        self.events += 1;
        if self.events <= EVENTS {
            wire::bytes(&mut self.bytes, field::EVENTS, &event.0);
        }
    }

    /// Says that it was over earlier than this is dropped.
    pub(crate) fn end(mut self, end: SystemTime) {
        self.end = Some(end);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let end = self.end.unwrap_or_else(SystemTime::now);
        wire::fixed64(&mut self.bytes, field::END, nanoseconds(end));
        if self.events > EVENTS {
            wire::number(&mut self.bytes, field::DROPPED_EVENTS, (self.events - EVENTS).into());
        }
        if let Some(reason) = self.failed {
            let mut status = Vec::new();
            wire::bytes(&mut status, field::STATUS_MESSAGE, reason.as_bytes());
            wire::number(&mut status, field::STATUS_CODE, ERROR);
            wire::bytes(&mut self.bytes, field::STATUS, &status);
        }
        self.outbox.put(&self.bytes);
    }
}

/// Something that happened within a span.
pub(crate) struct Event(Vec<u8>);

impl Event {
    pub(crate) fn now() -> Self {
        let mut bytes = Vec::new();
        wire::fixed64(&mut bytes, field::EVENT_TIME, nanoseconds(SystemTime::now()));
        Self(bytes)
    }

    pub(crate) fn name(&mut self, name: &str) {
        wire::bytes(&mut self.0, field::EVENT_NAME, name.as_bytes());
    }

    pub(crate) fn set(&mut self, name: &str, value: Scalar<'_>) {
        wire::attribute(&mut self.0, field::EVENT_ATTRIBUTES, name, value);
    }
}

/// Writes where a span stands in its trace.
fn place(to: &mut Vec<u8>, context: &SpanContext, parent: Option<&SpanContext>) {
    wire::bytes(to, field::TRACE_ID, &context.trace_id().to_bytes());
    wire::bytes(to, field::SPAN_ID, &context.span_id().to_bytes());
    let state = context.trace_state().header();
    if !state.is_empty() {
        wire::bytes(to, field::TRACE_STATE, state.as_bytes());
    }
    if let Some(parent) = parent.filter(|parent| parent.span_id() != SpanId::INVALID) {
        wire::bytes(to, field::PARENT_SPAN_ID, &parent.span_id().to_bytes());
    }
    let remote = if parent.is_some_and(SpanContext::is_remote) { IS_REMOTE } else { 0 };
    let flags = u32::from(context.trace_flags().to_u8()) | IS_KNOWN | remote;
    wire::fixed32(to, field::FLAGS, flags);
}

/// `SpanKind` of the protocol.
const fn number_of(kind: SpanKind) -> u64 {
    match kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    }
}

/// Since 1970; a time before it is its beginning.
fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
