//! Tenants over more or fewer partitions while work goes on.

use std::collections::BTreeSet;
use std::time::Duration;

use action::{Domain, Status, Tier};
use proto::queue::v1::DomainLimits;
use queue::Error;

use super::queries;
use crate::setup::{PATIENCE, Setup, queue_on, quick, search, searcher, tenant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_partitions_loses_nothing_while_work_goes_on() {
    let mut setup = Setup::start().await;
    let other = queue_on(&setup.redis, quick()).await;
    setup.run(searcher(&other, 4));
    let mut submitted = Vec::new();
    for (round, partitions) in [1, 3, 2, 5].into_iter().enumerate() {
        let (_, in_force) = setup.queue.set_partitions(Domain::Query, partitions).await.unwrap();
        assert_eq!(in_force, partitions);
        for i in 0..60 {
            let action = search(&tenant(&format!("tenant-{}", i % 11)), Tier::ALL[i % 4], &round.to_string());
            // Half of it comes from a process that may not have heard of the change.
            let queue = if i % 2 == 0 { &setup.queue } else { &other };
            queue.submit(action.clone()).await.unwrap();
            submitted.push(action);
        }
    }
    for action in &submitted {
        assert_eq!(setup.ended(&action.tenant, action.task).await.status(), Status::Completed);
    }
    for name in (0..11).map(|i| format!("tenant-{i}")) {
        let (mut listed, mut token) = (BTreeSet::new(), String::new());
        loop {
            let (page, next) = setup.queue.tasks(&tenant(&name), |_| true, 7, &token).await.unwrap();
            listed.extend(page.into_iter().map(|task| task.task_id));
            if next.is_empty() {
                break;
            }
            token = next;
        }
        let of = submitted.iter().filter(|action| action.tenant.as_str() == name);
        assert_eq!(listed, of.map(|action| action.task.to_string()).collect(), "{name}");
    }
    let stats = setup.queue.stats(Domain::Query).await.unwrap();
    assert_eq!((stats.partitions, stats.draining_partitions), (5, 0));
    setup.finish().await;
    other.drain().await;
}

#[tokio::test]
async fn new_partitions_have_the_limits_and_pauses_of_the_domain() {
    let setup = Setup::start().await;
    let limits = DomainLimits { tenant_depth: Some(1), ..DomainLimits::default() };
    setup.queue.set_limits(Domain::Query, &limits, &[]).await.unwrap();
    setup.queue.pause(&queries()).await.unwrap();
    setup.queue.set_partitions(Domain::Query, 8).await.unwrap();
    for i in 0..20 {
        let acme = tenant(&format!("tenant-{i}"));
        setup.queue.submit(search(&acme, Tier::Free, "1")).await.unwrap();
        let error = setup.queue.submit(search(&acme, Tier::Free, "2")).await.unwrap_err();
        assert!(matches!(error, Error::Full { what: "the tenant", .. }), "{error:?}");
    }
    let mut paused = 0;
    for partition in 0..8 {
        paused += setup
            .redis
            .command(&["HEXISTS", &format!("{{nq:query:{partition}}}:cfg"), "pause"])
            .parse::<u32>()
            .unwrap();
    }
    assert_eq!(paused, 8);
    setup.finish().await;
}

#[tokio::test]
async fn a_number_of_partitions_out_of_range_is_refused() {
    let setup = Setup::start().await;
    for wrong in [0, 65, u32::MAX] {
        let error = setup.queue.set_partitions(Domain::Query, wrong).await.unwrap_err();
        assert!(matches!(error, Error::Field { field: "partitions", .. }), "{wrong}");
    }
    setup.finish().await;
}

#[tokio::test]
async fn another_process_follows_a_change_within_a_tick() {
    let setup = Setup::start().await;
    let other = queue_on(&setup.redis, quick()).await;
    setup.queue.set_partitions(Domain::Query, 4).await.unwrap();
    testkit::eventually(PATIENCE.min(Duration::from_secs(5)), || async {
        other.stats(Domain::Query).await.unwrap().partitions == 4
    })
    .await;
    setup.finish().await;
    other.drain().await;
}
