//! Log lines as JSON: one flat object a line, with the trace and the fields of all spans around the event.

use std::fmt;
use std::io::Write as _;
use std::ops::Range;
use std::sync::OnceLock;

use opentelemetry::trace::{SpanId, TraceContextExt as _, TraceId};
use serde::Serialize;
use tracing::dispatcher::WeakDispatch;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::hex;

/// Writes events. It must sit outside the OpenTelemetry layer, which knows the ids.
pub(crate) struct JsonLines<W> {
    writer: W,
    dispatch: OnceLock<WeakDispatch>,
}

impl<W> JsonLines<W> {
    pub(crate) fn new(writer: W) -> Self {
        Self { writer, dispatch: OnceLock::new() }
    }

    /// The current dispatcher cannot be asked from inside an event, so the one that registered this layer is kept.
    fn ids(&self, span: &Id) -> Option<(TraceId, SpanId)> {
        let dispatch = self.dispatch.get()?.upgrade()?;
        let context = tracing_opentelemetry::get_otel_context(span, &dispatch)?;
        let span = context.span();
        let known = span.span_context();
        known.is_valid().then(|| (known.trace_id(), known.span_id()))
    }
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        let _ = self.dispatch.set(dispatch.downgrade());
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Fields::default();
        line.set("timestamp", now());
        line.set("level", event.metadata().level().as_str());
        line.set("target", event.metadata().target());
        event.record(&mut line);
        if let Some(span) = context.event_span(event) {
            if let Some((trace, id)) = self.ids(&span.id()) {
                line.set("trace_id", digits(&trace.to_bytes()));
                line.set("span_id", digits(&id.to_bytes()));
            }
            line.set("span", span.name());
            // From the inside out: what stands nearer to the event wins.
            for span in span.scope() {
                if let Some(fields) = span.extensions().get::<Fields>() {
                    line.add_missing(fields);
                }
            }
        }
        // A log that cannot be written cannot be reported either.
        let _ = self.writer.make_writer_for(event.metadata()).write_all(&line.render());
    }
}

fn digits(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    hex::push(&mut text, bytes);
    text
}

fn now() -> String {
    let mut text = String::with_capacity(32);
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

/// Fields in the order in which they were set, their values as JSON: written once, and copied into every line of their span.
#[derive(Default)]
struct Fields {
    values: Vec<u8>,
    known: Vec<(&'static str, Range<usize>)>,
}

impl Fields {
    fn set(&mut self, name: &'static str, value: impl Serialize) {
        let start = self.values.len();
        if serde_json::to_writer(&mut self.values, &value).is_err() {
            self.values.truncate(start);
            return;
        }
        self.place(name, start..self.values.len());
    }

    fn place(&mut self, name: &'static str, value: Range<usize>) {
        match self.known.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.known.push((name, value)),
        }
    }

    fn add_missing(&mut self, outer: &Self) {
        for (name, value) in &outer.known {
            if !self.known.iter().any(|(known, _)| known == name) {
                let start = self.values.len();
                self.values.extend_from_slice(&outer.values[value.clone()]);
                self.known.push((name, start..self.values.len()));
            }
        }
    }

    fn render(&self) -> Vec<u8> {
        let names: usize = self.known.iter().map(|(name, _)| name.len() + 4).sum();
        let mut line = Vec::with_capacity(self.values.len() + names + 4);
        for (name, value) in &self.known {
            line.extend_from_slice(if line.is_empty() { b"{\"" } else { b",\"" });
            // Names of fields are words of ours; none has anything to escape.
            line.extend_from_slice(name.as_bytes());
            line.extend_from_slice(b"\":");
            line.extend_from_slice(&self.values[value.clone()]);
        }
        line.extend_from_slice(b"}\n");
        line
    }

    fn put(&mut self, field: &Field, value: impl Serialize) {
        // These speak to the exporter, not to the reader of a log.
        if !field.name().starts_with("otel.") {
            self.set(field.name(), value);
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format_args!("{value:?}"));
    }
}
