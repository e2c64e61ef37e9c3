use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use action::{Action, AgentId, Domain, ExecutionContext, Status, TaskId, Tier};
use fault::Failure;
use proto::embedding::v1::{GenerateEmbeddings, GenerateEmbeddingsResult};
use proto::queue::v1::{GetQueueStatsRequest, ListDeadLettersRequest};
use proto::task::v1::frame::Body;
use proto::task::v1::task_service_client::TaskServiceClient;
use proto::task::v1::{
    AgentResponse, CancelTaskRequest, GetTaskRequest, ListTasksRequest, Task, TypingIndicator, WaitTaskRequest,
    WatchTaskRequest, WatchTaskResponse,
};
use queue::{Work, Worker};
use service_kit::{Caller, Host, HostConfig, Identity, Peer, Scope, Scopes, Service};
use session::{Append, Log};
use tokio::sync::Notify;

use crate::mesh::{Mesh, ms, reason, request};

fn identity(tenant: &str) -> Identity {
    Identity::tenant(tenant.parse().unwrap(), Tier::Free)
}

fn tasks(mesh: &Mesh, tenant: &str) -> TaskServiceClient<Peer> {
    mesh.kit.peers.tasks(Domain::Management, identity(tenant))
}

/// Makes work for a tenant, with a session.
fn work(tenant: &str) -> Action {
    let context = ExecutionContext::agent("agent-1".parse::<AgentId>().unwrap());
    let payload = GenerateEmbeddings { texts: vec!["a text".to_owned()], model: String::new() };
    let action = Action::root(tenant.parse().unwrap(), Tier::Free, context, &payload);
    Action { session: Some("session-1".parse().unwrap()), ..action }
}

async fn get(client: &mut TaskServiceClient<Peer>, task: TaskId) -> Result<Task, &'static str> {
    let request = GetTaskRequest { task_id: task.to_string() };
    let response = client.get_task(request).await.map_err(|status| reason(&status))?;
    Ok(response.into_inner().task.unwrap())
}

#[tokio::test]
async fn a_task_exists_for_its_tenant_only_and_is_cancelled_once() {
    let mesh = Mesh::start().await;
    let action = work("acme-1");
    mesh.kit.queue.submit(action.clone()).await.unwrap();
    let (mut own, mut other) = (tasks(&mesh, "acme-1"), tasks(&mesh, "other-1"));
    assert_eq!(get(&mut own, action.task).await.unwrap().status(), Status::Pending);
    assert_eq!(get(&mut other, action.task).await.unwrap_err(), "TASK_NOT_FOUND");
    assert_eq!(get(&mut own, TaskId::new()).await.unwrap_err(), "TASK_NOT_FOUND");
    let malformed = own.get_task(GetTaskRequest { task_id: "x".to_owned() }).await.unwrap_err();
    assert_eq!(reason(&malformed), "INVALID_FIELD");

    let listed = |response: tonic::Response<proto::task::v1::ListTasksResponse>| response.into_inner().tasks.len();
    assert_eq!(listed(own.list_tasks(ListTasksRequest::default()).await.unwrap()), 1);
    assert_eq!(listed(other.list_tasks(ListTasksRequest::default()).await.unwrap()), 0);
    let wrong = own.list_tasks(ListTasksRequest { page_size: -1, ..Default::default() }).await.unwrap_err();
    assert_eq!(reason(&wrong), "INVALID_FIELD");

    let cancel = || CancelTaskRequest { task_id: action.task.to_string(), reason: "not needed".to_owned() };
    assert_eq!(reason(&other.cancel_task(cancel()).await.unwrap_err()), "TASK_NOT_FOUND");
    own.cancel_task(cancel()).await.unwrap();
    let wait = WaitTaskRequest { task_id: action.task.to_string(), timeout: None };
    let ended = own.wait_task(wait).await.unwrap().into_inner().task.unwrap();
    assert_eq!(ended.status(), Status::Cancelled);
    assert_eq!(reason(&own.cancel_task(cancel()).await.unwrap_err()), "TASK_FINISHED");
}

#[tokio::test]
async fn what_is_another_agents_or_another_persons_looks_like_what_does_not_exist_to_a_limited_credential() {
    let mesh = Mesh::start().await;
    let of = |user: Option<&str>| Action { user: user.map(|user| user.parse().unwrap()), ..work("acme-1") };
    let (nobodys, anas, bens) = (of(None), of(Some("ana")), of(Some("ben")));
    for action in [&nobodys, &anas, &bens] {
        mesh.kit.queue.submit(action.clone()).await.unwrap();
    }
    let acme = identity("acme-1");
    let limited = |user: Option<&str>, agent: Option<&str>| {
        let agents = agent.map(|agent| BTreeSet::from([agent.parse().unwrap()]));
        let caller = Caller {
            tenant: acme.of_tenant().cloned(),
            scopes: Scopes::from([Scope::Tenant]),
            user: user.map(|user| user.parse().unwrap()),
            agents,
            ..Caller::default()
        };
        mesh.kit.peers.tasks(Domain::Management, caller)
    };
    let all = [nobodys.task, anas.task, bens.task];
    let cases = [
        (limited(None, Some("agent-1")), vec![true, true, true]),
        (limited(Some("ana"), None), vec![true, true, false]),
        (limited(Some("ben"), Some("agent-1")), vec![true, false, true]),
        (limited(None, Some("agent-2")), vec![false, false, false]),
    ];
    for (mut client, seen) in cases {
        let listed = client.list_tasks(ListTasksRequest::default()).await.unwrap().into_inner().tasks;
        let listed = all.map(|task| listed.iter().any(|one| one.task_id == task.to_string()));
        assert_eq!(listed.to_vec(), seen);
        for (task, seen) in all.into_iter().zip(seen) {
            assert_eq!(get(&mut client, task).await.is_ok(), seen);
            let watched = WatchTaskRequest { task_id: task.to_string(), ..WatchTaskRequest::default() };
            assert_eq!(client.watch_task(watched).await.is_ok(), seen);
            let wait = WaitTaskRequest {
                task_id: task.to_string(),
                timeout: Some(prost_types::Duration { seconds: 0, nanos: 1 }),
            };
            assert_eq!(client.wait_task(wait).await.is_ok(), seen);
            if !seen {
                let cancel = CancelTaskRequest { task_id: task.to_string(), reason: String::new() };
                assert_eq!(reason(&client.cancel_task(cancel).await.unwrap_err()), "TASK_NOT_FOUND");
            }
        }
    }
}

#[tokio::test]
async fn waiting_ends_with_the_time_that_was_asked_for() {
    let mesh = Mesh::start().await;
    let action = work("acme-1");
    mesh.kit.queue.submit(action.clone()).await.unwrap();
    let wait = |seconds, nanos| WaitTaskRequest {
        task_id: action.task.to_string(),
        timeout: Some(prost_types::Duration { seconds, nanos }),
    };
    let mut client = tasks(&mesh, "acme-1");
    let waited = client.wait_task(wait(0, 50_000_000)).await.unwrap().into_inner().task.unwrap();
    assert_eq!(waited.status(), Status::Pending);
    assert_eq!(reason(&client.wait_task(wait(301, 0)).await.unwrap_err()), "INVALID_FIELD");
}

/// Starts a worker that tells of a typing agent and waits until it may end.
async fn start_worker(mesh: &Mesh, go_on: Arc<Notify>) {
    let kit = mesh.kit.clone();
    let sessions = kit.sessions.clone();
    let handle = move |work: Work, _: GenerateEmbeddings| {
        let (sessions, go_on) = (sessions.clone(), Arc::clone(&go_on));
        async move {
            let body = Body::TypingIndicator(TypingIndicator { agent_id: "agent-1".to_owned() });
            let frame = Append::progress(work.action(), body);
            sessions.append(&Log::of(work.action()), frame).await.unwrap();
            go_on.notified().await;
            Ok::<_, Failure>(GenerateEmbeddingsResult::default())
        }
    };
    let worker = Worker::new(kit.queue.clone(), Domain::Embedding, 4).on::<GenerateEmbeddings, _, _, _>(handle);
    let host = Host::bind(HostConfig::anywhere()).await.unwrap();
    let service = Service::new(Domain::Embedding).work(move |shutdown| worker.run(shutdown));
    tokio::spawn(async move { host.serve(service).until(&kit, std::future::pending()).await });
}

async fn next(stream: &mut tonic::Streaming<WatchTaskResponse>) -> WatchTaskResponse {
    tokio::time::timeout(Duration::from_secs(10), stream.message()).await.unwrap().unwrap().unwrap()
}

#[tokio::test]
async fn watching_shows_the_task_then_its_own_frames_then_its_end() {
    let mesh = Mesh::start().await;
    let go_on = Arc::new(Notify::new());
    let (action, other) = (work("acme-1"), work("acme-1"));
    let log = Log::of(&action);
    let foreign = Body::TypingIndicator(TypingIndicator::default());
    mesh.kit.sessions.append(&log, Append::progress(&other, foreign)).await.unwrap();
    mesh.kit.queue.submit(action.clone()).await.unwrap();
    let mut client = tasks(&mesh, "acme-1");
    let watch = WatchTaskRequest { task_id: action.task.to_string(), ..Default::default() };
    let mut stream = client.watch_task(watch).await.unwrap().into_inner();
    let first = next(&mut stream).await;
    assert_eq!((first.task.unwrap().status(), first.frame), (Status::Pending, None));

    start_worker(&mesh, Arc::clone(&go_on)).await;
    let typing = next(&mut stream).await.frame.unwrap();
    assert_eq!(typing.task_id, action.task.to_string());
    assert!(matches!(typing.body, Some(Body::TypingIndicator(_))));
    go_on.notify_one();
    let wait = WaitTaskRequest { task_id: action.task.to_string(), timeout: None };
    let ended = client.wait_task(wait).await.unwrap().into_inner().task.unwrap();
    assert_eq!(ended.status(), Status::Completed);

    let answer = Append::last(&action, Body::AgentResponse(AgentResponse::default()));
    mesh.kit.sessions.append(&log, Append { fence: Append::DECIDED, ..answer }).await.unwrap();
    assert!(matches!(next(&mut stream).await.frame.unwrap().body, Some(Body::AgentResponse(_))));
    let last = next(&mut stream).await;
    assert_eq!((last.task.unwrap().status(), last.frame), (Status::Completed, None));
    assert!(stream.message().await.unwrap().is_none(), "nothing follows");
}

#[tokio::test]
async fn watching_ends_soon_after_the_task_even_when_its_log_has_no_final_frame() {
    let mesh = Mesh::start().await;
    let action = work("acme-1");
    mesh.kit.queue.submit(action.clone()).await.unwrap();
    mesh.kit.queue.cancel(&action.tenant, action.task, "not needed").await.unwrap();
    let watch = WatchTaskRequest { task_id: action.task.to_string(), ..Default::default() };
    let mut stream = tasks(&mesh, "acme-1").watch_task(watch).await.unwrap().into_inner();
    assert_eq!(next(&mut stream).await.task.unwrap().status(), Status::Cancelled);
    assert_eq!(next(&mut stream).await.task.unwrap().status(), Status::Cancelled);
    assert!(stream.message().await.unwrap().is_none(), "nothing follows");
}

/// Time for the last frame is given where it is missing, and not where it was seen.
#[tokio::test]
async fn watching_from_the_end_of_a_task_that_has_just_ended_is_over_at_once() {
    let mesh = Mesh::start().await;
    let action = work("acme-1");
    let log = Log::of(&action);
    mesh.kit.queue.submit(action.clone()).await.unwrap();
    mesh.kit.queue.cancel(&action.tenant, action.task, "not needed").await.unwrap();
    let answer = Append::last(&action, Body::AgentResponse(AgentResponse::default()));
    let appended = mesh.kit.sessions.append(&log, Append { fence: Append::DECIDED, ..answer }).await.unwrap();
    let epoch = mesh.kit.sessions.read(&log, session::Position::default(), 1).await.unwrap().epoch;
    let begun = Instant::now();
    let watch = WatchTaskRequest { task_id: action.task.to_string(), epoch, after: appended.seq };
    let mut stream = tasks(&mesh, "acme-1").watch_task(watch).await.unwrap().into_inner();
    for _ in 0..2 {
        let told = next(&mut stream).await;
        assert_eq!((told.task.unwrap().status(), told.frame), (Status::Cancelled, None));
    }
    assert!(stream.message().await.unwrap().is_none(), "nothing follows");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    // Who has not seen the end is still told.
    let mut stream = tasks(&mesh, "acme-1")
        .watch_task(WatchTaskRequest { task_id: action.task.to_string(), ..Default::default() })
        .await
        .unwrap()
        .into_inner();
    next(&mut stream).await;
    assert!(matches!(next(&mut stream).await.frame.unwrap().body, Some(Body::AgentResponse(_))));
}

#[tokio::test]
async fn who_watches_from_outside_must_prove_itself_again_after_a_while() {
    let mesh = Mesh::adjusted(HostConfig::anywhere(), |config| config.proof = ms(200)).await;
    let action = work("acme-1");
    mesh.kit.queue.submit(action.clone()).await.unwrap();
    let watch = || WatchTaskRequest { task_id: action.task.to_string(), ..Default::default() };
    let outside = request(watch(), &[("x-api-key", "nbl_tenant_key")]);
    let mut outside = TaskServiceClient::new(mesh.channel()).watch_task(outside).await.unwrap().into_inner();
    let mut inside = tasks(&mesh, "acme-1").watch_task(watch()).await.unwrap().into_inner();
    for stream in [&mut outside, &mut inside] {
        assert_eq!(next(stream).await.task.unwrap().status(), Status::Pending);
    }
    let ended = outside.message().await.unwrap_err();
    assert_eq!((ended.code(), reason(&ended)), (tonic::Code::Unavailable, "DRAINING"));
    assert!(tokio::time::timeout(ms(300), inside.message()).await.is_err(), "a service of the mesh goes on");
}

#[tokio::test]
async fn queues_are_shown_to_operators_only() {
    let mesh = Mesh::start().await;
    mesh.kit.queue.submit(work("acme-1")).await.unwrap();
    let mut tenant = mesh.kit.peers.queues(Domain::Management, identity("acme-1"));
    let refused = tenant.get_queue_stats(GetQueueStatsRequest::default()).await.unwrap_err();
    assert_eq!(reason(&refused), "SCOPE_REQUIRED");
    let operator = Caller { scopes: Scopes::from([Scope::Admin]), ..Caller::default() };
    let mut operator = mesh.kit.peers.queues(Domain::Management, operator);
    let all = operator.get_queue_stats(GetQueueStatsRequest::default()).await.unwrap().into_inner().domains;
    assert_eq!(all.len(), Domain::ALL.len());
    let embedding = all.iter().find(|stats| stats.domain == "embedding").unwrap();
    assert_eq!(embedding.tiers.iter().map(|tier| tier.waiting).sum::<u64>(), 1);
    let unknown = GetQueueStatsRequest { domain: "cooking".to_owned() };
    assert_eq!(reason(&operator.get_queue_stats(unknown).await.unwrap_err()), "QUEUE_NOT_FOUND");
    let letters = ListDeadLettersRequest { domain: "embedding".to_owned(), ..Default::default() };
    assert!(operator.list_dead_letters(letters).await.unwrap().into_inner().dead_letters.is_empty());
}
