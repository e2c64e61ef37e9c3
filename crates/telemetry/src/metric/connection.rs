//! Connections that were not taken, or given up.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};

use super::{counter, with};

pub(super) struct Instruments {
    refused: Counter<u64>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        Self { refused: counter(meter, "nooble_connection_refused", "Connections that were closed, by why") }
    }
}

/// Counts a connection to a port (`http`, `grpc`) that was closed: `places` (there are too many), `handshake` (its TLS failed or
/// took too long), `late` (its client took too long).
pub fn refused(port: &'static str, why: &'static str) {
    with(|all| all.connection.refused.add(1, &[KeyValue::new("port", port), KeyValue::new("why", why)]));
}
