//! Traces on their way to the collector.

use opentelemetry::metrics::{Counter, Meter};

use super::with;

pub(super) struct Instruments {
    lost: Counter<u64>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        let lost = meter.u64_counter("nooble_telemetry_spans_lost");
        let lost = lost.with_description("Spans of kept traces that no collector took").build();
        // There from the start, so that the first loss is an increase.
        lost.add(0, &[]);
        Self { lost }
    }
}

/// Counts spans that were not sent, because the collector was away or would not have them.
pub(crate) fn lost(spans: u64) {
    with(|all| all.trace.lost.add(spans, &[]));
}
