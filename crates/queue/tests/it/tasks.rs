//! From submitting to the outcome.

use action::{Domain, Status, TaskId, Tier};
use proto::action::v1::TokenUsage;
use proto::query::v1::{SearchPassages, SearchPassagesResult};
use proto::task::v1::Task;
use queue::{Completed, Error, Worker};

use crate::setup::{PATIENCE, Setup, names, search, search_by, searcher, tenant};

fn is_completed(task: &Task) -> bool {
    task.status() == Status::Completed
}

#[tokio::test]
async fn a_submitted_action_is_claimed_handled_and_its_outcome_reaches_task_and_callback() {
    let mut setup = Setup::start().await;
    let outcomes = setup.collect();
    let worker =
        Worker::new(setup.queue.clone(), Domain::Query, 4).on::<SearchPassages, _, _, _>(|work, request| async move {
            assert_eq!(request.query, "why");
            let delivery = work.action().delivery.clone().expect("it was delivered");
            assert_eq!((delivery.attempt, delivery.queue.to_string().as_str()), (1, "query:agent-1:enterprise"));
            assert!(work.action().fence() > 0 && work.remaining().as_secs() >= 290);
            work.stage("looking").await;
            work.event("found");
            let tokens_used = TokenUsage { input: 3, output: 4, total: 7 };
            let reply = SearchPassagesResult { tokens_used: Some(tokens_used), ..SearchPassagesResult::default() };
            Ok::<_, fault::Failure>(Completed { reply, tokens_used })
        });
    setup.run(worker);
    let acme = tenant("acme");
    let action = search(&acme, Tier::Enterprise, "why");
    let (id, task) = (action.id, action.task);
    let submitted = setup.queue.submit(action).await.unwrap();
    assert_eq!(submitted.queue_name.to_string(), "query:agent-1:enterprise");
    assert_eq!((submitted.position, submitted.task.status()), (1, Status::Pending));

    let done = setup.ended(&acme, task).await;
    assert_eq!((done.status(), done.attempts), (Status::Completed, 1));
    assert_eq!(done.tokens_used.unwrap().total, 7);
    assert_eq!(done.result.as_ref().unwrap().type_url, "/nooble.query.v1.SearchPassagesResult");
    assert_eq!(names(&done), ["queued", "claimed", "looking", "found", "settled"]);
    assert!(done.started_at.is_some() && done.finished_at.is_some() && done.error.is_none());

    testkit::eventually(PATIENCE, || async { !outcomes.lock().unwrap().is_empty() }).await;
    let callback = outcomes.lock().unwrap()[0].clone();
    assert_eq!(callback.action_type, "query.callback");
    assert_eq!(callback.source_action_type, "query.search");
    assert_eq!((&callback.action_id, &callback.task_id), (&id.to_string(), &task.to_string()));
    assert_eq!((callback.status(), &callback.result), (Status::Completed, &done.result));
    assert_eq!(callback.events.len(), 5);
    setup.finish().await;
}

#[tokio::test]
async fn the_same_action_submitted_twice_is_one_action_with_the_same_answer() {
    let mut setup = Setup::start().await;
    let acme = tenant("acme");
    setup.queue.submit(search(&acme, Tier::Free, "before")).await.unwrap();
    let action = search(&acme, Tier::Free, "twice");
    let first = setup.queue.submit(action.clone()).await.unwrap();
    let again = setup.queue.submit(action.clone()).await.unwrap();
    assert_eq!((first.position, again.position), (2, 2));
    assert_eq!(first.task, again.task);
    assert_eq!(setup.queue.stats(Domain::Query).await.unwrap().tiers[3].waiting, 2);

    setup.run(searcher(&setup.queue, 2));
    setup.ended(&acme, action.task).await;
    let late = setup.queue.submit(action).await.unwrap();
    assert_eq!(late.task.status(), Status::Completed, "an ended action is not done again");
    setup.finish().await;
}

#[tokio::test]
async fn a_task_is_unknown_to_other_tenants() {
    let setup = Setup::start().await;
    let (acme, other) = (tenant("acme"), tenant("other"));
    let action = search(&acme, Tier::Free, "mine");
    setup.queue.submit(action.clone()).await.unwrap();
    assert!(setup.queue.task(&acme, action.task).await.unwrap().is_some());
    assert!(setup.queue.task(&other, action.task).await.unwrap().is_none());
    assert!(setup.queue.cancel(&other, action.task, "not mine").await.unwrap().is_none());
    setup.queue.note(&other, action.task, "delivered").await.unwrap();
    assert!(setup.queue.tasks(&other, |_| true, 10, "").await.unwrap().0.is_empty());
    let task = setup.queue.task(&acme, action.task).await.unwrap().unwrap();
    assert_eq!((task.status(), names(&task)), (Status::Pending, vec!["queued".to_owned()]));
    assert!(setup.queue.task(&acme, TaskId::new()).await.unwrap().is_none());
    setup.finish().await;
}

#[tokio::test]
async fn a_task_says_for_whom_it_is_and_with_which_agent_and_a_list_does_too() {
    let setup = Setup::start().await;
    let acme = tenant("acme");
    let mut action = search(&acme, Tier::Free, "ours");
    action.user = Some("ana".parse().unwrap());
    action.context.primary_agent = Some("seller".parse().unwrap());
    let whose = |task: &Task| (task.user_id.clone(), task.agent_id.clone());
    let ours = ("ana".to_owned(), "seller".to_owned());
    assert_eq!(whose(&setup.queue.submit(action.clone()).await.unwrap().task), ours);
    assert_eq!(whose(&setup.queue.task(&acme, action.task).await.unwrap().unwrap()), ours);
    setup.queue.submit(search(&acme, Tier::Free, "nobody's in particular")).await.unwrap();
    let (all, _) = setup.queue.tasks(&acme, |_| true, 10, "").await.unwrap();
    assert_eq!(all.iter().map(whose).collect::<Vec<_>>(), [(String::new(), "agent-1".to_owned()), ours.clone()]);
    let (of_ana, _) = setup.queue.tasks(&acme, |task| task.user_id == "ana", 10, "").await.unwrap();
    assert_eq!(of_ana.iter().map(whose).collect::<Vec<_>>(), [ours]);
    setup.finish().await;
}

#[tokio::test]
async fn a_waiting_task_that_is_cancelled_never_runs_and_says_so() {
    let mut setup = Setup::start().await;
    let outcomes = setup.collect();
    let acme = tenant("acme");
    let (first, second) = (search(&acme, Tier::Free, "1"), search(&acme, Tier::Free, "2"));
    setup.queue.submit(first.clone()).await.unwrap();
    setup.queue.submit(second.clone()).await.unwrap();
    let cancelled = setup.queue.cancel(&acme, first.task, "changed my mind").await.unwrap().unwrap();
    assert_eq!(cancelled.status(), Status::Cancelled);
    let error = cancelled.error.unwrap();
    assert_eq!(error.reason, "CANCELLED");
    assert!(error.message.contains("changed my mind"));
    assert!(matches!(setup.queue.cancel(&acme, first.task, "again").await, Err(Error::Finished)));
    testkit::eventually(PATIENCE, || async { outcomes.lock().unwrap().len() == 1 }).await;
    assert_eq!(outcomes.lock().unwrap()[0].status(), Status::Cancelled);

    setup.run(searcher(&setup.queue, 1));
    assert_eq!(setup.ended(&acme, second.task).await.status(), Status::Completed);
    let first = setup.queue.task(&acme, first.task).await.unwrap().unwrap();
    assert_eq!((first.status(), first.attempts), (Status::Cancelled, 0));
    setup.finish().await;
}

#[tokio::test]
async fn tasks_are_listed_newest_first_in_pages_and_by_status() {
    let mut setup = Setup::start().await;
    let acme = tenant("acme");
    let mut submitted = Vec::new();
    for i in 0..7 {
        let action = search(&acme, Tier::Free, &i.to_string());
        setup.queue.submit(action.clone()).await.unwrap();
        submitted.push(action.task.to_string());
    }
    submitted.reverse();
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let (page, next) = setup.queue.tasks(&acme, |_| true, 3, &token).await.unwrap();
        assert!(page.len() <= 3 && page.iter().all(|task| task.events.is_empty()));
        seen.extend(page.into_iter().map(|task| task.task_id));
        token = next;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, submitted);
    let (none, _) = setup.queue.tasks(&acme, is_completed, 10, "").await.unwrap();
    assert!(none.is_empty());
    assert!(matches!(setup.queue.tasks(&acme, |_| true, 3, "nonsense").await, Err(Error::PageToken)));
    setup.run(searcher(&setup.queue, 4));
    testkit::eventually(PATIENCE, || async {
        setup.queue.tasks(&acme, is_completed, 10, "").await.unwrap().0.len() == 7
    })
    .await;
    setup.finish().await;
}

#[tokio::test]
async fn events_from_outside_are_added_to_the_timeline() {
    let setup = Setup::start().await;
    let acme = tenant("acme");
    let action = search(&acme, Tier::Free, "1");
    setup.queue.submit(action.clone()).await.unwrap();
    setup.queue.note(&acme, action.task, "delivered").await.unwrap();
    setup.queue.note(&acme, TaskId::new(), "delivered").await.unwrap();
    let task = setup.queue.task(&acme, action.task).await.unwrap().unwrap();
    assert_eq!(names(&task), ["queued", "delivered"]);
    setup.finish().await;
}

#[tokio::test]
async fn what_must_not_enter_is_refused_by_name() {
    let setup = Setup::start().await;
    let (acme, other) = (tenant("acme"), tenant("other"));
    let mut action = search(&acme, Tier::Free, &"x".repeat(300 * 1024));
    let error = setup.queue.submit(action.clone()).await.unwrap_err();
    assert_eq!(fault::Fault::failure(&error).reason().id, "PAYLOAD_TOO_LARGE");
    action = search(&acme, Tier::Free, "x");
    action.callback = Some(action::QueueName::callbacks(Domain::Orchestrator, other));
    assert!(matches!(setup.queue.submit(action.clone()).await, Err(Error::ForeignCallback)));
    action = search(&acme, Tier::Free, "x");
    action.action_type = "query.nothing".to_owned();
    assert!(matches!(setup.queue.submit(action).await, Err(Error::Action(_))));
    assert_eq!(setup.queue.stats(Domain::Query).await.unwrap().tiers[3].waiting, 0);
    setup.finish().await;
}

#[tokio::test]
async fn how_long_it_takes_is_estimated_once_something_was_measured() {
    let mut setup = Setup::start().await;
    let acme = tenant("acme");
    assert_eq!(setup.queue.estimate(Domain::Query, Tier::Free, 1).await, None);
    setup.run(searcher(&setup.queue, 1));
    setup.queue.submit(search(&acme, Tier::Free, "1")).await.unwrap();
    testkit::eventually(PATIENCE, || async { setup.queue.estimate(Domain::Query, Tier::Free, 3).await.is_some() })
        .await;
    setup.finish().await;
}

#[tokio::test]
async fn the_missions_monitoring_hash_counts_a_queue() {
    let mut setup = Setup::start().await;
    let acme = tenant("acme");
    setup.run(searcher(&setup.queue, 1));
    let action = search_by("monitored", &acme, Tier::Advance, "1");
    setup.queue.submit(action.clone()).await.unwrap();
    setup.ended(&acme, action.task).await;
    let key = "queue_stats:query:agent-monitored:advance";
    testkit::eventually(PATIENCE, || async { setup.redis.command(&["HGET", key, "dequeued"]) == "1" }).await;
    testkit::eventually(PATIENCE, || async { setup.redis.command(&["HGET", key, "enqueued"]) == "1" }).await;
    assert!(setup.redis.command(&["HGET", key, "last_dequeued"]).ends_with('Z'));
    assert!(setup.redis.command(&["TTL", key]).parse::<u32>().unwrap() > 3500);
    setup.finish().await;
}

#[tokio::test]
async fn what_is_noted_from_outside_again_and_again_stands_in_the_timeline_once() {
    let setup = Setup::start().await;
    let acme = tenant("acme");
    let action = search(&acme, Tier::Free, "1");
    setup.queue.submit(action.clone()).await.unwrap();
    for _ in 0..3 {
        setup.queue.note(&acme, action.task, "delivered").await.unwrap();
    }
    let task = setup.queue.task(&acme, action.task).await.unwrap().expect("it is there");
    assert_eq!(task.events.iter().filter(|event| event.name == "delivered").count(), 1);
    setup.finish().await;
}

#[tokio::test]
async fn an_action_whose_context_is_larger_than_it_needs_to_be_is_refused_whole() {
    let setup = Setup::start().await;
    let mut action = search(&tenant("acme"), Tier::Free, "1");
    action.context.metadata.insert("note".into(), "x".repeat(20_000));
    assert!(matches!(setup.queue.fits(&action), Err(queue::Error::PayloadTooLarge { .. })));
    assert!(matches!(setup.queue.submit(action).await, Err(queue::Error::PayloadTooLarge { .. })));
    setup.finish().await;
}
