//! Handlers that call other handlers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use action::{Action, Domain, ExecutionContext, Status, Tier};
use fault::{Failure, reason};
use proto::action::v1::TokenUsage;
use proto::embedding::v1::{GenerateEmbeddings, GenerateEmbeddingsResult};
use proto::execution::v1::{AgentRun, AgentRunResult};
use proto::query::v1::{SearchPassages, SearchPassagesResult};
use queue::{CallError, Completed, Config, Queue, Work, Worker};

use crate::setup::{PATIENCE, Setup, queue_on, quick, tenant};

fn run_of(tenant: &action::TenantId) -> Action {
    let context = ExecutionContext::agent("agent-1".parse().unwrap());
    Action::root(tenant.clone(), Tier::Professional, context, &AgentRun { message: "hi".into(), ..AgentRun::default() })
}

/// An agent that searches once and passes on what came of it.
fn agent(queue: &Queue) -> Worker {
    Worker::new(queue.clone(), Domain::Execution, 4).on::<AgentRun, _, _, _>(|work: Work, _| async move {
        let request = SearchPassages { query: "q".into(), ..SearchPassages::default() };
        let answer = work.call(work.action().context.clone(), &request).await?;
        assert_eq!(answer.tokens_used.total, 30, "the search's own and the embedding's");
        let tokens_used = TokenUsage { input: 1, output: 2, total: 3 };
        Ok::<_, CallError>(Completed { reply: AgentRunResult::default(), tokens_used })
    })
}

/// A search that needs an embedding.
fn search(queue: &Queue) -> Worker {
    Worker::new(queue.clone(), Domain::Query, 4).on::<SearchPassages, _, _, _>(|work: Work, _| async move {
        work.call(work.action().context.clone(), &GenerateEmbeddings::default()).await?;
        work.event("retrieved");
        let tokens_used = TokenUsage { input: 10, output: 0, total: 10 };
        Ok::<_, CallError>(Completed { reply: SearchPassagesResult::default(), tokens_used })
    })
}

fn embedding(queue: &Queue) -> Worker {
    Worker::new(queue.clone(), Domain::Embedding, 1).on::<GenerateEmbeddings, _, _, _>(|work: Work, _| async move {
        assert!(work.action().root_fence > 0 && work.action().attempt() == 1);
        assert!(work.remaining() <= Duration::from_mins(2), "the time of the root, not more");
        let tokens_used = TokenUsage { input: 20, output: 0, total: 20 };
        Ok::<_, Failure>(Completed { reply: GenerateEmbeddingsResult::default(), tokens_used })
    })
}

#[tokio::test]
async fn a_call_travels_through_the_queues_of_other_processes_and_its_cost_and_steps_come_back() {
    let mut setup = Setup::start().await;
    let elsewhere = queue_on(&setup.redis, quick()).await;
    setup.run(agent(&setup.queue));
    setup.run(search(&elsewhere));
    setup.run(embedding(&elsewhere));
    let acme = tenant("acme");
    let actions: Vec<Action> = (0..20).map(|_| run_of(&acme)).collect();
    for action in &actions {
        setup.queue.submit(action.clone()).await.unwrap();
    }
    for action in &actions {
        let task = setup.ended(&acme, action.task).await;
        assert_eq!((task.status(), task.tokens_used.unwrap().total), (Status::Completed, 33), "{:?}", task.error);
        let steps: Vec<(&str, &str)> =
            task.events.iter().map(|event| (event.domain.as_str(), event.name.as_str())).collect();
        assert!(steps.contains(&("query", "claimed")) && steps.contains(&("embedding", "settled")), "{steps:?}");
        assert!(steps.contains(&("query", "retrieved")));
        assert_eq!(steps.first(), Some(&("execution", "queued")));
    }
    let records = setup.redis.command(&["KEYS", "{nq:query:0}:t:*"]);
    assert_eq!(records, "", "only root actions have records");
    elsewhere.drain().await;
    setup.finish().await;
}

#[tokio::test]
async fn a_failure_of_the_called_keeps_its_reason_and_field() {
    let mut setup = Setup::start().await;
    setup.run(agent(&setup.queue));
    let failing = Worker::new(setup.queue.clone(), Domain::Query, 1).on::<SearchPassages, _, _, _>(|_, _| async {
        Err::<SearchPassagesResult, _>(Failure::new(&reason::COLLECTION_NOT_FOUND, "no such").field("collection_ids"))
    });
    setup.run(failing);
    let acme = tenant("acme");
    let action = run_of(&acme);
    setup.queue.submit(action.clone()).await.unwrap();
    let task = setup.ended(&acme, action.task).await;
    let error = task.error.clone().unwrap();
    assert_eq!((task.status(), task.attempts), (Status::Failed, 1));
    assert_eq!((error.reason.as_str(), error.field.as_str()), ("COLLECTION_NOT_FOUND", "collection_ids"));
    setup.finish().await;
}

#[tokio::test]
async fn a_domain_that_is_not_below_is_never_awaited() {
    let mut setup = Setup::start().await;
    let refused = Arc::new(AtomicU32::new(0));
    let worker = Worker::new(setup.queue.clone(), Domain::Query, 1).on::<SearchPassages, _, _, _>({
        let refused = Arc::clone(&refused);
        move |work: Work, request: SearchPassages| {
            let refused = Arc::clone(&refused);
            async move {
                let same = work.call(work.action().context.clone(), &request).await;
                let above = work.call(work.action().context.clone(), &AgentRun::default()).await;
                assert!(matches!(above, Err(CallError::Circular { .. })));
                assert!(matches!(same, Err(CallError::Circular { .. })));
                refused.fetch_add(1, Ordering::SeqCst);
                Ok::<_, Failure>(SearchPassagesResult::default())
            }
        }
    });
    setup.run(worker);
    let acme = tenant("acme");
    let action = crate::setup::search(&acme, Tier::Free, "1");
    setup.queue.submit(action.clone()).await.unwrap();
    assert_eq!(setup.ended(&acme, action.task).await.status(), Status::Completed);
    assert_eq!(refused.load(Ordering::SeqCst), 1);
    setup.finish().await;
}

#[tokio::test]
async fn cancelling_a_task_cancels_what_it_called() {
    let mut setup = Setup::start().await;
    setup.run(agent(&setup.queue));
    let (started, left) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let hanging = Worker::new(setup.queue.clone(), Domain::Query, 1).on::<SearchPassages, _, _, _>({
        let (started, left) = (Arc::clone(&started), Arc::clone(&left));
        move |work: Work, _| {
            started.fetch_add(1, Ordering::SeqCst);
            let left = Arc::clone(&left);
            async move {
                work.cancelled().cancelled().await;
                left.fetch_add(1, Ordering::SeqCst);
                std::future::pending::<Result<SearchPassagesResult, Failure>>().await
            }
        }
    });
    setup.run(hanging);
    let acme = tenant("acme");
    // The second one's search waits in its queue behind the first one's.
    let (first, second) = (run_of(&acme), run_of(&acme));
    setup.queue.submit(first.clone()).await.unwrap();
    testkit::eventually(PATIENCE, || async { started.load(Ordering::SeqCst) == 1 }).await;
    setup.queue.submit(second.clone()).await.unwrap();
    testkit::eventually(PATIENCE, || async { setup.queue.stats(Domain::Query).await.unwrap().tiers[1].waiting == 1 })
        .await;
    for action in [&second, &first] {
        setup.queue.cancel(&acme, action.task, "enough").await.unwrap();
        assert_eq!(setup.ended(&acme, action.task).await.status(), Status::Cancelled);
    }
    testkit::eventually(PATIENCE, || async { left.load(Ordering::SeqCst) == 1 }).await;
    testkit::eventually(PATIENCE, || async {
        let stats = setup.queue.stats(Domain::Query).await.unwrap();
        stats.in_flight == 0 && stats.tiers.iter().all(|tier| tier.waiting == 0)
    })
    .await;
    assert_eq!(started.load(Ordering::SeqCst), 1, "the waiting search never ran");
    setup.finish().await;
}

#[tokio::test]
async fn a_call_that_nobody_answers_ends_with_the_time_of_the_caller() {
    let budgets = [Duration::from_millis(400); 4];
    let mut setup = Setup::start_with(Config { budgets, ..quick() }).await;
    setup.run(agent(&setup.queue));
    let acme = tenant("acme");
    let action = run_of(&acme);
    setup.queue.submit(action.clone()).await.unwrap();
    let task = setup.ended(&acme, action.task).await;
    assert_eq!((task.status(), task.error.unwrap().reason.as_str()), (Status::Timeout, "EXECUTION_TIMEOUT"));
    testkit::eventually(PATIENCE, || async { setup.queue.stats(Domain::Query).await.unwrap().tiers[1].waiting == 0 })
        .await;
    setup.finish().await;
}

#[tokio::test]
async fn a_call_outlasts_a_redis_that_is_killed_and_comes_back() {
    let redis = testkit::Redis::start_durable().await;
    let config = Config { lease: Duration::from_secs(10), ..quick() };
    let mut setup = Setup::start_on(redis, config).await;
    setup.run(agent(&setup.queue));
    setup.run(embedding(&setup.queue));
    let acme = tenant("acme");
    let action = run_of(&acme);
    setup.queue.submit(action.clone()).await.unwrap();
    testkit::eventually(PATIENCE, || async { setup.queue.stats(Domain::Query).await.unwrap().tiers[1].waiting == 1 })
        .await;
    setup.redis.restart().await;
    setup.run(search(&setup.queue));
    testkit::eventually(PATIENCE, || async {
        setup.queue.task(&acme, action.task).await.is_ok_and(|task| task.unwrap().status() == Status::Completed)
    })
    .await;
    setup.finish().await;
}
