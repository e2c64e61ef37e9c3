//! What keeps somebody from being served, and how it ends: caps and pauses.

use std::time::Duration;

use action::Tier;
use queue::engine::{Cancelled, Settled};
use queue::{Config, Limits};

use super::{fill, kind};
use crate::bench::{Bench, T0, callback, done, entry, retry};

async fn capped(cap: u64) -> Bench {
    let limits = Limits { tenant_in_flight: cap, ..Limits::default() };
    Bench::start_with(Config { limits, ..Config::default() }).await
}

#[tokio::test]
async fn no_tenant_has_more_leases_than_its_cap_and_others_take_what_is_free() {
    let bench = capped(2).await;
    for (tenant, tier) in [("acme", Tier::Enterprise), ("acme", Tier::Free), ("bolt", Tier::Free)] {
        let fresh = |i| entry(&format!("{tenant}-{tier}-{i}"), tenant, "agent-1", tier);
        bench.fill(T0, (0..6).map(fresh).collect()).await;
    }
    let leased = bench.claim(T0, 10).await;
    let of = |tenant: &str| leased.iter().filter(|leased| kind(&leased.id) == tenant).count();
    assert_eq!((of("acme"), of("bolt")), (2, 2), "over all tiers together");
    assert!(bench.claim(T0, 10).await.is_empty());
    bench.sound().await;
    // Every way to end a lease makes room for one more: an end, a retry, a crash.
    let acme: Vec<_> = leased.into_iter().filter(|leased| kind(&leased.id) == "acme").collect();
    assert_eq!(bench.settle(T0, done(&acme[0])).await, Settled::Ok);
    let next = bench.claim(T0, 10).await;
    assert_eq!(next.len(), 1);
    assert_eq!(bench.settle(T0, retry(&next[0], 60_000)).await, Settled::Ok);
    assert_eq!(bench.claim(T0, 10).await.len(), 1);
    assert_eq!(bench.claim(T0 + 10_000, 10).await.len(), 4, "all leases were lost");
    bench.sound().await;
}

#[tokio::test]
async fn what_ends_instead_of_being_leased_takes_no_room_of_its_tenant() {
    let bench = capped(1).await;
    for id in ["a", "b"] {
        bench.put(T0, entry(id, "acme", "agent-1", Tier::Free)).await;
    }
    assert_eq!(bench.engine.cancel(T0, "a", Some("acme"), "enough").await.unwrap(), Cancelled::Done);
    // The first thing taken is what is left of the cancelled one; nobody's lease will end to let the second one go.
    assert_eq!(bench.ids(T0, 5).await, ["b"]);
    bench.sound().await;
}

#[tokio::test]
async fn a_tenant_at_its_cap_goes_on_when_the_limit_rises_or_goes() {
    let bench = capped(1).await;
    fill(&bench, Tier::Free, 10).await;
    assert_eq!(bench.ids(T0, 5).await.len(), 1);
    assert_eq!(bench.redis.command(&["LLEN", "{nq:execution:0}:wake"]), "0", "nobody is woken for what may not run");
    bench.engine.control(&[("cap", "acme".to_owned(), "3".to_owned())]).await.unwrap();
    assert_eq!(bench.redis.command(&["LLEN", "{nq:execution:0}:wake"]), "1");
    assert_eq!(bench.ids(T0, 5).await.len(), 2, "its own cap is 3");
    bench.engine.control(&[("cap", "acme".to_owned(), String::new())]).await.unwrap();
    assert!(bench.ids(T0, 5).await.is_empty(), "the domain's is 1 again");
    bench.set(&[("cap", "0")]).await;
    assert_eq!(bench.ids(T0, 50).await.len(), 7, "there is none any more");
    bench.sound().await;
}

#[tokio::test]
async fn a_pause_stops_a_tier_a_tenant_or_all_and_nothing_else() {
    let bench = Bench::start().await;
    let ways =
        [("cfg", "pause:free", ["bolt-e"].as_slice()), ("pt", "acme", &["bolt-e", "bolt-f"]), ("cfg", "pause", &[])];
    for (hash, field, expected) in ways {
        bench.redis.command(&["FLUSHALL"]);
        bench.put(T0, entry("acme-f", "acme", "agent-1", Tier::Free)).await;
        bench.put(T0, entry("bolt-e", "bolt", "agent-1", Tier::Enterprise)).await;
        bench.put(T0, entry("bolt-f", "bolt", "agent-1", Tier::Free)).await;
        bench.engine.control(&[(hash, field.to_owned(), "1".to_owned())]).await.unwrap();
        assert_eq!(bench.ids(T0, 5).await, expected, "{field}");
        // New work of what is paused waits as well.
        bench.put(T0, entry("acme-g", "acme", "agent-2", Tier::Free)).await;
        assert!(bench.ids(T0, 5).await.is_empty(), "{field}");
        bench.sound().await;
        bench.engine.control(&[(hash, field.to_owned(), String::new())]).await.unwrap();
        assert_eq!(bench.ids(T0, 5).await.len(), 4 - expected.len(), "{field}");
        bench.sound().await;
    }
}

#[tokio::test]
async fn time_goes_on_for_what_is_paused() {
    let bench = Bench::start().await;
    bench.engine.control(&[("pt", "acme".to_owned(), "1".to_owned())]).await.unwrap();
    let patience = Some(Duration::from_secs(5));
    bench.put(T0, queue::engine::Entry { patience, ..entry("a", "acme", "agent-1", Tier::Free) }).await;
    assert!(bench.ids(T0, 5).await.is_empty());
    assert_eq!(bench.engine.tick(T0 + 5_000).await.unwrap().tiers[3].waiting, 0, "it waited too long");
    bench.sound().await;
}

#[tokio::test]
async fn outcomes_are_told_whatever_is_paused_or_capped_of_their_tenant() {
    let bench = capped(1).await;
    bench.engine.control(&[("pt", "bolt".to_owned(), "1".to_owned())]).await.unwrap();
    for tenant in ["acme", "bolt"] {
        for i in 0..3 {
            bench.put(T0, entry(&format!("{tenant}-{i}"), tenant, "agent-1", Tier::Free)).await;
            bench.put(T0, callback(&format!("{tenant}-told-{i}"), tenant, Tier::Free)).await;
        }
    }
    let ids = bench.ids(T0, 20).await;
    assert_eq!(ids.iter().filter(|id| id.contains("told")).count(), 6, "{ids:?}");
    assert_eq!(ids.len(), 7, "and one action of the tenant that is not paused: {ids:?}");
    bench.sound().await;
}

async fn waiting(bench: &Bench, tenant: &str, many: usize) {
    let fresh = |i| entry(&format!("{tenant}-{i:03}"), tenant, "agent-1", Tier::Free);
    bench.fill(T0, (0..many).map(fresh).collect()).await;
}

#[tokio::test]
async fn who_was_paused_for_long_has_saved_nothing_up() {
    let bench = Bench::start().await;
    waiting(&bench, "acme", 40).await;
    waiting(&bench, "bolt", 100).await;
    bench.engine.control(&[("pt", "acme".to_owned(), "1".to_owned())]).await.unwrap();
    for _ in 0..15 {
        assert!(bench.ids(T0, 4).await.iter().all(|id| kind(id) == "bolt"));
    }
    bench.engine.control(&[("pt", "acme".to_owned(), String::new())]).await.unwrap();
    let after = bench.ids(T0, 24).await;
    let acme = after.iter().filter(|id| kind(id) == "acme").count();
    assert!((8..=16).contains(&acme), "acme had {acme} of 24 after its pause");
    bench.sound().await;
}

#[tokio::test]
async fn who_has_nothing_for_a_moment_is_not_served_again_at_once_also_when_time_passes_in_between() {
    let bench = Bench::start().await;
    waiting(&bench, "acme", 4).await;
    waiting(&bench, "bolt", 20).await;
    assert!(bench.ids(T0, 4).await.iter().all(|id| kind(id) == "acme"));
    bench.engine.tick(T0).await.unwrap();
    let fresh = |i| entry(&format!("acme-again-{i}"), "acme", "agent-1", Tier::Free);
    bench.fill(T0, (0..4).map(fresh).collect()).await;
    assert!(bench.ids(T0, 4).await.iter().all(|id| kind(id) == "bolt"), "it is the other one's turn");
    bench.sound().await;
}
