//! Calls of language and embedding models. `model` is the configured name, so there are few.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter};

use super::{counter, in_seconds, seconds, with};

pub(super) struct Instruments {
    tokens: Counter<u64>,
    call: Histogram<f64>,
    first: Histogram<f64>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            tokens: counter(meter, "nooble_models_tokens", "Tokens that models read and wrote"),
            call: seconds(meter, "nooble_models_call", "Duration of calls of a model"),
            first: seconds(meter, "nooble_models_first_token", "From the call to the first piece of the answer"),
        }
    }
}

/// Counts tokens, `input` or `output`.
pub fn tokens(model: &str, direction: &'static str, count: u64) {
    with(|all| all.model.tokens.add(count, &[name(model), KeyValue::new("direction", direction)]));
}

/// Records a call: the operation is `chat` or `embed`, the outcome `ok`, `transient`, `rejected`, `cut_off` …
pub fn called(model: &str, operation: &'static str, outcome: &'static str, took: Duration) {
    with(|all| {
        let labels = [name(model), KeyValue::new("operation", operation), KeyValue::new("outcome", outcome)];
        all.model.call.record(in_seconds(took), &labels);
    });
}

/// Records the time to the first piece of an answer.
pub fn first_token(model: &str, took: Duration) {
    with(|all| all.model.first.record(in_seconds(took), &[name(model)]));
}

fn name(model: &str) -> KeyValue {
    KeyValue::new("model", model.to_owned())
}
