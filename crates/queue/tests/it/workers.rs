//! Handlers that fail, panic, hang, are cancelled, and what workers do about it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use action::{Domain, Status, Tier};
use fault::{Failure, reason};
use proto::query::v1::{GenerateAnswer, SearchPassages, SearchPassagesResult};
use queue::{Config, Queue, Worker};

use crate::setup::{PATIENCE, Setup, body_of, names, quick, search, searcher, tenant};

type Answered = Result<SearchPassagesResult, Failure>;

/// A worker whose handler gets the number of the run, from 1.
fn counting<F, Fut>(queue: &Queue, handler: F) -> (Worker, Arc<AtomicU32>)
where
    F: Fn(queue::Work, u32) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Answered> + Send + 'static,
{
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let worker = Worker::new(queue.clone(), Domain::Query, 2)
        .on::<SearchPassages, _, _, _>(move |work, _| handler(work, counted.fetch_add(1, Ordering::SeqCst) + 1));
    (worker, runs)
}

#[tokio::test]
async fn a_transient_failure_is_tried_again_until_it_works() {
    let mut setup = Setup::start().await;
    let (worker, runs) = counting(&setup.queue, |work, run| async move {
        assert_eq!(work.action().attempt(), run);
        if run < 3 { Err(Failure::new(&reason::UNAVAILABLE, "not yet")) } else { Ok(SearchPassagesResult::default()) }
    });
    setup.run(worker);
    let acme = tenant("acme");
    let action = search(&acme, Tier::Enterprise, "1");
    setup.queue.submit(action.clone()).await.unwrap();
    let task = setup.ended(&acme, action.task).await;
    assert_eq!((task.status(), task.attempts, runs.load(Ordering::SeqCst)), (Status::Completed, 3, 3));
    assert_eq!(names(&task).iter().filter(|name| *name == "retried").count(), 2);
    setup.finish().await;
}

#[tokio::test]
async fn a_failure_that_cannot_pass_ends_the_action_at_once_with_its_reason() {
    let mut setup = Setup::start().await;
    let outcomes = setup.collect();
    let (worker, runs) = counting(&setup.queue, |_, _| async {
        Err(Failure::new(&reason::COLLECTION_NOT_FOUND, "there is no such collection").field("collection_ids"))
    });
    setup.run(worker);
    let acme = tenant("acme");
    let action = search(&acme, Tier::Enterprise, "1");
    setup.queue.submit(action.clone()).await.unwrap();
    let task = setup.ended(&acme, action.task).await;
    let error = task.error.clone().unwrap();
    assert_eq!((task.status(), runs.load(Ordering::SeqCst)), (Status::Failed, 1));
    assert_eq!((error.reason.as_str(), error.field.as_str()), ("COLLECTION_NOT_FOUND", "collection_ids"));
    testkit::eventually(PATIENCE, || async { outcomes.lock().unwrap().len() == 1 }).await;
    assert_eq!(outcomes.lock().unwrap()[0].error, Some(error));
    assert_eq!(setup.queue.stats(Domain::Query).await.unwrap().dead, 0);
    setup.finish().await;
}

#[tokio::test]
async fn attempts_are_bounded_and_what_used_them_up_lies_in_the_dead_letters() {
    let mut setup = Setup::start_with(Config { max_attempts: 3, ..quick() }).await;
    let (worker, runs) = counting(&setup.queue, |_, _| async { Err(Failure::new(&reason::UNAVAILABLE, "never")) });
    setup.run(worker);
    let acme = tenant("acme");
    let action = search(&acme, Tier::Enterprise, "1");
    setup.queue.submit(action.clone()).await.unwrap();
    let task = setup.ended(&acme, action.task).await;
    assert_eq!((task.status(), task.attempts, runs.load(Ordering::SeqCst)), (Status::Failed, 3, 3));
    assert_eq!(task.error.unwrap().reason, "UNAVAILABLE");
    let (letters, next) = setup.queue.dead_letters(Domain::Query, &queue::Letters::ALL, 10, "").await.unwrap();
    assert_eq!((letters.len(), next.as_str()), (1, ""));
    assert_eq!((letters[0].why.as_str(), letters[0].attempts), ("exhausted", 3));
    assert_eq!(letters[0].queue_name, "query:agent-1:enterprise");
    assert!(letters[0].action.is_some());
    setup.finish().await;
}

#[tokio::test]
async fn the_delay_that_a_failure_asks_for_is_kept() {
    let mut setup = Setup::start().await;
    let (worker, _) = counting(&setup.queue, |_, run| async move {
        let later = Failure::new(&reason::UNAVAILABLE, "later").retry_after(Duration::from_millis(400));
        if run == 1 { Err(later) } else { Ok(SearchPassagesResult::default()) }
    });
    setup.run(worker);
    let acme = tenant("acme");
    let action = search(&acme, Tier::Enterprise, "1");
    setup.queue.submit(action.clone()).await.unwrap();
    let task = setup.ended(&acme, action.task).await;
    let at = |name: &str| {
        let event = task.events.iter().rfind(|event| event.name == name).expect("it happened");
        action::time::to_unix_ms(event.at.as_ref().unwrap())
    };
    let waited = at("claimed") - at("retried");
    assert!((400..2000).contains(&waited), "waited {waited} ms");
    setup.finish().await;
}

#[tokio::test]
async fn a_handler_that_panics_fails_its_attempt_and_nothing_else() {
    let mut setup = Setup::start().await;
    let (worker, _) = counting(&setup.queue, |_, run| async move {
        assert!(run > 2, "a panic of the test's own");
        Ok(SearchPassagesResult::default())
    });
    setup.run(worker);
    let acme = tenant("acme");
    let action = search(&acme, Tier::Enterprise, "1");
    setup.queue.submit(action.clone()).await.unwrap();
    let task = setup.ended(&acme, action.task).await;
    assert_eq!((task.status(), task.attempts), (Status::Completed, 3));
    setup.finish().await;
}

#[tokio::test]
async fn running_work_learns_of_its_cancellation_and_is_dropped() {
    let mut setup = Setup::start().await;
    let outcomes = setup.collect();
    let (worker, runs) = counting(&setup.queue, |work, _| async move {
        let cancelled = work.cancelled();
        cancelled.cancelled().await;
        std::future::pending::<Answered>().await
    });
    setup.run(worker);
    let acme = tenant("acme");
    let action = search(&acme, Tier::Enterprise, "1");
    setup.queue.submit(action.clone()).await.unwrap();
    testkit::eventually(PATIENCE, || async { runs.load(Ordering::SeqCst) == 1 }).await;
    let task = setup.queue.cancel(&acme, action.task, "enough").await.unwrap().unwrap();
    assert_eq!(task.status(), Status::Running, "it has not learned of it yet");
    let task = setup.ended(&acme, action.task).await;
    assert_eq!((task.status(), task.error.unwrap().reason.as_str()), (Status::Cancelled, "CANCELLED"));
    testkit::eventually(PATIENCE, || async { outcomes.lock().unwrap().len() == 1 }).await;
    assert_eq!(outcomes.lock().unwrap()[0].status(), Status::Cancelled);
    setup.finish().await;
}

#[tokio::test]
async fn work_that_takes_longer_than_its_budget_ends_as_timeout() {
    let budgets = [Duration::from_millis(300); 4];
    let mut setup = Setup::start_with(Config { budgets, ..quick() }).await;
    let (worker, runs) = counting(&setup.queue, |_, _| std::future::pending::<Answered>());
    setup.run(worker);
    let acme = tenant("acme");
    let action = search(&acme, Tier::Enterprise, "1");
    setup.queue.submit(action.clone()).await.unwrap();
    let task = setup.ended(&acme, action.task).await;
    assert_eq!((task.status(), runs.load(Ordering::SeqCst)), (Status::Timeout, 1));
    assert_eq!(task.error.unwrap().reason, "EXECUTION_TIMEOUT");
    setup.finish().await;
}

#[tokio::test]
async fn a_task_that_no_worker_takes_expires_with_a_callback() {
    let budgets = [Duration::from_millis(50); 4];
    let mut setup = Setup::start_with(Config { budgets, patience: 4, ..quick() }).await;
    let outcomes = setup.collect();
    let acme = tenant("acme");
    let action = search(&acme, Tier::Free, "1");
    setup.queue.submit(action.clone()).await.unwrap();
    let task = setup.ended(&acme, action.task).await;
    assert_eq!((task.status(), task.attempts), (Status::Timeout, 0));
    assert_eq!(task.error.unwrap().reason, "QUEUE_TIMEOUT");
    testkit::eventually(PATIENCE, || async { outcomes.lock().unwrap().len() == 1 }).await;
    assert_eq!(outcomes.lock().unwrap()[0].status(), Status::Timeout);
    let (letters, _) = setup.queue.dead_letters(Domain::Query, &queue::Letters::ALL, 10, "").await.unwrap();
    assert_eq!(letters[0].why, "expired");
    setup.finish().await;
}

#[tokio::test]
async fn a_worker_that_stops_gives_back_what_it_cannot_finish_without_counting_an_attempt() {
    let mut setup = Setup::start().await;
    let (worker, runs) = counting(&setup.queue, |_, _| std::future::pending::<Answered>());
    let stop = setup.run(worker);
    let acme = tenant("acme");
    let action = search(&acme, Tier::Enterprise, "1");
    setup.queue.submit(action.clone()).await.unwrap();
    testkit::eventually(PATIENCE, || async { runs.load(Ordering::SeqCst) == 1 }).await;
    stop.cancel();
    testkit::eventually(PATIENCE, || async {
        setup.queue.task(&acme, action.task).await.unwrap().unwrap().status() == Status::Pending
    })
    .await;
    setup.run(searcher(&setup.queue, 1));
    let task = setup.ended(&acme, action.task).await;
    assert_eq!((task.status(), task.attempts), (Status::Completed, 1));
    setup.finish().await;
}

#[tokio::test]
async fn a_worker_that_stops_while_it_waits_takes_nothing_along() {
    let mut setup = Setup::start().await;
    let acme = tenant("acme");
    let mut submitted = Vec::new();
    for round in 0..20 {
        let stop = setup.run(searcher(&setup.queue, 4));
        testkit::eventually(PATIENCE, || async {
            setup.redis.command(&["INFO", "clients"]).contains("blocked_clients:1")
        })
        .await;
        // The token and the end of the waiting meet.
        let action = search(&acme, Tier::Free, &round.to_string());
        let (placed, ()) = tokio::join!(setup.queue.submit(action.clone()), async { stop.cancel() });
        placed.unwrap();
        submitted.push(action);
        setup.stop().await;
    }
    setup.run(searcher(&setup.queue, 4));
    for action in submitted {
        let task = setup.ended(&acme, action.task).await;
        assert_eq!((task.status(), task.attempts), (Status::Completed, 1), "no lease had to run out");
    }
    setup.finish().await;
}

#[tokio::test]
async fn an_action_without_a_handler_is_refused_and_the_worker_goes_on() {
    let mut setup = Setup::start().await;
    let outcomes = setup.collect();
    setup.run(searcher(&setup.queue, 1));
    let acme = tenant("acme");
    let context = action::ExecutionContext::agent("agent-1".parse().unwrap());
    let unknown = action::Action::root(acme.clone(), Tier::Free, context, &GenerateAnswer::default());
    setup.queue.submit(unknown.clone()).await.unwrap();
    let mut garbled = search(&acme, Tier::Free, "1");
    garbled.payload.value = vec![0xff; 8];
    setup.queue.submit(garbled.clone()).await.unwrap();
    let fine = search(&acme, Tier::Free, "2");
    setup.queue.submit(fine.clone()).await.unwrap();

    assert_eq!(setup.ended(&acme, fine.task).await.status(), Status::Completed);
    let task = setup.ended(&acme, unknown.task).await;
    assert_eq!((task.status(), task.error.unwrap().reason.as_str()), (Status::Failed, "UNKNOWN_ACTION_TYPE"));
    let task = setup.ended(&acme, garbled.task).await;
    assert_eq!((task.status(), task.error.unwrap().reason.as_str()), (Status::Failed, "PAYLOAD_MISMATCH"));
    let (letters, _) = setup.queue.dead_letters(Domain::Query, &queue::Letters::ALL, 10, "").await.unwrap();
    let why: Vec<&str> = letters.iter().map(|letter| letter.why.as_str()).collect();
    assert_eq!(why, ["rejected", "malformed"]);
    testkit::eventually(PATIENCE, || async { outcomes.lock().unwrap().len() == 3 }).await;
    setup.finish().await;
}

#[tokio::test]
async fn entries_that_nobody_can_read_are_buried_with_their_bytes() {
    let mut setup = Setup::start().await;
    let acme = tenant("acme");
    let first = search(&acme, Tier::Free, "1");
    setup.queue.submit(first.clone()).await.unwrap();
    let second = search(&acme, Tier::Free, "2");
    setup.queue.submit(second.clone()).await.unwrap();
    let third = search(&acme, Tier::Free, "3");
    setup.queue.submit(third.clone()).await.unwrap();
    // One without a header, one whose payload behind the header is no action.
    setup.redis.command(&["SET", &body_of(&first), "nonsense"]);
    let key = body_of(&second);
    let length = setup.redis.command(&["STRLEN", &key]).parse::<usize>().unwrap();
    setup.redis.command(&["SETRANGE", &key, &(length - 40).to_string(), &"\u{7f}".repeat(40)]);
    setup.run(searcher(&setup.queue, 1));
    assert_eq!(setup.ended(&acme, third.task).await.status(), Status::Completed);
    assert_eq!(setup.ended(&acme, second.task).await.status(), Status::Failed);
    let task = setup.ended(&acme, first.task).await;
    assert_eq!((task.status(), task.error.unwrap().reason.as_str()), (Status::Failed, "PAYLOAD_MISMATCH"));
    let (letters, _) = setup.queue.dead_letters(Domain::Query, &queue::Letters::ALL, 10, "").await.unwrap();
    assert_eq!(letters.len(), 2);
    assert!(letters.iter().all(|letter| letter.why == "malformed"));
    assert!(setup.redis.command(&["XRANGE", "{nq:query:0}:dead", "-", "+"]).contains("nonsense"));
    setup.finish().await;
}

#[tokio::test]
async fn a_callback_that_fails_for_now_is_delivered_again() {
    let mut setup = Setup::start().await;
    let runs = Arc::new(AtomicU32::new(0));
    let worker = Worker::new(setup.queue.clone(), Domain::Orchestrator, 1).on_callback({
        let runs = Arc::clone(&runs);
        move |_, _| {
            let run = runs.fetch_add(1, Ordering::SeqCst) + 1;
            async move { if run < 3 { Err(Failure::new(&reason::UNAVAILABLE, "not yet")) } else { Ok(()) } }
        }
    });
    setup.run(worker);
    setup.run(searcher(&setup.queue, 1));
    let acme = tenant("acme");
    setup.queue.submit(search(&acme, Tier::Free, "1")).await.unwrap();
    testkit::eventually(PATIENCE, || async { runs.load(Ordering::SeqCst) == 3 }).await;
    testkit::eventually(PATIENCE, || async {
        let stats = setup.queue.stats(Domain::Orchestrator).await.unwrap();
        (stats.in_flight, stats.delayed, stats.callbacks, stats.dead) == (0, 0, 0, 0)
    })
    .await;
    setup.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn leases_survive_work_that_keeps_the_runtime_busy() {
    let config = Config { lease: Duration::from_millis(600), ..quick() };
    let mut setup = Setup::start_with(config).await;
    let (worker, runs) = counting(&setup.queue, |_, _| async {
        // Three leases long nothing else runs on the only thread of this runtime.
        std::thread::sleep(Duration::from_millis(1800));
        Ok(SearchPassagesResult::default())
    });
    setup.run(worker);
    // Another process that would take over what is lost.
    let other = crate::setup::queue_on(&setup.redis, Config { tick: Duration::from_millis(50), ..quick() }).await;
    let acme = tenant("acme");
    let action = search(&acme, Tier::Enterprise, "1");
    setup.queue.submit(action.clone()).await.unwrap();
    let task = setup.ended(&acme, action.task).await;
    assert_eq!((task.status(), task.attempts, runs.load(Ordering::SeqCst)), (Status::Completed, 1, 1));
    assert!(!names(&task).contains(&"lost".to_owned()));
    other.drain().await;
    setup.finish().await;
}
