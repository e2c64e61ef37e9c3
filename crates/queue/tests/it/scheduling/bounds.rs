//! How long anybody waits at most: the starvation bounds that the crate's README states.
//!
//! Gaps are counted in actions that were claimed, those of callbacks included.

use action::Tier;

use super::{fill, fill_callbacks, kind};
use crate::bench::{Bench, T0, entry};

const WEIGHTS: [usize; 4] = [8, 4, 2, 1];

/// Claims one by one and returns the longest gap before an action of each tier.
async fn longest_gaps(bench: &Bench, many: usize) -> [usize; 4] {
    let (mut last, mut gaps) = ([0; 4], [0; 4]);
    for turn in 1..=many {
        let ids = bench.ids(T0, 1).await;
        if let Some(place) = Tier::ALL.iter().position(|tier| tier.as_str() == kind(&ids[0])) {
            gaps[place] = gaps[place].max(turn - last[place]);
            last[place] = turn;
        }
    }
    for place in 0..4 {
        gaps[place] = gaps[place].max(many - last[place]);
    }
    gaps
}

/// Weighted sharing: ⌈ΣW / W⌉ + 3.
fn bound(place: usize) -> usize {
    WEIGHTS.iter().sum::<usize>().div_ceil(WEIGHTS[place]) + 3
}

#[tokio::test]
async fn with_weighted_sharing_a_tier_waits_for_a_bounded_number_of_claims() {
    // Tiers that come while others are at work are what makes the gap longer than the share alone: all orders of arrival.
    for first in Tier::ALL {
        let bench = Bench::start().await;
        fill(&bench, first, 300).await;
        longest_gaps(&bench, 20).await;
        for tier in Tier::ALL.into_iter().filter(|tier| *tier != first) {
            fill(&bench, tier, 300).await;
        }
        let gaps = longest_gaps(&bench, 300).await;
        for (place, gap) in gaps.into_iter().enumerate() {
            assert!(gap <= bound(place), "{} waited for {gap} of {} claims", Tier::ALL[place], bound(place));
        }
        bench.sound().await;
    }
}

#[tokio::test]
async fn with_callbacks_that_wait_the_bound_is_twice_as_long() {
    let bench = Bench::start().await;
    for tier in Tier::ALL {
        fill(&bench, tier, 300).await;
    }
    fill_callbacks(&bench, 400).await;
    for (place, gap) in longest_gaps(&bench, 600).await.into_iter().enumerate() {
        assert!(gap <= 2 * bound(place), "{} waited for {gap} of {} claims", Tier::ALL[place], 2 * bound(place));
    }
    bench.sound().await;
}

/// Strict sharing with a reserve of r %: one slot in ⌈100 / r⌉ is shared by weight, and among those slots the bound is that of
/// weighted sharing, so a tier below the highest waits at most (⌈ΣW / W⌉ + 3) · ⌈100 / r⌉ claims. Callbacks take half of the
/// slots before the reserve is counted: twice as many.
#[tokio::test]
async fn with_strict_sharing_the_reserve_bounds_how_long_a_tier_waits() {
    for (reserve, callbacks) in [(5, false), (20, false), (20, true), (30, false)] {
        let bench = Bench::start().await;
        bench.set(&[("sharing", "strict"), ("reserve", &reserve.to_string())]).await;
        for tier in Tier::ALL {
            fill(&bench, tier, 1_000).await;
        }
        if callbacks {
            fill_callbacks(&bench, 500).await;
        }
        let times = 100_usize.div_ceil(reserve) * if callbacks { 2 } else { 1 };
        let many = if callbacks || reserve == 5 { 800 } else { 500 };
        for (place, gap) in longest_gaps(&bench, many).await.into_iter().enumerate().skip(1) {
            let bound = times * bound(place);
            assert!(gap <= bound, "{}: {gap} of {bound} claims, reserve {reserve}", Tier::ALL[place]);
        }
        bench.sound().await;
    }
}

#[tokio::test]
async fn a_tenant_of_many_is_served_within_the_turns_of_all_of_them() {
    const TENANTS: usize = 12;
    let bench = Bench::start().await;
    for tier in [Tier::Enterprise, Tier::Professional, Tier::Advance] {
        fill(&bench, tier, 400).await;
    }
    for tenant in 0..TENANTS {
        let fresh = |i| entry(&format!("tenant{tenant}-{i}"), &format!("tenant{tenant}"), "agent-1", Tier::Free);
        bench.fill(T0, (0..20).map(fresh).collect()).await;
    }
    // M · ⌈ΣW / W⌉: every tenant of the free tier once in 15 · 12 claims.
    let mut last = [0; TENANTS];
    for turn in 1..=600 {
        let ids = bench.ids(T0, 1).await;
        if let Some(tenant) = kind(&ids[0]).strip_prefix("tenant") {
            last[tenant.parse::<usize>().unwrap()] = turn;
        }
        assert!(last.iter().all(|last| turn - last <= 15 * TENANTS), "{turn}: {last:?}");
    }
    bench.sound().await;
}
