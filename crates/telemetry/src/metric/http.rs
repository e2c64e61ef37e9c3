//! Requests at the HTTP edge: rate, errors, duration.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundHistogram, Histogram, Meter, ObservableUpDownCounter};

use super::bound::Bound;
use super::{in_seconds, seconds, with};

/// Looked at when somebody asks, because it changes twice a request.
static ACTIVE: AtomicI64 = AtomicI64::new(0);

pub(super) struct Instruments {
    duration: Histogram<f64>,
    durations: Bound<BoundHistogram<f64>>,
    _active: ObservableUpDownCounter<i64>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            duration: seconds(meter, "http.server.request.duration", "Duration of HTTP requests"),
            durations: Bound::default(),
            _active: meter
                .i64_observable_up_down_counter("http.server.active_requests")
                .with_description("HTTP requests that are being answered")
                .with_callback(|gauge| gauge.observe(ACTIVE.load(Ordering::Relaxed), &[]))
                .build(),
        }
    }
}

/// Records a request that was answered. `route` is the template (`/api/v1/tasks/{id}`), never the path.
pub fn finished(method: &'static str, route: &str, status: u16, took: Duration) {
    with(|all| {
        let bind = || {
            all.http.duration.bind(&[
                KeyValue::new("http.request.method", method),
                KeyValue::new("http.route", route.to_owned()),
                KeyValue::new("http.response.status_code", i64::from(status)),
            ])
        };
        all.http.durations.with(route, (method, status), bind, |bound| bound.record(in_seconds(took)));
    });
}

/// Adds to the number of requests that are being answered: 1 at the start, -1 at the end.
pub fn active(change: i64) {
    ACTIVE.fetch_add(change, Ordering::Relaxed);
}
