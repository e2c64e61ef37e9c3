//! Golden files of every frame.

use action::time::from_unix_ms;
use fault::reason;
use proto::action::v1 as action_wire;
use proto::orchestrator::v1::{Gap, Resumed, SendMessageResponse};
use proto::task::v1::frame::Body;
use proto::task::v1::{AgentDelta, AgentInfo, AgentResponse, Frame, Task, TaskError, TaskUpdate, TypingIndicator};

use crate::golden;
use crate::socket::Position;
use crate::socket::frames::{Addressee, Envelope, ProtocolError, ends_task, render};

const TASK: &str = "0192f0c1-0000-7000-8000-000000000001";
/// 2026-01-01T00:00:00Z
const START: u64 = 1_767_225_600_000;

fn addressee() -> Addressee {
    Addressee {
        tenant: "tenant-1".parse().unwrap(),
        tier: action::Tier::Professional,
        session: "session-1".parse().unwrap(),
    }
}

fn frame(seq: u64, body: Body) -> Frame {
    Frame {
        epoch: "e1".to_owned(),
        seq,
        at: Some(from_unix_ms(START + 1_500)),
        task_id: TASK.to_owned(),
        session_id: "session-1".to_owned(),
        tenant_id: "tenant-1".to_owned(),
        tier: action_wire::Tier::Professional.into(),
        trace: None,
        body: Some(body),
    }
}

fn response() -> AgentResponse {
    let source = action_wire::Source {
        document_id: "doc-1".to_owned(),
        title: "Guide".to_owned(),
        collection_id: "collection-1".to_owned(),
        passage: "A tier decides how fast.".to_owned(),
        start: 10,
        end: 34,
        similarity: 0.5,
        index: 1,
    };
    let event = |name: &str, at| action_wire::TaskEvent {
        name: name.to_owned(),
        at: Some(from_unix_ms(START + at)),
        domain: "execution".to_owned(),
        attempt: 1,
    };
    AgentResponse {
        response: "A tier decides how fast. [1]".to_owned(),
        sources: vec![source],
        agent_info: Some(AgentInfo {
            agent_id: "agent-1".to_owned(),
            name: "Guide".to_owned(),
            r#type: "rag".to_owned(),
            model_used: "extractive".to_owned(),
        }),
        status: action_wire::Status::Completed.into(),
        execution_time: 3.456,
        tokens_used: Some(action_wire::TokenUsage { input: 200, output: 9, total: 209 }),
        events: vec![event("queued", 0), event("answered", 1_400)],
    }
}

#[track_caller]
fn check(name: &str, ends: bool, body: Body) {
    let frame = frame(7, body);
    assert_eq!(ends_task(&frame), ends);
    golden::check(name, &render(frame).expect("a kind that is known"));
}

#[test]
fn frames_of_the_log_look_as_the_golden_files_say() {
    check("agent_delta", false, Body::AgentDelta(AgentDelta { attempt: 1, index: 0, text: "A tier".to_owned() }));
    check("agent_response", true, Body::AgentResponse(response()));
    check("typing_indicator", false, Body::TypingIndicator(TypingIndicator { agent_id: "agent-1".to_owned() }));
    let update = TaskUpdate {
        status: action_wire::Status::Running.into(),
        stage: "embedding".to_owned(),
        attempt: 2,
        percentage: 40.0,
        message: "12 of 30 chunks".to_owned(),
        result: [].into(),
    };
    check("task_update", false, Body::TaskUpdate(update.clone()));
    let done = TaskUpdate {
        status: action_wire::Status::Completed.into(),
        percentage: -1.0,
        message: String::new(),
        result: [("chunks".to_owned(), "30".to_owned()), ("title".to_owned(), "Guide".to_owned())].into(),
        ..update
    };
    check("task_update_completed", true, Body::TaskUpdate(done));
}

#[test]
fn errors_of_tasks_are_typed_by_how_they_ended() {
    for (name, status, failed) in [
        ("error_failed", action_wire::Status::Failed, &reason::PROVIDER_UNAVAILABLE),
        ("error_timeout", action_wire::Status::Timeout, &reason::EXECUTION_TIMEOUT),
        ("error_cancelled", action_wire::Status::Cancelled, &reason::CANCELLED),
    ] {
        let error = TaskError {
            error: Some(action_wire::ErrorDetail {
                reason: failed.id.to_owned(),
                message: failed.title.to_owned(),
                field: String::new(),
                retry_after: Some(action::time::duration_to_proto(std::time::Duration::from_millis(2500))),
            }),
            status: status.into(),
            execution_time: 30.0,
        };
        check(name, true, Body::Error(error));
    }
}

#[test]
fn frames_of_the_socket_look_as_the_golden_files_say() {
    let who = addressee();
    let position = Position { epoch: "e1".to_owned(), seq: 6 };
    let golden = |name: &str, frame: &dyn Fn() -> Envelope| golden::check(name, &frame());
    golden("connection_ack", &|| who.connection_ack("0192f0c1-0000-7000-8000-0000000000aa", &position));
    golden("pong", &|| who.pong());
    let epoch = "e1".to_owned();
    let gap = Gap { missed_from: 3, missed_to: 5, reason: "trimmed".to_owned(), epoch: epoch.clone(), after: 5 };
    golden("gap", &|| who.gap(&gap));
    let unknown = Gap { missed_from: 0, missed_to: 0, reason: "epoch".to_owned(), epoch, after: 5 };
    golden("gap_unknown", &|| who.gap(&unknown));
    let resumed = Resumed { from: 7, to: 9, epoch: "e1".to_owned() };
    golden("resumed", &|| who.resumed(&resumed));
    let error = ProtocolError::new("INVALID_JSON", "the frame is not valid JSON, at line 1 column 2");
    golden("error_protocol", &|| who.protocol_error(&error));
    let anonymous: serde_json::Value = serde_json::from_str(&error.anonymous()).unwrap();
    golden::check("error_anonymous", &anonymous);
}

#[test]
fn answers_to_requests_look_as_the_golden_files_say() {
    let who = addressee();
    let accepted = SendMessageResponse {
        task: Some(Task { task_id: TASK.to_owned(), ..Task::default() }),
        queue_name: "execution:agent-1:professional".to_owned(),
        estimated_time: Some(action::time::duration_to_proto(std::time::Duration::from_millis(1500))),
    };
    let golden = |name: &str, frame: Envelope| golden::check(name, &frame.about(Some("r-1".to_owned())));
    golden("send_accepted", who.accepted(&accepted.into()));
    let status = action_wire::Status::Cancelled.into();
    let queue_name = "execution:agent-1:professional".to_owned();
    golden("cancel_accepted", who.cancelled(&Task { task_id: TASK.to_owned(), status, queue_name, ..Task::default() }));
    golden("subscribed", who.subscribed(&[TASK.to_owned()], &["agent-1".to_owned()]));
    let failure = fault::Failure::new(&reason::RATE_LIMIT_EXCEEDED, "the 10 requests a minute are used up")
        .retry_after(std::time::Duration::from_millis(2500))
        .with("limit", "10")
        .with("remaining", "0")
        .with("window", "minute");
    golden("error_request", who.refusal(&failure));
    let delta = AgentDelta { attempt: 1, index: 0, text: "A tier".to_owned() };
    let elsewhere = render(frame(7, Body::AgentDelta(delta))).unwrap().subscribed("task");
    golden::check("agent_delta_subscribed", &elsewhere);
}

#[test]
fn a_frame_of_a_later_version_is_passed_over() {
    assert!(render(Frame { body: None, ..frame(1, Body::AgentResponse(response())) }).is_none());
}
