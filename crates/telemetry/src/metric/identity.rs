//! Who was let in, and where what is known about it comes from.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundCounter, Counter, Meter, UpDownCounter};

use super::bound::Bound;
use super::{counter, level, with};

pub(super) struct Instruments {
    credentials: Counter<u64>,
    of_outcome: Bound<BoundCounter<u64>>,
    accesses: Counter<u64>,
    fetches: Counter<u64>,
    connections: UpDownCounter<i64>,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            credentials: counter(meter, "nooble_identity_credentials", "Credentials that were accepted or refused"),
            of_outcome: Bound::default(),
            accesses: counter(meter, "nooble_identity_accesses", "Accesses that were not remembered by the process"),
            fetches: counter(meter, "nooble_identity_key_fetches", "Fetches of the keys of an issuer of tokens"),
            connections: level(meter, "nooble_identity_changes_connected", "Whether changes are heard of at once"),
        }
    }
}

/// Counts a credential, a `key` or a `token`: `accepted`, `expired`, `refused`, `unavailable`.
pub fn presented(credential: &'static str, outcome: &'static str) {
    with(|all| {
        let labels = || [KeyValue::new("credential", credential), KeyValue::new("outcome", outcome)];
        let bind = || all.identity.credentials.bind(&labels());
        all.identity.of_outcome.with(credential, (outcome, 0), bind, |bound| bound.add(1));
    });
}

/// Counts an access to an `agent` or a `collection` by who knew the answer: `redis`, `management`, `kept` while management is
/// away, `nobody`.
pub fn access(kind: &'static str, source: &'static str) {
    with(|all| all.identity.accesses.add(1, &[KeyValue::new("kind", kind), KeyValue::new("source", source)]));
}

/// Counts a fetch of keys: `fetched`, `failed`.
pub fn keys_fetched(outcome: &'static str) {
    with(|all| all.identity.fetches.add(1, &[KeyValue::new("outcome", outcome)]));
}

/// Adds a connection on which changes are heard of, or takes one away.
pub fn changes_connected(change: i64) {
    with(|all| all.identity.connections.add(change, &[]));
}
