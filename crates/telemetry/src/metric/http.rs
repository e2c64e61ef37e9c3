//! Requests at the HTTP edge: rate, errors, duration.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, Meter, UpDownCounter};

use super::{in_seconds, level, seconds, with};

pub(super) struct Instruments {
    duration: Histogram<f64>,
    active: UpDownCounter<i64>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            duration: seconds(meter, "http.server.request.duration", "Duration of HTTP requests"),
            active: level(meter, "http.server.active_requests", "HTTP requests that are being answered"),
        }
    }
}

/// Records a request that was answered. `route` is the template (`/api/v1/tasks/{id}`), never the path.
pub fn finished(method: &'static str, route: &str, status: u16, took: Duration) {
    with(|all| {
        let labels = [
            KeyValue::new("http.request.method", method),
            KeyValue::new("http.route", route.to_owned()),
            KeyValue::new("http.response.status_code", i64::from(status)),
        ];
        all.http.duration.record(in_seconds(took), &labels);
    });
}

/// Adds to the number of requests that are being answered: 1 at the start, -1 at the end.
pub fn active(change: i64) {
    with(|all| all.http.active.add(change, &[]));
}
