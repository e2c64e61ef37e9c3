//! Warnings into the traces that are kept.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::Span;
use crate::export::{Event, Scalar};

/// Adds what goes wrong to the span that it happened in; an error fails the span. [`crate::filter::traces`] belongs before it.
#[derive(Debug)]
pub(crate) struct Warnings;

impl<S: Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        // Not lent: what is written about may be within spans of its own.
        let span = Span::current();
        span.add(|| happened(event));
        if *event.metadata().level() == Level::ERROR {
            span.fail("");
        }
    }
}

fn happened(event: &tracing::Event<'_>) -> Event {
    let metadata = event.metadata();
    let mut fields = Attributes { has_message: false, event: Event::now() };
    fields.event.set("level", Scalar::Text(metadata.level().as_str()));
    fields.event.set("target", Scalar::Text(metadata.target()));
    event.record(&mut fields);
    if !fields.has_message {
        fields.event.name(metadata.name());
    }
    fields.event
}

/// The fields of an event as attributes; its message is its name.
struct Attributes {
    has_message: bool,
    event: Event,
}

impl Visit for Attributes {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.event.set(field.name(), Scalar::Float(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.event.set(field.name(), Scalar::Number(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.event.set(field.name(), Scalar::Flag(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.event.set(field.name(), Scalar::Text(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}");
        if field.name() == "message" {
            self.event.name(&value);
            self.has_message = true;
        } else {
            self.event.set(field.name(), Scalar::Text(&value));
        }
    }
}
