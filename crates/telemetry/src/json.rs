//! Log lines as JSON: one flat object a line, with the trace and the fields of all spans around the event.

use std::fmt;
use std::io::Write as _;
use std::ops::Range;
use std::sync::OnceLock;

use opentelemetry::trace::{SpanId, TraceContextExt as _, TraceId};
use serde::Serialize;
use tracing::dispatcher::WeakDispatch;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::filter::Logged;
use crate::origin::Unseen;
use crate::{filter, hex};

/// Writes events. It must sit outside the OpenTelemetry layer, which knows the ids. What it shows it decides itself: a filter of the
/// library's around it is asked whenever a span is entered and left.
pub(crate) struct JsonLines<W> {
    writer: W,
    logged: Logged,
    dispatch: OnceLock<WeakDispatch>,
}

impl<W> JsonLines<W> {
    pub(crate) fn new(writer: W, logged: Logged) -> Self {
        Self { writer, logged, dispatch: OnceLock::new() }
    }

    /// Tells whether the log or the traces want something.
    fn is_wanted(&self, metadata: &Metadata<'_>) -> bool {
        self.logged.shows(metadata) || filter::is_traced(metadata)
    }

    /// The current dispatcher cannot be asked from inside an event, so the one that registered this layer is kept.
    fn ids(&self, span: &Id) -> Option<(TraceId, SpanId)> {
        let dispatch = self.dispatch.get()?.upgrade()?;
        if let Some(ids) = Unseen::with(span, &dispatch, |unseen| (unseen.trace, unseen.span)) {
            return Some(ids);
        }
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

    /// Says no only to what nobody wants: what a layer without a filter refuses is refused for all.
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.is_wanted(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.is_wanted(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.logged.most())
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
        if !self.logged.shows(event.metadata()) {
            return;
        }
        let mut line = Fields::default();
        line.set_plain("timestamp", &now());
        line.set_plain("level", event.metadata().level().as_str());
        line.set_plain("target", event.metadata().target());
        event.record(&mut line);
        if let Some(span) = context.event_span(event) {
            if let Some((trace, id)) = self.ids(&span.id()) {
                line.set_plain("trace_id", &digits(&trace.to_bytes()));
                line.set_plain("span_id", &digits(&id.to_bytes()));
            }
            line.set_plain("span", span.name());
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

/// About as many bytes as the fields of a request take, and as many fields.
const BYTES: usize = 512;
const NUMBER: usize = 16;

/// Fields in the order in which they were set, written once as they stand in a line, `"name":value,`, and copied from there.
struct Fields {
    text: Vec<u8>,
    known: Vec<(&'static str, Range<usize>)>,
    /// Whether the text holds nothing but what is known.
    whole: bool,
}

impl Default for Fields {
    fn default() -> Self {
        Self { text: Vec::with_capacity(BYTES), known: Vec::with_capacity(NUMBER), whole: true }
    }
}

impl Fields {
    fn set(&mut self, name: &'static str, value: impl Serialize) {
        let start = self.begin(name);
        if serde_json::to_writer(&mut self.text, &value).is_err() {
            self.text.truncate(start);
            return;
        }
        self.end(name, start);
    }

    /// Sets a text in which nothing has to be escaped.
    fn set_plain(&mut self, name: &'static str, value: &str) {
        let start = self.begin(name);
        self.text.push(b'"');
        self.text.extend_from_slice(value.as_bytes());
        self.text.push(b'"');
        self.end(name, start);
    }

    fn begin(&mut self, name: &'static str) -> usize {
        let start = self.text.len();
        self.text.push(b'"');
        // Names of fields are words of ours; none has anything to escape.
        self.text.extend_from_slice(name.as_bytes());
        self.text.extend_from_slice(b"\":");
        start
    }

    fn end(&mut self, name: &'static str, start: usize) {
        self.text.push(b',');
        let place = start..self.text.len();
        match self.known.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => {
                *old = place;
                self.whole = false;
            }
            None => self.known.push((name, place)),
        }
    }

    fn add_missing(&mut self, outer: &Self) {
        for (name, place) in &outer.known {
            if !self.known.iter().any(|(known, _)| known == name) {
                let start = self.text.len();
                self.text.extend_from_slice(&outer.text[place.clone()]);
                self.known.push((name, start..self.text.len()));
            }
        }
    }

    fn render(self) -> Vec<u8> {
        let mut line = Vec::with_capacity(self.text.len() + 2);
        line.push(b'{');
        if self.whole {
            line.extend_from_slice(&self.text);
        } else {
            for (_, place) in &self.known {
                line.extend_from_slice(&self.text[place.clone()]);
            }
        }
        // Instead of the last comma; a line has a time at least.
        line.pop();
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
