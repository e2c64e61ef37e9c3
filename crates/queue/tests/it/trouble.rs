//! A Redis that dies, hangs, forgets its scripts or is full.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use action::{Domain, Status, Tier};
use fault::{Failure, Fault as _};
use proto::query::v1::{SearchPassages, SearchPassagesResult};
use queue::engine::{Cancelled, Engine};
use queue::{Config, Error, Queue, Worker};
use tokio_util::sync::CancellationToken;

use crate::setup::{PATIENCE, Setup, queue_on, quick, search, searcher, tenant};

#[tokio::test]
async fn workers_recover_from_a_redis_that_was_killed() {
    let mut redis = testkit::Redis::start_durable().await;
    let queue = queue_on(&redis, quick()).await;
    let stop = CancellationToken::new();
    let worker = tokio::spawn(searcher(&queue, 2).run(stop.clone()));
    let acme = tenant("acme");
    for round in 0..3 {
        let action = search(&acme, Tier::Free, &round.to_string());
        queue.submit(action.clone()).await.unwrap();
        testkit::eventually(PATIENCE, || async {
            queue.task(&acme, action.task).await.is_ok_and(|task| task.unwrap().status() == Status::Completed)
        })
        .await;
        redis.kill();
        let began = Instant::now();
        let refused = queue.submit(search(&acme, Tier::Free, "while it is away")).await.unwrap_err();
        assert_eq!(refused.failure().reason().id, "BROKER_UNAVAILABLE");
        assert!(refused.failure().retry_delay().is_some() && began.elapsed() < Duration::from_secs(4));
        redis.restart().await;
    }
    stop.cancel();
    worker.await.unwrap();
    assert_eq!(queue.check(Domain::Query).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn what_ran_while_redis_was_away_is_settled_when_it_is_back() {
    let mut redis = testkit::Redis::start_durable().await;
    let queue = queue_on(&redis, Config { lease: Duration::from_secs(10), ..quick() }).await;
    let stop = CancellationToken::new();
    let runs = Arc::new(AtomicU32::new(0));
    let gate = CancellationToken::new();
    let worker = Worker::new(queue.clone(), Domain::Query, 1).on::<SearchPassages, _, _, _>({
        let (runs, gate) = (Arc::clone(&runs), gate.clone());
        move |_, _| {
            runs.fetch_add(1, Ordering::SeqCst);
            let gate = gate.clone();
            async move {
                gate.cancelled().await;
                Ok::<_, Failure>(SearchPassagesResult::default())
            }
        }
    });
    let worker = tokio::spawn(worker.run(stop.clone()));
    let acme = tenant("acme");
    let action = search(&acme, Tier::Free, "1");
    queue.submit(action.clone()).await.unwrap();
    testkit::eventually(PATIENCE, || async { runs.load(Ordering::SeqCst) == 1 }).await;
    redis.kill();
    gate.cancel();
    tokio::time::sleep(Duration::from_millis(300)).await;
    redis.restart().await;
    testkit::eventually(PATIENCE, || async {
        queue.task(&acme, action.task).await.is_ok_and(|task| task.unwrap().status() == Status::Completed)
    })
    .await;
    assert_eq!(runs.load(Ordering::SeqCst), 1, "it is not done again");
    stop.cancel();
    worker.await.unwrap();
}

fn forget_scripts(redis: &testkit::Redis) {
    redis.command(&["SCRIPT", "FLUSH"]);
    redis.command(&["FUNCTION", "FLUSH"]);
}

#[tokio::test]
async fn forgetting_the_scripts_harms_nobody() {
    let mut setup = Setup::start().await;
    setup.run(searcher(&setup.queue, 4));
    let acme = tenant("acme");
    for i in 0..30 {
        forget_scripts(&setup.redis);
        let action = search(&acme, Tier::Free, &i.to_string());
        setup.queue.submit(action.clone()).await.unwrap();
        forget_scripts(&setup.redis);
        assert_eq!(setup.ended(&acme, action.task).await.status(), Status::Completed);
    }
    setup.finish().await;
}

#[tokio::test]
async fn a_full_redis_refuses_new_work_before_the_first_write_and_finishes_what_it_has() {
    let mut setup = Setup::start().await;
    let acme = tenant("acme");
    let waiting = search(&acme, Tier::Free, "1");
    setup.queue.submit(waiting.clone()).await.unwrap();
    setup.redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let before = setup.redis.command(&["DBSIZE"]);
    for known in [true, false] {
        let refused = setup.queue.submit(search(&acme, Tier::Free, "2")).await.unwrap_err();
        assert!(matches!(refused, Error::Broker(broker::Error::Full(_))), "{refused:?}");
        assert_eq!(setup.redis.command(&["DBSIZE"]), before);
        if known {
            // Nor does it take the scripts again that it forgot.
            forget_scripts(&setup.redis);
        }
    }
    setup.run(searcher(&setup.queue, 1));
    assert_eq!(setup.ended(&acme, waiting.task).await.status(), Status::Completed);
    setup.redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    setup.finish().await;
}

#[tokio::test]
async fn a_hanging_redis_is_a_refused_submit_and_no_lost_work() {
    let mut setup = Setup::start_with(Config { submit_patience: Duration::from_millis(300), ..quick() }).await;
    setup.run(searcher(&setup.queue, 1));
    let acme = tenant("acme");
    setup.redis.pause();
    let action = search(&acme, Tier::Free, "1");
    let refused = setup.queue.submit(action.clone()).await.unwrap_err();
    assert_eq!(refused.failure().reason().id, "BROKER_UNAVAILABLE");
    setup.redis.resume();
    // Whether the first one arrived is not known; the same action again is at most one.
    testkit::eventually(PATIENCE, || async { setup.queue.submit(action.clone()).await.is_ok() }).await;
    let task = setup.ended(&acme, action.task).await;
    assert_eq!((task.status(), task.attempts), (Status::Completed, 1));
    setup.finish().await;
}

#[tokio::test]
async fn a_server_that_may_evict_is_not_used() {
    let redis = testkit::Redis::start().await;
    redis.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let connection = broker::Redis::connect(&redis.url()).await.unwrap();
    let refused = Queue::start(connection, quick()).await.unwrap_err();
    assert!(matches!(refused, Error::Server(text) if text.contains("allkeys-lru")));
}

#[tokio::test]
async fn an_outcome_that_was_not_handed_over_is_found_by_others() {
    let mut setup = Setup::start().await;
    let acme = tenant("acme");
    let action = search(&acme, Tier::Free, "1");
    setup.queue.submit(action.clone()).await.unwrap();
    // The script alone, as if its process had died between the end of the task and handing its outcome over.
    let connection = broker::Redis::connect(&setup.redis.url()).await.unwrap();
    let engine = Engine::new(connection, Domain::Query, 0, Arc::new(quick()));
    let answer = engine.cancel(0, &crate::setup::entry_id(&action), Some("acme"), "enough").await.unwrap();
    assert_eq!(answer, Cancelled::Done);
    let outcomes = setup.collect();
    testkit::eventually(PATIENCE, || async { outcomes.lock().unwrap().len() == 1 }).await;
    assert_eq!(outcomes.lock().unwrap()[0].status(), Status::Cancelled);
    testkit::eventually(PATIENCE, || async { setup.queue.stats(Domain::Query).await.unwrap().outbox == 0 }).await;
    setup.finish().await;
}

#[tokio::test]
async fn a_worker_says_whether_its_loop_is_alive() {
    let mut setup = Setup::start().await;
    assert!(setup.queue.healthy(Domain::Query), "no loop, no complaint");
    setup.run(searcher(&setup.queue, 1));
    tokio::task::yield_now().await;
    assert!(setup.queue.healthy(Domain::Query));
    setup.finish().await;
}
