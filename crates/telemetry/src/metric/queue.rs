//! What the tier queues do. `domain`, `tier` and `outcome` are the words of the vocabulary.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter};

use super::{counter, in_seconds, seconds, with};

pub(super) struct Instruments {
    enqueued: Counter<u64>,
    claimed: Counter<u64>,
    settled: Counter<u64>,
    wait: Histogram<f64>,
    run: Histogram<f64>,
    script: Histogram<f64>,
    refused: Counter<u64>,
    replies_dropped: Counter<u64>,
    waiting: Gauge<u64>,
    oldest: Gauge<f64>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            enqueued: counter(meter, "nooble_queue_enqueued", "Actions that were put into a queue"),
            claimed: counter(meter, "nooble_queue_claimed", "Actions that a worker took"),
            settled: counter(meter, "nooble_queue_settled", "Deliveries that ended, by how"),
            wait: seconds(meter, "nooble_queue_wait", "From becoming visible to the claim"),
            run: seconds(meter, "nooble_queue_run", "From the claim to the settling"),
            script: seconds(meter, "nooble_queue_script", "Round trip of a script to Redis"),
            refused: counter(meter, "nooble_queue_refused", "Actions that a full queue, tenant or tier refused"),
            replies_dropped: counter(meter, "nooble_queue_replies_dropped", "Replies whose inbox nobody reads"),
            waiting: meter.u64_gauge("nooble_queue_waiting").with_description("Actions that wait").build(),
            oldest: meter
                .f64_gauge("nooble_queue_oldest")
                .with_unit("s")
                .with_description("Age of the oldest waiting action that was looked at")
                .build(),
        }
    }
}

/// Counts an action that became visible in a queue.
pub fn enqueued(domain: &'static str, tier: &'static str) {
    with(|all| all.queue.enqueued.add(1, &labels(domain, tier)));
}

/// Counts an action that a worker took.
pub fn claimed(domain: &'static str, tier: &'static str) {
    with(|all| all.queue.claimed.add(1, &labels(domain, tier)));
}

/// Counts a delivery that ended: `completed`, `failed`, `timeout`, `cancelled`, `retried`, `released`, `stale`, `dead` …
pub fn settled(domain: &'static str, tier: &'static str, outcome: &'static str) {
    let [domain, tier] = labels(domain, tier);
    with(|all| all.queue.settled.add(1, &[domain, tier, KeyValue::new("outcome", outcome)]));
}

/// Records how long an action waited until it was claimed.
pub fn wait(domain: &'static str, tier: &'static str, waited: Duration) {
    with(|all| all.queue.wait.record(in_seconds(waited), &labels(domain, tier)));
}

/// Records how long a delivery ran until it was settled.
pub fn run(domain: &'static str, tier: &'static str, ran: Duration) {
    with(|all| all.queue.run.record(in_seconds(ran), &labels(domain, tier)));
}

/// Counts an action that was refused because something was full.
pub fn refused(domain: &'static str, tier: &'static str) {
    with(|all| all.queue.refused.add(1, &labels(domain, tier)));
}

/// Counts a reply that nobody awaits any more.
pub fn reply_dropped(domain: &'static str) {
    with(|all| all.queue.replies_dropped.add(1, &[KeyValue::new("domain", domain)]));
}

/// Shows how many actions wait, and how old the oldest is.
pub fn depth(domain: &'static str, tier: &'static str, waiting: u64, oldest: Duration) {
    with(|all| {
        all.queue.waiting.record(waiting, &labels(domain, tier));
        all.queue.oldest.record(in_seconds(oldest), &labels(domain, tier));
    });
}

/// Records the round trip of a script.
pub fn script(name: &'static str, took: Duration) {
    with(|all| all.queue.script.record(in_seconds(took), &[KeyValue::new("script", name)]));
}

fn labels(domain: &'static str, tier: &'static str) -> [KeyValue; 2] {
    [KeyValue::new("domain", domain), KeyValue::new("tier", tier)]
}
