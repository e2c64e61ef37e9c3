//! Pauses, purges, limits, options.

use std::time::{Duration, SystemTime};

use action::{Domain, Status, Tier, time};
use fault::Fault as _;
use proto::queue::v1::{DomainLimits, Sharing, TenantLimits, TierLimits};
use queue::{Error, Options, When};

use super::{queries, queries_of};
use crate::setup::{PATIENCE, Setup, search, search_by, searcher, tenant};

#[tokio::test]
async fn what_is_paused_waits_and_says_so_and_goes_on_when_it_is_resumed() {
    let mut setup = Setup::start().await;
    let (acme, bolt) = (tenant("acme"), tenant("bolt"));
    setup.run(searcher(&setup.queue, 4));
    for selection in [queries(), queries_of(Some(Tier::Free), None), queries_of(None, Some(&acme))] {
        setup.queue.pause(&selection).await.unwrap();
        let (held, since) = (search(&acme, Tier::Free, "1"), std::time::Instant::now());
        setup.queue.submit(held.clone()).await.unwrap();
        if selection.domain == Domain::Query && (selection.tier.is_some() || selection.tenant.is_some()) {
            let other = search(&bolt, Tier::Enterprise, "2");
            setup.queue.submit(other.clone()).await.unwrap();
            assert_eq!(setup.ended(&bolt, other.task).await.status(), Status::Completed, "others go on");
        }
        let stats = setup.queue.stats(Domain::Query).await.unwrap();
        assert_eq!(stats.paused, selection == queries());
        assert_eq!(stats.tiers[3].paused, selection.tier.is_some());
        assert_eq!(stats.tiers[3].waiting, 1);
        let oldest = async || {
            let stats = setup.queue.stats(Domain::Query).await.unwrap();
            stats.tiers[3].oldest.as_ref().and_then(action::time::duration_from_proto).unwrap()
        };
        testkit::eventually(PATIENCE, || async { oldest().await >= Duration::from_millis(20) }).await;
        let asked = oldest().await;
        assert!(asked <= since.elapsed() + Duration::from_millis(1), "{asked:?} of {:?}", since.elapsed());
        setup.queue.resume(&selection).await.unwrap();
        assert_eq!(setup.ended(&acme, held.task).await.status(), Status::Completed);
    }
    let both = setup.queue.pause(&queries_of(Some(Tier::Free), Some(&acme))).await.unwrap_err();
    assert!(matches!(both, Error::Field { field: "selection", .. }));
    setup.finish().await;
}

#[tokio::test]
async fn a_purge_ends_what_waits_and_what_is_delayed_with_records_and_callbacks() {
    let mut setup = Setup::start().await;
    let outcomes = setup.collect();
    let (acme, bolt) = (tenant("acme"), tenant("bolt"));
    let later = Options { when: When::After(Duration::from_hours(1)), ..Options::default() };
    let (now, delayed) = (search(&acme, Tier::Free, "1"), search(&acme, Tier::Free, "2"));
    let (elsewhere, others) = (search_by("agent-2", &acme, Tier::Free, "3"), search(&bolt, Tier::Free, "4"));
    setup.queue.submit(now.clone()).await.unwrap();
    setup.queue.submit_with(delayed.clone(), &later).await.unwrap();
    setup.queue.submit(elsewhere.clone()).await.unwrap();
    setup.queue.submit(others.clone()).await.unwrap();
    let context = "agent-1".parse().unwrap();
    let purged = setup.queue.purge(&queries_of(None, Some(&acme)), Some(&context), "moved\naway").await.unwrap();
    assert_eq!(purged, 2);
    for task in [now.task, delayed.task] {
        let task = setup.ended(&acme, task).await;
        assert_eq!(task.status(), Status::Cancelled);
    }
    testkit::eventually(PATIENCE, || async { outcomes.lock().unwrap().len() == 2 }).await;
    assert_eq!(setup.queue.purge(&queries(), None, "all").await.unwrap(), 2, "the rest");
    assert_eq!(setup.queue.purge(&queries(), None, "all").await.unwrap(), 0);
    testkit::eventually(PATIENCE, || async { outcomes.lock().unwrap().len() == 4 }).await;
    let stats = setup.queue.stats(Domain::Query).await.unwrap();
    assert_eq!((stats.tiers[3].waiting, stats.delayed), (0, 0));
    setup.finish().await;
}

#[tokio::test]
async fn a_purge_finds_everybody_also_behind_many_that_are_at_their_cap() {
    let setup = Setup::start().await;
    let connection = broker::Redis::connect(&setup.redis.url()).await.unwrap();
    let limits = queue::Limits { tenant_in_flight: 1, ..queue::Limits::default() };
    let config = queue::Config { limits, ..queue::Config::default() };
    let engine = queue::engine::Engine::new(connection, Domain::Query, 0, std::sync::Arc::new(config));
    // 120 tenants of a higher tier and one of the free tier have one lease each, and one more action that waits.
    for round in 0..2 {
        let fresh = |i| {
            let tier = if i == 120 { Tier::Free } else { Tier::Advance };
            crate::bench::entry(&format!("{i}-{round}"), &format!("tenant-{i:03}"), "agent-1", tier)
        };
        engine.submit(0, &(0..=120).map(fresh).collect::<Vec<_>>()).await.unwrap();
    }
    while !engine.claim(0, 64).await.unwrap().leased.is_empty() {}
    assert_eq!(setup.queue.stats(Domain::Query).await.unwrap().tiers[3].parked, 1);
    assert_eq!(setup.queue.purge(&queries_of(Some(Tier::Free), None), None, "enough").await.unwrap(), 1);
    assert_eq!(setup.queue.purge(&queries(), None, "enough").await.unwrap(), 120);
    assert_eq!(engine.check().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn limits_are_changed_and_told_and_what_is_out_of_range_changes_nothing() {
    let setup = Setup::start().await;
    let (before, tenants) = setup.queue.limits(Domain::Query).await.unwrap();
    assert_eq!((before.sharing(), before.quantum, before.tiers[0].weight), (Sharing::Weighted, Some(4), Some(8)));
    assert!(tenants.is_empty());
    let ageing = Some(time::duration_to_proto(Duration::from_secs(3)));
    let tier = TierLimits { tier: Tier::Free.to_proto().into(), weight: Some(7), depth: Some(9), ageing };
    let change = DomainLimits {
        sharing: Sharing::Strict.into(),
        reserve_percent: Some(20),
        quantum: Some(2),
        tenant_in_flight: Some(3),
        queue_depth: Some(4),
        tenant_depth: Some(5),
        tiers: vec![tier],
    };
    let own = TenantLimits { tenant_id: "acme".to_owned(), in_flight: 11 };
    let after = setup.queue.set_limits(Domain::Query, &change, std::slice::from_ref(&own)).await.unwrap();
    assert_eq!((after.sharing(), after.reserve_percent, after.quantum), (Sharing::Strict, Some(20), Some(2)));
    assert_eq!((after.tenant_in_flight, after.queue_depth, after.tenant_depth), (Some(3), Some(4), Some(5)));
    assert_eq!(after.tiers[3], tier);
    assert_eq!(after.tiers[0], before.tiers[0], "what is not named stays");
    assert_eq!(setup.queue.limits(Domain::Query).await.unwrap().1, [own]);

    let of_tier = |tier: TierLimits| DomainLimits { tiers: vec![tier], ..DomainLimits::default() };
    let free = TierLimits { tier: Tier::Free.to_proto().into(), ..TierLimits::default() };
    let most = 1 << 50;
    let wrong = [
        ("reserve_percent", DomainLimits { reserve_percent: Some(101), ..DomainLimits::default() }),
        ("quantum", DomainLimits { quantum: Some(0), ..DomainLimits::default() }),
        ("quantum", DomainLimits { quantum: Some(65), ..DomainLimits::default() }),
        ("tenant_in_flight", DomainLimits { tenant_in_flight: Some(most + 1), ..DomainLimits::default() }),
        ("queue_depth", DomainLimits { queue_depth: Some(most + 1), ..DomainLimits::default() }),
        ("tenant_depth", DomainLimits { tenant_depth: Some(most + 1), ..DomainLimits::default() }),
        ("tiers.weight", of_tier(TierLimits { weight: Some(0), ..free })),
        ("tiers.weight", of_tier(TierLimits { weight: Some(1_001), ..free })),
        ("tiers.depth", of_tier(TierLimits { depth: Some(most + 1), ..free })),
    ];
    for (name, change) in wrong {
        let error = setup.queue.set_limits(Domain::Query, &change, &[]).await.unwrap_err();
        assert!(matches!(&error, Error::Field { field, .. } if *field == name), "{name}: {error:?}");
    }
    let nobody = TenantLimits { tenant_id: "not an id".to_owned(), in_flight: 1 };
    let error = setup.queue.set_limits(Domain::Query, &DomainLimits::default(), &[nobody]).await.unwrap_err();
    assert!(matches!(error, Error::Id { .. }));
    assert_eq!(setup.queue.limits(Domain::Query).await.unwrap().0, after);
    let gone = TenantLimits { tenant_id: "acme".to_owned(), in_flight: 0 };
    setup.queue.set_limits(Domain::Query, &DomainLimits::default(), &[gone]).await.unwrap();
    assert!(setup.queue.limits(Domain::Query).await.unwrap().1.is_empty());
}

#[tokio::test]
async fn whatever_is_full_refuses_by_name_and_tells_when_to_come_back() {
    let setup = Setup::start().await;
    let acme = tenant("acme");
    let tier = TierLimits { tier: Tier::Free.to_proto().into(), depth: Some(3), ..TierLimits::default() };
    let change =
        DomainLimits { queue_depth: Some(1), tenant_depth: Some(2), tiers: vec![tier], ..DomainLimits::default() };
    setup.queue.set_limits(Domain::Query, &change, &[]).await.unwrap();
    let first = search_by("agent-1", &acme, Tier::Free, "1");
    setup.queue.submit(first.clone()).await.unwrap();
    let next = |agent: &str, tenant: &action::TenantId| search_by(agent, tenant, Tier::Free, "4");
    for (name, most, agent) in [("the queue", 1, "agent-1"), ("the tenant", 2, "agent-3")] {
        let action = next(agent, &acme);
        let task = action.task;
        let error = setup.queue.submit(action).await.unwrap_err();
        assert!(matches!(error, Error::Full { what, limit, .. } if what == name && limit == most), "{error:?}");
        assert_eq!(error.failure().reason().id, "QUEUE_FULL");
        assert!(error.failure().retry_delay().is_some());
        assert!(setup.queue.task(&acme, task).await.unwrap().is_none(), "nothing was written");
        let _ = setup.queue.submit(next("agent-2", &acme)).await;
    }
    setup.queue.submit(next("agent-1", &tenant("core"))).await.unwrap();
    let error = setup.queue.submit(next("agent-1", &tenant("dune"))).await.unwrap_err();
    assert!(matches!(error, Error::Full { what: "the tier", limit: 3, .. }), "{error:?}");
    assert!(setup.queue.submit(first).await.unwrap().known, "what is known is not refused");
    setup.finish().await;
}

#[tokio::test]
async fn an_idempotency_key_makes_two_actions_one() {
    let setup = Setup::start().await;
    let (acme, bolt) = (tenant("acme"), tenant("bolt"));
    let options = Options { idempotency: Some(("order-7".to_owned(), Duration::from_mins(1))), ..Options::default() };
    let first = search(&acme, Tier::Free, "1");
    assert!(!setup.queue.submit_with(first.clone(), &options).await.unwrap().known);
    let again = setup.queue.submit_with(search(&acme, Tier::Free, "2"), &options).await.unwrap();
    assert_eq!((again.known, again.action_id, again.task.task_id), (true, first.id, first.task.to_string()));
    let other = setup.queue.submit_with(search(&bolt, Tier::Free, "3"), &options).await.unwrap();
    assert!(!other.known, "keys belong to their tenant");
    setup.finish().await;
}

#[tokio::test]
async fn what_is_put_off_becomes_visible_in_its_time_and_the_past_is_now() {
    let mut setup = Setup::start().await;
    let acme = tenant("acme");
    let at = |when| Options { when, ..Options::default() };
    let soon = SystemTime::now() + Duration::from_millis(700);
    let later = search(&acme, Tier::Free, "1");
    setup.queue.submit_with(later.clone(), &at(When::At(soon))).await.unwrap();
    let past = search(&acme, Tier::Free, "2");
    setup.queue.submit_with(past.clone(), &at(When::At(SystemTime::UNIX_EPOCH))).await.unwrap();
    assert_eq!(setup.queue.stats(Domain::Query).await.unwrap().delayed, 1);
    setup.run(searcher(&setup.queue, 2));
    assert_eq!(setup.ended(&acme, past.task).await.status(), Status::Completed);
    assert_eq!(setup.ended(&acme, later.task).await.status(), Status::Completed);
    assert!(SystemTime::now() >= soon, "not before its time");
    setup.finish().await;
}

#[tokio::test]
async fn the_busiest_tenants_come_first() {
    let setup = Setup::start().await;
    for (name, many) in [("few", 1), ("most", 5), ("some", 3)] {
        for i in 0..many {
            setup.queue.submit(search(&tenant(name), Tier::ALL[i % 4], "1")).await.unwrap();
        }
    }
    let busiest = setup.queue.busiest(Domain::Query, 2).await.unwrap();
    let shown: Vec<(&str, u64)> = busiest.iter().map(|load| (load.tenant_id.as_str(), load.waiting)).collect();
    assert_eq!(shown, [("most", 5), ("some", 3)]);
    setup.finish().await;
}
