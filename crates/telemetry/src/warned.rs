//! Warnings into the traces that are kept.

use std::fmt;
use std::time::SystemTime;

use opentelemetry::KeyValue;
use opentelemetry::trace;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::Span;

/// Adds what goes wrong to the span that it happened in; an error fails the span. [`crate::filter::traces`] belongs before it.
#[derive(Debug)]
pub(crate) struct Warnings;

impl<S: Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // Not lent: what is written about may be within spans of its own.
        let span = Span::current();
        span.add(|| happened(event));
        if *event.metadata().level() == Level::ERROR {
            span.fail("");
        }
    }
}

fn happened(event: &Event<'_>) -> trace::Event {
    let metadata = event.metadata();
    let mut fields = Attributes { message: None, all: Vec::new() };
    fields.all.push(KeyValue::new("level", metadata.level().as_str()));
    fields.all.push(KeyValue::new("target", metadata.target()));
    event.record(&mut fields);
    let name = fields.message.unwrap_or_else(|| metadata.name().to_owned());
    trace::Event::new(name, SystemTime::now(), fields.all, 0)
}

/// The fields of an event as attributes; its message is its name.
struct Attributes {
    message: Option<String>,
    all: Vec<KeyValue>,
}

impl Attributes {
    fn put(&mut self, field: &Field, value: impl Into<opentelemetry::Value>) {
        self.all.push(KeyValue::new(field.name(), value));
    }
}

impl Visit for Attributes {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}");
        if field.name() == "message" {
            self.message = Some(value);
        } else {
            self.put(field, value);
        }
    }
}
