//! What a worker from outside is given, and how it settles that.

use std::time::{Duration, Instant};

use action::{Domain, QueueName, Status};
use fault::Failure;
use proto::action::v1::ErrorDetail;
use proto::embedding::v1::{GenerateEmbeddings, GenerateEmbeddingsResult};
use proto::queue::v1 as wire;
use proto::queue::v1::SettleResult;
use proto::queue::v1::settle::Verdict;
use proto::queue::v1::stop::Cause;
use proto::queue::v1::work_request::Message as Say;
use proto::queue::v1::work_response::Message as Told;
use tonic::Code;

use crate::mesh::{Mesh, ms, reason};
use crate::worker::{Worker, attempt, complete, done, fence, open, submit, task, until, work};

fn result(settled: &wire::Settled) -> SettleResult {
    settled.result()
}

#[tokio::test]
async fn streams_share_actions_by_what_they_asked_for() {
    let mesh = Mesh::start().await;
    let (mut one, mut other) = (Worker::open(&mesh, 4).await, Worker::open(&mesh, 4).await);
    for _ in 0..4 {
        submit(&mesh).await;
    }
    for worker in [&mut one, &mut other] {
        worker.leased().await;
        worker.leased().await;
    }
    // Four credits are left: no more than four of six are leased, until somebody asks for more.
    let actions = futures::future::join_all((0..6).map(|_| submit(&mesh))).await;
    for worker in [&mut one, &mut other] {
        worker.leased().await;
        worker.leased().await;
    }
    one.say(Say::Credit(wire::Credit { credits: 2 }));
    one.leased().await;
    one.leased().await;
    for action in &actions {
        until(&mesh, action, Status::Running).await;
    }
    assert!(mesh.kit.queue.healthy(Domain::Embedding));
}

#[tokio::test]
async fn an_action_is_settled_once_by_who_holds_it_and_with_what_it_replies() {
    let mesh = Mesh::start().await;
    let action = submit(&mesh).await;
    let mut worker = Worker::open(&mesh, 1).await;
    let leased = worker.leased().await;
    let sent = leased.action.clone().unwrap();
    assert_eq!((sent.action_id, sent.action_type.as_str()), (action.id.to_string(), "embedding.generate"));
    assert!(leased.remaining.unwrap().seconds > 20, "the budget of a free tenant is 30 s");

    let stale = worker.settle_under(&leased, fence(&leased) - 1, done()).await;
    assert_eq!(result(&stale), SettleResult::Stale);
    let unknown = wire::LeasedAction { lease_id: 77, ..leased.clone() };
    assert_eq!(result(&worker.settle(&unknown, done()).await), SettleResult::Gone);
    let wrong = prost_types::Any::from_msg(&GenerateEmbeddings::default()).unwrap();
    let malformed =
        prost_types::Any { type_url: <GenerateEmbeddingsResult as prost::Name>::type_url(), value: vec![0xff] };
    let unreasonable = wire::Fail { error: Some(ErrorDetail::default()), retry: true };
    for verdict in [
        complete(Some(wrong)),
        complete(Some(malformed)),
        complete(None),
        Verdict::Suspend(wire::Suspend::default()),
        Verdict::Fail(unreasonable),
    ] {
        let refused = worker.settle(&leased, verdict).await;
        assert_eq!(result(&refused), SettleResult::Refused);
        assert!(!refused.message.is_empty());
    }
    assert_eq!(task(&mesh, &action).await.status(), Status::Running, "nothing has changed");

    assert_eq!(result(&worker.settle(&leased, done()).await), SettleResult::Ok);
    assert_eq!(result(&worker.settle(&leased, done()).await), SettleResult::Gone);
    let ended = task(&mesh, &action).await;
    assert_eq!((ended.status(), ended.attempts), (Status::Completed, 1));
    let steps: Vec<_> = ended.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(steps, ["queued", "claimed", "settled"]);
}

#[tokio::test]
async fn a_failed_action_is_tried_again_when_that_may_help_and_ends_otherwise() {
    let mesh = Mesh::start().await;
    let action = submit(&mesh).await;
    let mut worker = Worker::open(&mesh, 3).await;
    let failed = |retry| {
        let error = ErrorDetail {
            reason: "INTERNAL".to_owned(),
            retry_after: Some(prost_types::Duration { seconds: 0, nanos: 1_000_000 }),
            ..ErrorDetail::default()
        };
        Verdict::Fail(wire::Fail { error: Some(error), retry })
    };
    let first = worker.leased().await;
    assert_eq!(result(&worker.settle(&first, failed(true)).await), SettleResult::Ok);
    let second = worker.leased().await;
    assert_eq!(attempt(&second), 2);
    worker.settle(&second, Verdict::Release(wire::Release {})).await;
    let third = worker.leased().await;
    assert_eq!(attempt(&third), 2, "what is released does not count");
    worker.settle(&third, failed(false)).await;
    let ended = until(&mesh, &action, Status::Failed).await;
    assert_eq!((ended.attempts, ended.error.unwrap().reason.as_str()), (2, "INTERNAL"));
}

#[tokio::test]
async fn a_cancelled_and_an_overdue_action_reach_their_worker() {
    let mesh = Mesh::start().await;
    let action = submit(&mesh).await;
    let mut worker = Worker::open(&mesh, 2).await;
    let leased = worker.leased().await;
    let begun = Instant::now();
    mesh.kit.queue.cancel(&action.tenant, action.task, "not needed").await.unwrap();
    let Some(Told::Stop(stop)) = worker.next().await.unwrap() else { panic!("not told to stop") };
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!((stop.lease_id, stop.cause(), stop.reason.as_str()), (1, Cause::Cancelled, "not needed"));
    assert_eq!(result(&worker.settle(&leased, done()).await), SettleResult::Gone);
    until(&mesh, &action, Status::Cancelled).await;

    let action = work();
    let options = queue::Options { budget: Some(ms(300)), ..queue::Options::default() };
    mesh.kit.queue.submit_with(action.clone(), &options).await.unwrap();
    worker.leased().await;
    let Some(Told::Stop(stop)) = worker.next().await.unwrap() else { panic!("not told to stop") };
    assert_eq!(stop.cause(), Cause::Overdue);
    until(&mesh, &action, Status::Timeout).await;
}

#[tokio::test]
async fn an_outcome_is_taken_without_a_result() {
    let mesh = Mesh::start().await;
    let mut action = work();
    action.callback = Some(QueueName::callbacks(Domain::Embedding, action.tenant.clone()));
    mesh.kit.queue.submit(action.clone()).await.unwrap();
    let mut worker = Worker::open(&mesh, 2).await;
    let leased = worker.leased().await;
    worker.settle(&leased, done()).await;
    let callback = worker.leased().await;
    assert_eq!(callback.action.as_ref().unwrap().action_type, "embedding.callback");
    let refused = worker.settle(&callback, done()).await;
    assert_eq!(result(&refused), SettleResult::Refused, "nobody would read it");
    assert_eq!(result(&worker.settle(&callback, complete(None)).await), SettleResult::Ok);
}

#[tokio::test]
async fn a_worker_of_the_process_and_one_from_outside_work_side_by_side() {
    let mesh = Mesh::start().await;
    let stop = tokio_util::sync::CancellationToken::new();
    let here = queue::Worker::new(mesh.kit.queue.clone(), Domain::Embedding, 1).on::<GenerateEmbeddings, _, _, _>(
        |work, _| async move {
            work.cancelled().cancelled().await;
            Ok::<_, Failure>(GenerateEmbeddingsResult::default())
        },
    );
    let running = tokio::spawn(here.run(stop.clone()));
    let actions = [submit(&mesh).await, submit(&mesh).await];
    let mut outside = Worker::open(&mesh, 1).await;
    let leased = outside.leased().await;
    outside.settle(&leased, done()).await;
    for action in &actions {
        testkit::eventually(crate::worker::PATIENCE, || async {
            [Status::Running, Status::Completed].contains(&task(&mesh, action).await.status())
        })
        .await;
    }
    assert!(mesh.kit.queue.healthy(Domain::Embedding));
    stop.cancel();
    running.abort();
}

#[tokio::test]
async fn what_a_stream_may_not_say_ends_it_by_name() {
    let mesh = Mesh::start().await;
    let credit = Say::Credit(wire::Credit { credits: 1 });
    let long = wire::Open { worker_name: "x".repeat(101), ..open("embedding", 1) };
    let cases = [
        ("nbl_worker_key", credit.clone(), Code::InvalidArgument, "INVALID_FIELD"),
        ("nbl_worker_key", Say::Open(open("nothing", 1)), Code::NotFound, "QUEUE_NOT_FOUND"),
        ("nbl_worker_key", Say::Open(open("embedding", 1001)), Code::InvalidArgument, "INVALID_FIELD"),
        ("nbl_worker_key", Say::Open(long), Code::InvalidArgument, "INVALID_FIELD"),
        ("nbl_worker_key", Say::Open(open("execution", 1)), Code::PermissionDenied, "SCOPE_REQUIRED"),
        ("nbl_admin_key", Say::Open(open("embedding", 1)), Code::PermissionDenied, "SCOPE_REQUIRED"),
    ];
    for (key, message, code, name) in cases {
        let mut worker = Worker::connect(&mesh, key).await;
        worker.say(message.clone());
        let status = worker.end().await.unwrap();
        assert_eq!((status.code(), reason(&status)), (code, name), "{message:?}");
    }
    let again = Say::Open(open("embedding", 1));
    for message in [again, Say::Credit(wire::Credit { credits: 0 }), Say::Credit(wire::Credit { credits: 1_000 })] {
        let mut worker = Worker::open(&mesh, 1).await;
        worker.say(message.clone());
        let status = worker.end().await.unwrap();
        assert_eq!(reason(&status), "INVALID_FIELD", "{message:?}");
    }
}
