//! Decisions about limits.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};

use super::{counter, with};

pub(super) struct Instruments {
    decisions: Counter<u64>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        Self { decisions: counter(meter, "nooble_quota_decisions", "Requests that were admitted or refused") }
    }
}

/// Counts a decision: `admitted`, `refused_minute`, `refused_day`, `unavailable`.
pub fn decided(tier: &'static str, outcome: &'static str) {
    with(|all| all.limit.decisions.add(1, &[KeyValue::new("tier", tier), KeyValue::new("outcome", outcome)]));
}
