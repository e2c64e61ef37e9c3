//! Shares of tiers, turns of tenants.

use std::collections::HashMap;
use std::time::Duration;

use action::Tier;
use queue::{Config, Limits};

use super::{claimed_of, fill, fill_callbacks, kind};
use crate::bench::{Bench, T0, entry};

#[tokio::test]
async fn weights_that_are_set_while_work_goes_on_rule_the_next_claims() {
    for batch in [1, 7, 64] {
        let bench = Bench::start().await;
        for tier in Tier::ALL {
            fill(&bench, tier, 200).await;
        }
        assert_eq!(claimed_of(&bench, T0, 150, batch).await, [80, 40, 20, 10], "batches of {batch}");
        bench.set(&[("weight:enterprise", "1"), ("weight:professional", "1")]).await;
        bench.set(&[("weight:advance", "1"), ("weight:free", "5")]).await;
        assert_eq!(claimed_of(&bench, T0, 80, batch).await, [10, 10, 10, 50], "batches of {batch}");
        bench.sound().await;
    }
}

#[tokio::test]
async fn claims_of_different_sizes_share_as_exactly_as_equal_ones() {
    let bench = Bench::start().await;
    for tier in Tier::ALL {
        fill(&bench, tier, 300).await;
    }
    let mut shares = [0; 4];
    for size in [1, 14, 2, 13, 3, 12, 4, 11, 5, 10, 6, 9, 7, 8, 45, 30, 120] {
        for (sum, more) in shares.iter_mut().zip(claimed_of(&bench, T0, size, size).await) {
            *sum += more;
        }
    }
    assert_eq!(shares, [160, 80, 40, 20]);
    bench.sound().await;
}

#[tokio::test]
async fn strict_sharing_serves_the_highest_tier_but_for_its_reserve() {
    for batch in [1, 10, 64] {
        let bench = Bench::start().await;
        bench.set(&[("sharing", "strict"), ("reserve", "10")]).await;
        for tier in Tier::ALL {
            fill(&bench, tier, 1_500).await;
        }
        // A tenth of 1500 is shared by weight, 80 : 40 : 20 : 10; the rest belongs to the highest.
        assert_eq!(claimed_of(&bench, T0, 1_500, batch).await, [1_430, 40, 20, 10], "batches of {batch}");
        bench.sound().await;
    }
}

#[tokio::test]
async fn without_a_reserve_a_lower_tier_waits_until_the_higher_ones_are_empty() {
    let bench = Bench::start().await;
    bench.set(&[("sharing", "strict"), ("reserve", "0")]).await;
    for tier in Tier::ALL {
        fill(&bench, tier, 30).await;
    }
    for tier in 0..4 {
        let mut expected = [0; 4];
        expected[tier] = 30;
        assert_eq!(claimed_of(&bench, T0, 30, 4).await, expected);
    }
    bench.sound().await;
}

#[tokio::test]
async fn what_a_tier_had_by_strict_sharing_does_not_count_against_it_later() {
    let bench = Bench::start().await;
    bench.set(&[("sharing", "strict")]).await;
    for tier in Tier::ALL {
        fill(&bench, tier, 1_000).await;
    }
    claimed_of(&bench, T0, 600, 20).await;
    bench.set(&[("sharing", "weighted")]).await;
    assert_eq!(claimed_of(&bench, T0, 150, 15).await, [80, 40, 20, 10]);
    bench.sound().await;
}

#[tokio::test]
async fn callbacks_have_half_of_strictly_shared_slots_whatever_the_batch() {
    for batch in [1, 2, 3, 8] {
        let bench = Bench::start().await;
        bench.set(&[("sharing", "strict")]).await;
        fill(&bench, Tier::Enterprise, 200).await;
        fill_callbacks(&bench, 200).await;
        let (mut callbacks, mut all) = (0, 0);
        while all < 120 {
            let ids = bench.ids(T0, batch).await;
            assert!(all > 0 || ids[0].starts_with("callbacks"), "they go first");
            all += ids.len();
            callbacks += ids.iter().filter(|id| id.starts_with("callbacks")).count();
        }
        assert_eq!((callbacks, all), (60, 120), "batches of {batch}");
        bench.sound().await;
    }
}

#[tokio::test]
async fn a_tier_that_starves_weighs_more_with_its_age_but_never_more_than_four_times() {
    for (age, expected) in [(900, [80, 40, 20, 10]), (2_000, [80, 40, 20, 20]), (60_000, [80, 40, 20, 40])] {
        let slo = Duration::from_secs(1);
        let limits = Limits { ageing: [Duration::ZERO, Duration::ZERO, Duration::ZERO, slo], ..Limits::default() };
        let bench = Bench::start_with(Config { limits, ..Config::default() }).await;
        for tier in Tier::ALL {
            fill(&bench, tier, 300).await;
        }
        // The first claims tell how old the work is.
        claimed_of(&bench, T0, 15, 15).await;
        let many = expected.iter().sum();
        assert_eq!(claimed_of(&bench, T0 + age, many, 1).await, expected, "{age} ms");
        bench.sound().await;
    }
}

#[tokio::test]
async fn tenants_of_a_tier_have_equal_shares_whatever_the_batches_and_however_much_they_send() {
    let bench = Bench::start().await;
    for (tenant, many) in [("noisy", 500), ("busy", 200), ("quiet", 60)] {
        let fresh = |i| entry(&format!("{tenant}-{i}"), tenant, &format!("agent-{}", i % 3), Tier::Advance);
        bench.fill(T0, (0..many).map(fresh).collect()).await;
    }
    let mut shares: HashMap<String, u32> = HashMap::new();
    for batch in [1, 2, 30, 5, 22, 60, 3, 27] {
        for id in bench.ids(T0, batch).await {
            *shares.entry(kind(&id).to_owned()).or_default() += 1;
        }
    }
    // A turn is up to a quantum, and the last one may be under way.
    let quantum = Limits::default().quantum;
    for tenant in ["noisy", "busy", "quiet"] {
        assert!(shares[tenant].abs_diff(50) <= quantum, "{shares:?}");
    }
    bench.sound().await;
}

#[tokio::test]
async fn no_tenant_is_given_more_in_one_go_than_the_quantum() {
    let bench = Bench::start().await;
    bench.set(&[("quantum", "3")]).await;
    for tenant in ["one", "other"] {
        let fresh = |i| entry(&format!("{tenant}-{i}"), tenant, "agent-1", Tier::Free);
        bench.fill(T0, (0..60).map(fresh).collect()).await;
    }
    let ids = bench.ids(T0, 60).await;
    let runs: Vec<usize> = ids.chunk_by(|a, b| kind(a) == kind(b)).map(<[String]>::len).collect();
    assert_eq!(runs, [3; 20], "{ids:?}");
    bench.sound().await;
}

#[tokio::test]
async fn contexts_take_turns_across_claims_of_any_size() {
    let bench = Bench::start().await;
    for context in ["a", "b", "c"] {
        let fresh = |i| entry(&format!("{context}-{i}"), "acme", &format!("agent-{context}"), Tier::Free);
        bench.fill(T0, (0..40).map(fresh).collect()).await;
    }
    let mut ids = Vec::new();
    for batch in [1, 1, 4, 2, 10, 7, 5] {
        ids.extend(bench.ids(T0, batch).await);
        let counts = ["a", "b", "c"].map(|context| ids.iter().filter(|id| kind(id) == context).count());
        assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?} {ids:?}");
    }
    bench.sound().await;
}

#[tokio::test]
async fn whoever_sends_one_at_a_time_is_not_served_before_those_that_wait() {
    let bench = Bench::start().await;
    let patient = |i| entry(&format!("patient-{i}"), "patient", "agent-1", Tier::Free);
    bench.fill(T0, (0..40).map(patient).collect()).await;
    let (mut hasty, mut waits) = (0, false);
    for turn in 0..30 {
        // It leaves with its only action, and is back with the next one before anybody else is served.
        if !waits {
            bench.put(T0, entry(&format!("hasty-{turn}"), "hasty", "agent-1", Tier::Free)).await;
        }
        waits = kind(&bench.ids(T0, 1).await[0]) != "hasty";
        hasty += usize::from(!waits);
    }
    assert!(hasty <= 16, "{hasty} of 30");
    bench.sound().await;
}
