//! How streams of workers end, and what becomes of what they held.

use std::time::{Duration, Instant};

use action::{Domain, Status};
use proto::queue::v1::SettleResult;
use proto::queue::v1::stop::Cause;
use proto::queue::v1::work_response::Message as Told;
use queue::Letters;
use service_kit::HostConfig;

use crate::mesh::{Mesh, ms, reason};
use crate::worker::{Worker, attempt, done, submit, task, until};

#[tokio::test]
async fn a_worker_that_says_nothing_counts_as_gone() {
    let mesh = Mesh::adjusted(HostConfig::anywhere(), |config| config.silence = ms(1_000)).await;
    let action = submit(&mesh).await;
    let mut silent = Worker::open(&mesh, 1).await;
    silent.leased().await;
    let status = silent.end().await.unwrap();
    assert_eq!(reason(&status), "DEADLINE_EXCEEDED");
    let mut next = Worker::open(&mesh, 1).await;
    let leased = next.leased().await;
    assert_eq!(attempt(&leased), 2);
    next.settle(&leased, done()).await;
    assert_eq!(task(&mesh, &action).await.status(), Status::Completed);
}

#[tokio::test]
async fn a_worker_that_closes_its_side_gives_back_what_it_holds() {
    let mesh = Mesh::start().await;
    submit(&mesh).await;
    let mut first = Worker::open(&mesh, 5).await;
    first.leased().await;
    first.close();
    assert!(first.end().await.is_none());
    let begun = Instant::now();
    let leased = Worker::open(&mesh, 1).await.leased().await;
    assert_eq!(attempt(&leased), 1);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_action_that_ends_its_workers_is_given_up() {
    let mesh = Mesh::start().await;
    let action = submit(&mesh).await;
    let begun = Instant::now();
    for crash in 1..=3 {
        let mut worker = Worker::open(&mesh, 1).await;
        assert_eq!(attempt(&worker.leased().await), crash);
        worker.die().await;
    }
    // The claim of one that is still there finds the lease that ended.
    let _other = Worker::open(&mesh, 1).await;
    let ended = until(&mesh, &action, Status::Failed).await;
    assert_eq!(ended.error.unwrap().reason, "POISONED");
    assert!(begun.elapsed() < Duration::from_secs(9), "no lease had to run out: {:?}", begun.elapsed());
    let (letters, _) = mesh.kit.queue.dead_letters(Domain::Embedding, &Letters::ALL, 10, "").await.unwrap();
    assert_eq!(letters.len(), 1);
    assert!(mesh.kit.queue.check(Domain::Embedding).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_drain_waits_for_what_is_leased_and_sends_streams_elsewhere() {
    let mesh = Mesh::start().await;
    let action = submit(&mesh).await;
    let mut worker = Worker::open(&mesh, 3).await;
    let leased = worker.leased().await;
    mesh.stop.cancel();
    assert!(matches!(worker.next().await.unwrap(), Some(Told::Drain(_))));
    submit(&mesh).await;
    assert_eq!(worker.settle(&leased, done()).await.result(), SettleResult::Ok);
    let status = worker.next().await.unwrap_err();
    assert_eq!(reason(&status), "DRAINING", "nothing new came");
    assert_eq!(task(&mesh, &action).await.status(), Status::Completed);
    mesh.host.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_outlasts_the_grace_of_a_drain_is_given_back() {
    let mut mesh = Mesh::adjusted(HostConfig::anywhere(), |config| config.queue.grace = ms(200)).await;
    let action = submit(&mesh).await;
    let mut worker = Worker::open(&mesh, 1).await;
    worker.leased().await;
    let begun = Instant::now();
    mesh.stop.cancel();
    let mut told_to_stop = false;
    let status = loop {
        match worker.next().await {
            Ok(Some(Told::Stop(stop))) => told_to_stop = stop.cause() == Cause::Lost,
            Ok(_) => {}
            Err(status) => break status,
        }
    };
    assert_eq!(reason(&status), "DRAINING", "stopped before: {told_to_stop}");
    (&mut mesh.host).await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let task = task(&mesh, &action).await;
    assert_eq!((task.status(), task.stage.as_str(), task.attempts), (Status::Pending, "released", 1));
}

#[tokio::test]
async fn a_stream_moves_when_its_proof_is_over_and_loses_nothing() {
    let mesh = Mesh::adjusted(HostConfig::anywhere(), |config| config.proof = ms(500)).await;
    let action = submit(&mesh).await;
    let mut worker = Worker::open(&mesh, 1).await;
    let leased = worker.leased().await;
    assert!(matches!(worker.next().await.unwrap(), Some(Told::Drain(_))));
    assert_eq!(worker.settle(&leased, done()).await.result(), SettleResult::Ok);
    assert_eq!(reason(&worker.end().await.unwrap()), "DRAINING");
    assert_eq!(task(&mesh, &action).await.status(), Status::Completed);
}

#[tokio::test]
async fn a_stream_moves_when_the_key_of_its_worker_ends() {
    let mesh = Mesh::start().await;
    *mesh.management.key_ends.lock().unwrap() = Some(std::time::SystemTime::now() + ms(700));
    let action = submit(&mesh).await;
    let mut worker = Worker::open(&mesh, 1).await;
    let leased = worker.leased().await;
    assert!(matches!(worker.next().await.unwrap(), Some(Told::Drain(_))));
    assert_eq!(worker.settle(&leased, done()).await.result(), SettleResult::Ok);
    assert_eq!(reason(&worker.end().await.unwrap()), "DRAINING");
    assert_eq!(task(&mesh, &action).await.status(), Status::Completed);
}
