//! Workers that are killed, and one that is stopped for longer than its lease.

use std::time::Duration;

use action::{Status, Tier};
use queue::Config;

use super::{LEASE, LONG, Process, each_ended_once, submit};
use crate::setup::{PATIENCE, Setup, quick, search, tenant};

/// How many actions are done by workers that are killed all the time; more by `NOOBLE_CHAOS_ACTIONS`.
fn actions() -> usize {
    std::env::var("NOOBLE_CHAOS_ACTIONS").ok().and_then(|actions| actions.parse().ok()).unwrap_or(2_000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_are_killed_lose_no_action_and_end_none_twice() {
    let budgets = [Duration::from_hours(1); 4];
    let mut setup = Setup::start_with(Config { lease: LEASE, max_crashes: 3, budgets, ..quick() }).await;
    let outcomes = setup.collect();
    let submitted = submit(&setup, 0..actions()).await;
    let start = || Process::start(&setup.redis.url(), Duration::from_millis(30));
    let mut workers = [start(), start()];
    let (mut kills, mut before, mut still) = (0, 0, 0);
    loop {
        // The passing of time is the point: each worker lives for a moment.
        tokio::time::sleep(Duration::from_millis(400)).await;
        let ended = outcomes.lock().unwrap().len();
        if ended >= submitted.len() {
            break;
        }
        still = if ended == before { still + 1 } else { 0 };
        before = ended;
        assert!(still < 150, "{ended} of {} have ended, and no more do", submitted.len());
        workers[kills % 2] = Process::start(&setup.redis.url(), Duration::from_millis(30));
        kills += 1;
    }
    assert!(kills >= 3, "only {kills} workers were killed");
    each_ended_once(&setup, &submitted, &outcomes).await;
    drop(workers);
    let mut again = 0;
    for action in submitted {
        let task = setup.queue.task(&action.tenant, action.task).await.unwrap().unwrap();
        again += u32::from(task.attempts > 1);
    }
    assert!(again > 0, "no crash hit a running action");
    setup.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_was_stopped_for_longer_than_its_lease_cannot_settle_any_more() {
    let mut setup = Setup::start_with(Config { lease: LEASE, ..quick() }).await;
    let outcomes = setup.collect();
    let url = setup.redis.url();
    let acme = tenant("acme");
    let stopped = Process::start(&url, Duration::from_millis(300));
    let first = search(&acme, Tier::Free, "1");
    setup.queue.submit(first.clone()).await.unwrap();
    testkit::eventually(PATIENCE, || async {
        setup.queue.task(&acme, first.task).await.unwrap().unwrap().status() == Status::Running
    })
    .await;
    stopped.signal("-STOP");
    let other = Process::start(&url, Duration::from_millis(10));
    let task = setup.ended(&acme, first.task).await;
    assert_eq!((task.status(), task.attempts), (Status::Completed, 2), "somebody else has done it");
    drop(other);
    stopped.signal("-CONT");
    // Once it does other work, what it had to say about the first is said.
    let next = search(&acme, Tier::Free, "2");
    setup.queue.submit(next.clone()).await.unwrap();
    assert_eq!(setup.ended(&acme, next.task).await.status(), Status::Completed);
    let after = setup.queue.task(&acme, first.task).await.unwrap().unwrap();
    assert_eq!(after, task, "nothing has changed");
    each_ended_once(&setup, &[first, next], &outcomes).await;
    drop(stopped);
    setup.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_forgets_its_scripts_all_the_time_does_all_the_work() {
    let mut setup = Setup::start_with(Config { lease: LEASE, ..quick() }).await;
    let outcomes = setup.collect();
    let workers = [5, 10].map(|takes| Process::start(&setup.redis.url(), Duration::from_millis(takes)));
    let (mut submitted, mut flushes) = (Vec::new(), 0);
    let began = std::time::Instant::now();
    while flushes < 200 || outcomes.lock().unwrap().len() < submitted.len() {
        assert!(began.elapsed() < LONG, "{} of {}", outcomes.lock().unwrap().len(), submitted.len());
        if submitted.len() < 500 {
            submitted.extend(submit(&setup, submitted.len()..submitted.len() + 25).await);
        }
        setup.redis.command(&["SCRIPT", "FLUSH"]);
        setup.redis.command(&["FUNCTION", "FLUSH"]);
        flushes += 1;
        // The passing of time is the point: the server is given a moment to remember.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    each_ended_once(&setup, &submitted, &outcomes).await;
    drop(workers);
    setup.finish().await;
}
