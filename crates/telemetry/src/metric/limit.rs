//! Decisions about limits.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, Counter, Meter, UpDownCounter};

use super::bound::Bound;
use super::{counter, level, with};

pub(super) struct Instruments {
    decisions: Counter<u64>,
    of_outcome: Bound<BoundCounter<u64>>,
    near: Counter<u64>,
    degraded: UpDownCounter<i64>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            decisions: counter(meter, "nooble_quota_decisions", "Requests that were admitted or refused"),
            of_outcome: Bound::default(),
            near: counter(meter, "nooble_quota_near_limit", "Admitted requests that left less than a fifth of a limit"),
            degraded: level(meter, "nooble_quota_degraded", "1 while this process decides without Redis"),
        }
    }
}

/// Counts a decision: `admitted`, `admitted_degraded`, `unlimited`, `refused_minute`, `refused_day`, `refused_session`,
/// `refused_agent`, `refused_address`, `refused_tokens`, `refused_tasks`, `refused_visits`, `refused_local` (known without asking), `unavailable`.
pub fn decided(tier: &'static str, outcome: &'static str) {
    with(|all| {
        let bind = || all.limit.decisions.bind(&[KeyValue::new("tier", tier), KeyValue::new("outcome", outcome)]);
        all.limit.of_outcome.with(tier, (outcome, 0), bind, |bound| bound.add(1));
    });
}

/// Counts an admitted request after which less than a fifth of a limit is left.
pub fn near(tier: &'static str, policy: &'static str) {
    with(|all| all.limit.near.add(1, &[KeyValue::new("tier", tier), KeyValue::new("policy", policy)]));
}

/// Notes that a process began, or ceased, to decide without Redis.
pub fn degraded(begun: bool) {
    with(|all| all.limit.degraded.add(if begun { 1 } else { -1 }, &[]));
}
