//! Sessions: who is connected, what is written and pushed.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter, UpDownCounter};

use super::{counter, level, with};

pub(super) struct Instruments {
    connections: UpDownCounter<i64>,
    appended: Counter<u64>,
    pushed: Counter<u64>,
    gaps: Counter<u64>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            connections: level(meter, "nooble_session_connections", "Clients that follow a session"),
            appended: counter(meter, "nooble_session_appended", "Frames that were appended to a log"),
            pushed: counter(meter, "nooble_session_frames", "Frames that were pushed to a client"),
            gaps: counter(meter, "nooble_session_gaps", "Frames lost to a client that were told as a gap"),
        }
    }
}

/// Adds to the number of connected clients by transport (`websocket`, `sse`, `grpc`): 1 at the start, -1 at the end.
pub fn connections(transport: &'static str, change: i64) {
    with(|all| all.session.connections.add(change, &[KeyValue::new("transport", transport)]));
}

/// Counts frames that were appended to a log, by kind (`agent_delta`, `agent_response` …).
pub fn appended(kind: &'static str) {
    with(|all| all.session.appended.add(1, &[KeyValue::new("kind", kind)]));
}

/// Counts a frame that was pushed to a client, by kind.
pub fn pushed(kind: &'static str) {
    with(|all| all.session.pushed.add(1, &[KeyValue::new("kind", kind)]));
}

/// Counts a gap that a client was told about.
pub fn gap() {
    with(|all| all.session.gaps.add(1, &[]));
}
