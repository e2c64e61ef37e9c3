//! Streams of callers from outside whose credential ceases to be good while they are open.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use action::{Action, AgentId, ExecutionContext, Status, Tier};
use proto::embedding::v1::GenerateEmbeddings;
use proto::queue::v1::SettleResult;
use proto::task::v1::frame::Body;
use proto::task::v1::task_service_client::TaskServiceClient;
use proto::task::v1::{TypingIndicator, WatchTaskRequest, WatchTaskResponse};
use service_kit::identity::{Grant, mint};
use service_kit::{Change, HostConfig};
use session::{Append, Log};
use testkit::eventually;
use tonic::{Code, Status as Refused, Streaming};

use crate::mesh::{Mesh, reason, request, tokens};
use crate::worker::{PATIENCE, Worker, attempt, done, submit, task};

/// The promise is a second; the rest is for a slow machine, and far below what is believed without a change.
const SOON: Duration = Duration::from_secs(5);

/// A mesh that believes what it was told for a minute, unless it hears of a change.
async fn mesh() -> Mesh {
    let minute = Duration::from_mins(1);
    Mesh::adjusted(HostConfig::anywhere(), |config| (config.resolver.held, config.resolver.positive) = (minute, minute))
        .await
}

async fn work(mesh: &Mesh) -> Action {
    let context = ExecutionContext::agent("agent-1".parse::<AgentId>().unwrap());
    let payload = GenerateEmbeddings { texts: vec!["a text".to_owned()], model: String::new() };
    let action = Action::root("acme-1".parse().unwrap(), Tier::Free, context, &payload);
    mesh.kit.queue.submit(action.clone()).await.unwrap();
    action
}

/// Watches a task from outside, and has seen it.
async fn watch(mesh: &Mesh, action: &Action, credential: &str) -> Streaming<WatchTaskResponse> {
    let watch = WatchTaskRequest { task_id: action.task.to_string(), ..Default::default() };
    let call = request(watch, &[("authorization", &format!("Bearer {credential}"))]);
    let mut stream = TaskServiceClient::new(mesh.channel()).watch_task(call).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().task.unwrap().status(), Status::Pending);
    stream
}

/// Returns how a stream fails that has to fail soon.
async fn fails(stream: &mut Streaming<WatchTaskResponse>) -> Refused {
    tokio::time::timeout(SOON, stream.message()).await.expect("it ends soon").unwrap_err()
}

#[tokio::test]
async fn a_stream_ends_soon_after_its_key_was_revoked_or_its_tenant_suspended() {
    let mesh = mesh().await;
    let action = work(&mesh).await;
    let ttl = Duration::from_hours(1);
    let grant = Grant { tenant: "acme-1".parse().unwrap(), user: None, agents: None, tier: None, ttl };
    let token = mint(&tokens(), &grant).unwrap();
    let mut by_key = watch(&mesh, &action, "nbl_tenant_key").await;
    let mut by_token = watch(&mesh, &action, token.expose()).await;
    mesh.management.revoked.store(true, Ordering::Relaxed);
    mesh.kit.changes.announce(Change::Key).await;
    mesh.kit.changes.announce(Change::Tenant("acme-1".parse().unwrap())).await;
    let ended = fails(&mut by_key).await;
    assert_eq!((ended.code(), reason(&ended)), (Code::Unauthenticated, "CREDENTIAL_INVALID"));
    assert_eq!(reason(&fails(&mut by_token).await), "TENANT_INACTIVE");
}

#[tokio::test]
async fn a_stream_goes_on_when_another_key_has_changed_or_nobody_can_say() {
    let mesh = mesh().await;
    let action = work(&mesh).await;
    let mut stream = watch(&mesh, &action, "nbl_tenant_key").await;
    for away in [false, true] {
        mesh.management.away.store(away, Ordering::Relaxed);
        let before = mesh.management.resolved.load(Ordering::Relaxed);
        mesh.kit.changes.announce(Change::Key).await;
        eventually(PATIENCE, || async { mesh.management.resolved.load(Ordering::Relaxed) > before }).await;
        let typing = Body::TypingIndicator(TypingIndicator { agent_id: "agent-1".to_owned() });
        mesh.kit.sessions.append(&Log::of(&action), Append::progress(&action, typing)).await.unwrap();
        let told = tokio::time::timeout(PATIENCE, stream.message()).await.unwrap().unwrap().unwrap();
        assert!(matches!(told.frame.unwrap().body, Some(Body::TypingIndicator(_))));
    }
    // Whoever could not be asked is asked again until it says something.
    mesh.management.revoked.store(true, Ordering::Relaxed);
    mesh.management.away.store(false, Ordering::Relaxed);
    assert_eq!(fails(&mut stream).await.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_worker_whose_key_is_revoked_is_sent_away_and_what_it_held_goes_to_another() {
    let mesh = mesh().await;
    let action = submit(&mesh).await;
    let mut worker = Worker::open(&mesh, 1).await;
    worker.leased().await;
    let begun = Instant::now();
    mesh.management.revoked.store(true, Ordering::Relaxed);
    mesh.kit.changes.announce(Change::Key).await;
    let ended = worker.end().await.unwrap();
    assert_eq!((ended.code(), reason(&ended)), (Code::Unauthenticated, "CREDENTIAL_INVALID"));
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    mesh.management.revoked.store(false, Ordering::Relaxed);
    mesh.kit.changes.announce(Change::Key).await;
    let mut next = Worker::open(&mesh, 1).await;
    let leased = next.leased().await;
    assert_eq!(attempt(&leased), 2);
    assert_eq!(next.settle(&leased, done()).await.result(), SettleResult::Ok);
    assert_eq!(task(&mesh, &action).await.status(), Status::Completed);
}
