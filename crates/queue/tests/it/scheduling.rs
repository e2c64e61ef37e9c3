//! Who is served when: shares, bounds, turns, caps, pauses.

mod bounds;
mod shares;
mod stops;

use action::Tier;
use queue::engine::Entry;

use crate::bench::{Bench, T0, callback, entry};

/// Gives a tier this many actions of one tenant.
async fn fill(bench: &Bench, tier: Tier, many: usize) {
    let fresh = |i| entry(&format!("{tier}-{i}"), "acme", "agent-1", tier);
    bench.fill(T0, (0..many).map(fresh).collect::<Vec<Entry>>()).await;
}

async fn fill_callbacks(bench: &Bench, many: usize) {
    bench.fill(T0, (0..many).map(|i| callback(&format!("callbacks-{i}"), "acme", Tier::Free)).collect()).await;
}

/// The first part of an id: a tier, or a tenant.
fn kind(id: &str) -> &str {
    id.split('-').next().expect("an id has parts")
}

/// Claims `many` actions, `batch` at a time, and counts them by tier.
async fn claimed_of(bench: &Bench, now: u64, many: usize, batch: usize) -> [usize; 4] {
    let (mut shares, mut left) = ([0; 4], many);
    while left > 0 {
        let ids = bench.ids(now, batch.min(left)).await;
        assert!(!ids.is_empty(), "too little work");
        for id in ids {
            let place = Tier::ALL.iter().position(|tier| tier.as_str() == kind(&id));
            shares[place.expect("an action of a tier")] += 1;
            left -= 1;
        }
    }
    shares
}
