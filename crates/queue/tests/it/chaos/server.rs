//! A Redis that is full, and one that dies and comes back.

use std::time::{Duration, Instant};

use action::{Domain, Status};
use queue::{Config, Error};

use super::{LEASE, LONG, Process, all_is_quiet, each_ended_once, work};
use crate::setup::{Setup, quick};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_refuses_new_work_and_all_that_it_holds_is_done() {
    let mut setup = Setup::start_with(Config { lease: LEASE, ..quick() }).await;
    // Searches alone: an agent's call is new work.
    let searches: Vec<_> = (0..400).map(work).filter(|action| action.domain() == Ok(Domain::Query)).collect();
    for action in &searches {
        setup.queue.submit(action.clone()).await.unwrap();
    }
    setup.redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    // Bodies, queues, rings and records; ticks of the engine may note where they are meanwhile.
    let held = || {
        ["b", "q", "x", "t"].map(|kind| setup.redis.command(&["KEYS", &format!("{{nq:*}}:{kind}:*")]).lines().count())
    };
    let before = held();
    assert!(before[0] >= searches.len(), "{before:?}");
    for i in 0..10 {
        let refused = setup.queue.submit(work(i)).await.unwrap_err();
        assert!(matches!(refused, Error::Broker(broker::Error::Full(_))), "{refused:?}");
    }
    assert_eq!(held(), before, "refused before the first write");
    let worker = Process::start(&setup.redis.url(), Duration::from_millis(5));
    testkit::eventually(LONG, || async {
        let stats = setup.queue.stats(Domain::Query).await.unwrap();
        stats.in_flight + stats.tiers.iter().map(|tier| tier.waiting).sum::<u64>() == 0
    })
    .await;
    setup.redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    let outcomes = setup.collect();
    each_ended_once(&setup, &searches, &outcomes).await;
    drop(worker);
    setup.finish().await;
}

/// Submits and works while the server is killed and started again; returns what was acknowledged, and when.
async fn restarted(sync: &str) -> (Setup, Vec<(Instant, action::Action)>, Vec<Instant>) {
    let arguments = ["--save", "", "--appendonly", "yes", "--appendfsync", sync];
    let redis = testkit::Redis::start_with(&arguments).await;
    let submit_patience = Duration::from_millis(200);
    let mut setup = Setup::start_on(redis, Config { lease: LEASE, submit_patience, ..quick() }).await;
    let worker = Process::start(&setup.redis.url(), Duration::from_millis(5));
    let (mut acknowledged, mut kills) = (Vec::new(), Vec::new());
    for round in 0..4 {
        for i in 0..150 {
            let action = work(1_000 * round + i);
            if setup.queue.submit(action.clone()).await.is_ok() {
                acknowledged.push((Instant::now(), action));
            }
        }
        if round < 3 {
            kills.push(Instant::now());
            setup.redis.restart().await;
        }
    }
    setup.collect();
    all_is_quiet(&setup).await;
    drop(worker);
    (setup, acknowledged, kills)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_syncs_every_write_loses_nothing_that_was_acknowledged() {
    let (setup, acknowledged, _) = restarted("always").await;
    assert!(acknowledged.len() > 300, "only {} were acknowledged", acknowledged.len());
    for (_, action) in &acknowledged {
        let task = setup.queue.task(&action.tenant, action.task).await.unwrap().expect("it was acknowledged");
        assert!(!matches!(task.status(), Status::Pending | Status::Running), "{task:?}");
    }
    setup.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_syncs_every_second_loses_at_most_the_last_two() {
    let (setup, acknowledged, kills) = restarted("everysec").await;
    for (at, action) in &acknowledged {
        let window = Duration::from_secs(2);
        let exposed = kills.iter().any(|kill| kill >= at && kill.duration_since(*at) <= window);
        match setup.queue.task(&action.tenant, action.task).await.unwrap() {
            Some(task) => assert!(!matches!(task.status(), Status::Pending | Status::Running), "{task:?}"),
            None => assert!(exposed, "{} was acknowledged long before the end", action.task),
        }
    }
    setup.finish().await;
}
