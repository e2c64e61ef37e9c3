//! Messages in, one final frame out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use action::{Domain, Tier};
use fault::{Failure, reason};
use orchestrator::Config;
use proto::action::v1::{ContextType, Status};
use proto::execution::v1::{AgentRun, AgentRunResult};
use proto::orchestrator::v1::SendMessageRequest;
use proto::task::v1::frame::Body;
use queue::{Completed, Work, Worker};
use session::{Log, Position};
use tokio_util::sync::CancellationToken;

use crate::mesh::{Mesh, tenant};

const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn message(text: &str, session: &str) -> SendMessageRequest {
    SendMessageRequest {
        agent_id: "agent-ventas".into(),
        session_id: session.into(),
        run: Some(AgentRun { message: text.into(), ..AgentRun::default() }),
        ..SendMessageRequest::default()
    }
}

/// Runs agents with `answer` until the token is dropped.
fn agents<F>(mesh: &Mesh, answer: F) -> tokio_util::sync::DropGuard
where
    F: Fn(&Work, AgentRun) -> Result<AgentRunResult, Failure> + Send + Sync + 'static,
{
    let answer = Arc::new(answer);
    let worker = Worker::new(mesh.kit.queue.clone(), Domain::Execution, 8).on(move |work: Work, run: AgentRun| {
        let answer = Arc::clone(&answer);
        async move { answer(&work, run).map(Completed::from) }
    });
    let stop = CancellationToken::new();
    mesh.kit.tasks.spawn(worker.run(stop.clone()));
    stop.drop_guard()
}

fn answered(response: &str) -> AgentRunResult {
    AgentRunResult { response: response.into(), found: true, ..AgentRunResult::default() }
}

/// Returns what the session's log says, as (task, body).
async fn shown(mesh: &Mesh, session: &str) -> Vec<(String, Body)> {
    let log = Log::session(&tenant(), &session.parse().expect("an id"));
    let page = mesh.kit.sessions.read(&log, Position::default(), 1_000).await.expect("the log is readable");
    page.frames.into_iter().filter_map(|frame| Some((frame.task_id, frame.body?))).collect()
}

async fn finals(mesh: &Mesh, session: &str) -> Vec<Body> {
    let is_final = |body: &Body| matches!(body, Body::AgentResponse(_) | Body::Error(_));
    shown(mesh, session).await.into_iter().map(|(_, body)| body).filter(is_final).collect()
}

#[tokio::test]
async fn a_message_becomes_a_run_and_its_outcome_one_frame() {
    let mesh = Mesh::start().await;
    let _agents = agents(&mesh, |work, run| {
        let action = work.action();
        assert_eq!(action.context.metadata["user_id"], "user-789");
        assert_eq!(action.context.id.as_str(), "agent-ventas");
        assert_eq!(action.user.as_ref().map(ToString::to_string).as_deref(), Some("user-789"));
        assert!(run.turn > 0, "a turn is numbered when it is accepted");
        Ok(answered(&format!("You said: {}", run.message)))
    });
    let request = SendMessageRequest { user_id: "user-789".into(), ..message("hola", "sess-one") };
    let accepted = mesh.send(request).await.expect("accepted");
    assert_eq!(accepted.queue_name, "execution:agent-ventas:professional");
    assert!(accepted.estimated_time.is_some_and(|time| time.seconds > 0 || time.nanos > 0));
    let task = accepted.task.expect("a task").task_id;

    testkit::eventually(PATIENCE, || async { !finals(&mesh, "sess-one").await.is_empty() }).await;
    let finals = finals(&mesh, "sess-one").await;
    let [Body::AgentResponse(answer)] = &finals[..] else { panic!("one answer, not {finals:?}") };
    assert_eq!(answer.response, "You said: hola");
    assert_eq!(answer.status(), Status::Completed);
    assert!(answer.events.iter().any(|event| event.name == "claimed"), "the timeline comes along");
    assert!(shown(&mesh, "sess-one").await.iter().all(|(of, _)| *of == task));
}

#[tokio::test]
async fn two_messages_are_shown_in_their_own_sessions() {
    let mesh = Mesh::start().await;
    let _agents = agents(&mesh, |_, run| Ok(answered(&run.message)));
    for session in ["sess-a", "sess-b"] {
        mesh.send(message(session, session)).await.expect("accepted");
    }
    for session in ["sess-a", "sess-b"] {
        testkit::eventually(PATIENCE, || async { !finals(&mesh, session).await.is_empty() }).await;
        let finals = finals(&mesh, session).await;
        assert!(matches!(&finals[..], [Body::AgentResponse(answer)] if answer.response == session));
    }
}

#[tokio::test]
async fn a_message_without_a_session_is_answered_in_the_log_of_its_task() {
    let mesh = Mesh::start().await;
    let _agents = agents(&mesh, |work, run| {
        assert!(work.action().session.is_none());
        Ok(answered(&run.message))
    });
    let task = mesh.send(message("hola", "")).await.expect("accepted").task.expect("a task");
    let log = Log::task(&tenant(), task.task_id.parse().expect("an id"));
    let told = || async {
        let page = mesh.kit.sessions.read(&log, Position::default(), 1_000).await.expect("the log is readable");
        let answer = |body: &Body| matches!(body, Body::AgentResponse(answer) if answer.response == "hola");
        page.frames.iter().filter_map(|frame| frame.body.as_ref()).any(answer)
    };
    testkit::eventually(PATIENCE, told).await;
}

#[tokio::test]
async fn a_run_that_fails_is_an_error_that_says_what_happened() {
    let mesh = Mesh::start().await;
    let attempts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&attempts);
    let _agents = agents(&mesh, move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        Err(Failure::new(&reason::PROVIDER_REJECTED, "the model provider refused the request (status 401)"))
    });
    mesh.send(message("hola", "sess-fail")).await.expect("accepted");
    testkit::eventually(PATIENCE, || async { !finals(&mesh, "sess-fail").await.is_empty() }).await;
    let finals = finals(&mesh, "sess-fail").await;
    let [Body::Error(error)] = &finals[..] else { panic!("one error, not {finals:?}") };
    assert_eq!(error.status(), Status::Failed);
    let detail = error.error.as_ref().expect("a detail");
    assert_eq!(detail.reason, "PROVIDER_REJECTED");
    assert!(detail.message.contains("401"));
    assert_eq!(attempts.load(Ordering::SeqCst), 1, "what cannot succeed is not tried again");
}

#[tokio::test]
async fn a_cancelled_task_is_shown_as_cancelled() {
    let mesh = Mesh::start().await;
    let accepted = mesh.send(message("hola", "sess-cancel")).await.expect("accepted");
    let task = accepted.task.expect("a task").task_id.parse().expect("an id");
    mesh.kit.queue.cancel(&tenant(), task, "changed my mind").await.expect("cancelled");
    testkit::eventually(PATIENCE, || async { !finals(&mesh, "sess-cancel").await.is_empty() }).await;
    let finals = finals(&mesh, "sess-cancel").await;
    assert!(matches!(&finals[..], [Body::Error(error)] if error.status() == Status::Cancelled), "{finals:?}");
}

#[tokio::test]
async fn a_collection_context_answers_in_the_collections_queue() {
    let mesh = Mesh::start().await;
    let request = SendMessageRequest {
        context_type: ContextType::Collection.into(),
        collection_id: "guide".into(),
        ..message("hola", "sess-coll")
    };
    let accepted = mesh.send(request).await.expect("accepted");
    assert_eq!(accepted.queue_name, "execution:collection-guide:professional");
}

#[track_caller]
fn is(refused: Result<impl std::fmt::Debug, Failure>, reason: &str, field: &str) {
    let failure = refused.expect_err("must be refused");
    assert_eq!((failure.reason().id, failure.field_name()), (reason, Some(field)));
}

#[tokio::test]
async fn bad_messages_are_refused_by_name_and_cost_nothing() {
    let mesh = Mesh::start().await;
    let hola = || message("hola", "sess-bad");
    is(mesh.send(message(&"a".repeat(4_001), "sess-bad")).await, "INVALID_FIELD", "message");
    is(mesh.send(message("", "sess-bad")).await, "INVALID_FIELD", "message");
    is(mesh.send(message("hola", "x")).await, "INVALID_FIELD", "session_id");
    let workflow = ContextType::Workflow.into();
    is(
        mesh.send(SendMessageRequest { context_type: workflow, ..hola() }).await,
        "CONTEXT_TYPE_UNAVAILABLE",
        "context_type",
    );
    let foreign = "orchestrator:tenant-2:callbacks".into();
    is(
        mesh.send(SendMessageRequest { callback_queue: foreign, ..hola() }).await,
        "INVALID_QUEUE_NAME",
        "callback_queue",
    );
    for agent in ["agent-nobody", "agent-asleep"] {
        is(mesh.send(SendMessageRequest { agent_id: agent.into(), ..hola() }).await, "ACCESS_DENIED", "agent_id");
    }
    let steps = SendMessageRequest { agent_id: "agent-steps".into(), ..hola() };
    is(mesh.send(steps).await, "CONTEXT_TYPE_UNAVAILABLE", "agent_id");
    let secret = SendMessageRequest { collection_id: "secret".into(), ..hola() };
    is(mesh.send(secret).await, "COLLECTION_NOT_FOUND", "collection_id");
    let windows = mesh.kit.quota.status(&tenant(), Tier::Professional).await.expect("the limits are readable");
    assert!(windows.iter().all(|window| window.remaining == window.limit), "nothing was charged: {windows:?}");
}

#[tokio::test]
async fn an_agent_of_another_tenant_looks_like_none() {
    let mesh = Mesh::start().await;
    let status =
        mesh.tenant("tenant-2", Tier::Free).send_message(message("hola", "sess-x")).await.expect_err("refused");
    is(Err::<(), _>(Failure::from_status(&status)), "ACCESS_DENIED", "agent_id");
}

#[tokio::test]
async fn an_accepted_message_is_charged_once_unless_it_was_charged_at_the_edge() {
    let mesh = Mesh::start().await;
    let used = || async {
        let windows = mesh.kit.quota.status(&tenant(), Tier::Professional).await.expect("readable");
        windows[0].limit - windows[0].remaining
    };
    mesh.send(message("hola", "sess-edge")).await.expect("accepted");
    assert_eq!(used().await, 0, "the gateway charged already");
    mesh.outside("tenant-1", Tier::Professional).send_message(message("hola", "sess-out")).await.expect("accepted");
    assert_eq!(used().await, 1);
}

#[tokio::test]
async fn a_caller_who_proves_nothing_is_refused() {
    let mesh = Mesh::start().await;
    let status = mesh.gateway().send_message(message("hola", "sess-none")).await.expect_err("refused");
    assert_eq!(Failure::from_status(&status).reason().id, "SCOPE_REQUIRED");
}

#[tokio::test]
async fn without_access_validation_the_run_is_left_to_its_worker() {
    let mesh = Mesh::with(Config { enable_access_validation: false, ..Config::default() }).await;
    let nobody = SendMessageRequest { agent_id: "agent-nobody".into(), ..message("hola", "sess-free") };
    mesh.send(nobody).await.expect("accepted");
}

#[tokio::test]
async fn a_message_is_refused_for_now_while_the_broker_is_away() {
    let mut mesh = Mesh::start().await;
    mesh.send(message("hola", "sess-before")).await.expect("accepted");
    mesh.redis.kill();
    let failure = mesh.send(message("hola", "sess-gone")).await.expect_err("refused");
    assert_eq!(failure.reason().id, "BROKER_UNAVAILABLE");
    assert!(failure.retry_delay().is_some());
    mesh.redis.restart().await;
    let sent = || async { mesh.send(message("hola", "sess-after")).await.is_ok() };
    testkit::eventually(PATIENCE, sent).await;
}
