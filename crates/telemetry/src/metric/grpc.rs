//! Calls between services: rate, errors, duration, seen from both sides.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundHistogram, Histogram, Meter};

use super::bound::Bound;
use super::{in_seconds, seconds, with};

pub(super) struct Instruments {
    server: Durations,
    client: Durations,
}

struct Durations {
    all: Histogram<f64>,
    bound: Bound<BoundHistogram<f64>>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        let durations =
            |name, description| Durations { all: seconds(meter, name, description), bound: Bound::default() };
        Self {
            server: durations("rpc.server.call.duration", "Duration of gRPC calls that were answered"),
            client: durations("rpc.client.call.duration", "Duration of gRPC calls that were made"),
        }
    }
}

impl Durations {
    fn record(&self, method: &str, code: &'static str, took: Duration) {
        let labels =
            || [KeyValue::new("rpc.method", method.to_owned()), KeyValue::new("rpc.response.status_code", code)];
        self.bound.with(method, (code, 0), || self.all.bind(&labels()), |bound| bound.record(in_seconds(took)));
    }
}

/// Records a call that was answered. `method` is `service/method` of a known service; `code` is its gRPC code's name.
pub fn answered(method: &str, code: &'static str, took: Duration) {
    with(|all| all.grpc.server.record(method, code, took));
}

/// Records a call that was made, `method` and `code` as in [`answered`].
pub fn called(method: &str, code: &'static str, took: Duration) {
    with(|all| all.grpc.client.record(method, code, took));
}
