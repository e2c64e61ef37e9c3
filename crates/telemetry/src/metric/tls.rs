//! Certificates that this process shows.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Gauge, Meter};

use super::with;

pub(super) struct Instruments {
    expiry: Gauge<f64>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        let expiry = meter.f64_gauge("nooble_tls_certificate_expiry").with_unit("s");
        Self { expiry: expiry.with_description("Time until a certificate expires, negative afterwards").build() }
    }
}

/// Shows the seconds until a certificate (`edge`, `mesh`) expires.
pub fn expiry(certificate: &'static str, seconds: f64) {
    with(|all| all.tls.expiry.record(seconds, &[KeyValue::new("certificate", certificate)]));
}
