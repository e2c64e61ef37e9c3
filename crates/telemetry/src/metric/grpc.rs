//! Calls between services: rate, errors, duration, seen from both sides.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, Meter};

use super::{in_seconds, seconds, with};

pub(super) struct Instruments {
    server: Histogram<f64>,
    client: Histogram<f64>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            server: seconds(meter, "rpc.server.call.duration", "Duration of gRPC calls that were answered"),
            client: seconds(meter, "rpc.client.call.duration", "Duration of gRPC calls that were made"),
        }
    }
}

/// Records a call that was answered. `method` is `service/method` of a known service; `code` is its gRPC code's name.
pub fn answered(method: &str, code: &'static str, took: Duration) {
    with(|all| all.grpc.server.record(in_seconds(took), &labels(method, code)));
}

/// Records a call that was made, `method` and `code` as in [`answered`].
pub fn called(method: &str, code: &'static str, took: Duration) {
    with(|all| all.grpc.client.record(in_seconds(took), &labels(method, code)));
}

fn labels(method: &str, code: &'static str) -> [KeyValue; 2] {
    [KeyValue::new("rpc.method", method.to_owned()), KeyValue::new("rpc.response.status_code", code)]
}
