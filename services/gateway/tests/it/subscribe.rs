//! Sockets that are shown more than their own session.

use std::time::Duration;

use action::{Action, ExecutionContext, TaskId, Tier};
use proto::execution::v1::AgentRun;
use proto::task::v1::TaskUpdate;
use proto::task::v1::frame::Body;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Socket, answer};
use crate::fakes::{of_agent, of_task};
use crate::mesh::Mesh;
use crate::socket::{delta, response};

async fn open(mesh: &Mesh, tenant: &str) -> Socket {
    let mut socket = Socket::open(mesh, tenant, "").await;
    socket.expect("connection_ack").await;
    socket
}

/// Puts a task of pro-1 into the queue, as if it were sent to a session, or without one.
async fn task(mesh: &Mesh, session: Option<&str>) -> Action {
    let context = ExecutionContext::agent("agent-pro-1".parse().unwrap());
    let mut action = Action::root("pro-1".parse().unwrap(), Tier::Professional, context, &AgentRun::default());
    action.session = session.map(|session| session.parse().unwrap());
    mesh.kit.queue.submit(action.clone()).await.unwrap();
    action
}

fn append(mesh: &Mesh, action: &Action, body: Body) {
    let task = action.task.to_string();
    let log = action.session.as_ref().map_or_else(|| of_task(&task), ToString::to_string);
    mesh.orchestrator.append("pro-1", &log, &task, body);
}

async fn subscribe(socket: &mut Socket, tasks: &[&Action]) -> Value {
    let tasks: Vec<String> = tasks.iter().map(|action| action.task.to_string()).collect();
    socket.say(json!({ "type": "subscribe", "data": { "tasks": tasks, "request_id": "s-1" } })).await;
    let subscribed = socket.expect("subscribed").await;
    assert_eq!(subscribed["metadata"]["request_id"], "s-1");
    subscribed["data"].clone()
}

#[tokio::test]
async fn a_task_of_another_session_or_of_none_is_shown_whole_and_ends() {
    let mesh = Mesh::start().await;
    let mut socket = open(&mesh, "pro-1").await;
    for session in [Some("session-2"), None] {
        let action = task(&mesh, session).await;
        append(&mesh, &action, delta(0, "Hel"));
        let subscribed = subscribe(&mut socket, &[&action]).await;
        assert_eq!(subscribed, json!({ "tasks": [action.task.to_string()], "agents": [] }));
        let first = socket.expect("agent_delta").await;
        assert_eq!(first["data"]["text"], "Hel", "what was before is told, too");
        assert_eq!(first["session_id"].as_str(), session);
        assert_eq!(first["metadata"], json!({ "subscription": "task" }));
        assert!(first.get("seq").is_none() && first.get("epoch").is_none(), "another log's position: {first}");
        append(&mesh, &action, delta(1, "lo"));
        assert_eq!(socket.expect("agent_delta").await["data"]["text"], "lo");
        append(&mesh, &action, response("Hello"));
        assert_eq!(socket.expect("agent_response").await["data"]["response"], "Hello");
        socket.say(json!({ "type": "unsubscribe" })).await;
        assert_eq!(socket.expect("subscribed").await["data"]["tasks"], json!([]), "it ended with its task");
    }
}

#[tokio::test]
async fn frames_of_the_sockets_own_session_come_once() {
    let mesh = Mesh::start().await;
    let mut socket = open(&mesh, "pro-1").await;
    let action = task(&mesh, Some("session-1")).await;
    let id = action.task.to_string();
    assert_eq!(subscribe(&mut socket, &[&action]).await["tasks"], json!([id]));
    append(&mesh, &action, delta(0, "once"));
    append(&mesh, &action, response("once"));
    for (kind, seq) in [("agent_delta", 1), ("agent_response", 2)] {
        let frame = socket.expect(kind).await;
        assert_eq!((frame["seq"].as_u64(), &frame["metadata"]), (Some(seq), &json!({})));
    }
    socket.say(json!({ "type": "unsubscribe", "data": {} })).await;
    assert_eq!(socket.expect("subscribed").await["data"]["tasks"], json!([]), "it ended with its task");
}

#[tokio::test]
async fn what_was_left_is_shown_no_longer() {
    let mesh = Mesh::start().await;
    let mut socket = open(&mesh, "pro-1").await;
    let (left, kept) = (task(&mesh, Some("session-2")).await, task(&mesh, Some("session-3")).await);
    let both = subscribe(&mut socket, &[&left, &kept]).await;
    assert_eq!(both["tasks"].as_array().unwrap().len(), 2);
    socket.say(json!({ "type": "unsubscribe", "data": { "tasks": [left.task.to_string()] } })).await;
    assert_eq!(socket.expect("subscribed").await["data"]["tasks"], json!([kept.task.to_string()]));
    append(&mesh, &left, response("not shown"));
    append(&mesh, &kept, response("shown"));
    assert_eq!(socket.expect("agent_response").await["data"]["response"], "shown");
}

#[tokio::test]
async fn what_belongs_to_somebody_else_looks_like_what_does_not_exist() {
    let mesh = Mesh::start().await;
    let foreign = task(&mesh, Some("session-2")).await.task.to_string();
    let mut socket = open(&mesh, "other-1").await;
    let mut texts = Vec::new();
    for id in [foreign, TaskId::new().to_string()] {
        socket.say(json!({ "type": "subscribe", "data": { "tasks": [id], "request_id": "s-2" } })).await;
        let error = socket.expect("error").await;
        assert_eq!(error["metadata"]["request_id"], "s-2");
        let mut data = error["data"].clone();
        data["timestamp"] = Value::Null;
        assert_eq!((data["reason"].as_str(), data["field"].as_str()), (Some("TASK_NOT_FOUND"), Some("tasks")));
        texts.push(data);
    }
    assert_eq!(texts[0], texts[1]);
    socket.say(json!({ "type": "unsubscribe" })).await;
    assert_eq!(socket.expect("subscribed").await["data"], json!({ "tasks": [], "agents": [] }));
}

#[tokio::test]
async fn subscriptions_are_checked_and_bounded() {
    let mesh = Mesh::start().await;
    let mut socket = open(&mesh, "pro-1").await;
    let many: Vec<String> = (0..33).map(|_| TaskId::new().to_string()).collect();
    for (data, reason) in [
        (json!({ "tasks": "all" }), "INVALID_FIELD"),
        (json!({ "tasks": [7] }), "INVALID_FIELD"),
        (json!({ "tasks": ["nope"] }), "INVALID_REQUEST"),
        (json!({ "tasks": many }), "INVALID_FIELD"),
    ] {
        socket.say(json!({ "type": "subscribe", "data": data })).await;
        let data = socket.expect("error").await["data"].clone();
        assert_eq!((data["reason"].as_str(), data["field"].as_str()), (Some(reason), Some("tasks")), "{data}");
    }
    let mut actions = Vec::new();
    for _ in 0..33 {
        actions.push(task(&mesh, Some("session-2")).await);
    }
    let all: Vec<&Action> = actions.iter().collect();
    assert_eq!(subscribe(&mut socket, &all[..32]).await["tasks"].as_array().unwrap().len(), 32);
    assert_eq!(subscribe(&mut socket, &all[..32]).await["tasks"].as_array().unwrap().len(), 32, "again is the same");
    socket.say(json!({ "type": "subscribe", "data": { "tasks": [all[32].task.to_string()] } })).await;
    assert_eq!(socket.expect("error").await["data"]["limits"]["limit"], "32");
}

#[tokio::test]
async fn only_the_task_of_a_session_is_shown_and_on_when_streams_break() {
    let mesh = Mesh::start().await;
    let mut socket = open(&mesh, "pro-1").await;
    let (action, neighbour) = (task(&mesh, Some("session-2")).await, task(&mesh, Some("session-2")).await);
    subscribe(&mut socket, &[&action]).await;
    append(&mesh, &neighbour, response("not asked for"));
    append(&mesh, &action, delta(0, "before"));
    assert_eq!(socket.expect("agent_delta").await["data"]["text"], "before");
    mesh.orchestrator.break_streams();
    append(&mesh, &action, delta(1, "while"));
    append(&mesh, &action, delta(2, "after"));
    for text in ["while", "after"] {
        assert_eq!(socket.expect("agent_delta").await["data"]["text"], text, "nothing is told twice or left out");
    }
}

#[tokio::test]
async fn a_task_whose_last_frame_is_lost_ends_all_the_same() {
    let mesh = Mesh::start().await;
    let mut socket = open(&mesh, "pro-1").await;
    let action = task(&mesh, Some("session-2")).await;
    mesh.kit.queue.cancel(&action.tenant, action.task, "enough").await.unwrap();
    subscribe(&mut socket, &[&action]).await;
    let update = socket.expect("task_update").await;
    assert_eq!((update["data"]["status"].as_str(), update.get("seq")), (Some("cancelled"), None));
    assert_eq!(update["session_id"], "session-2");
    socket.say(json!({ "type": "unsubscribe" })).await;
    assert_eq!(socket.expect("subscribed").await["data"]["tasks"], json!([]));
}

#[tokio::test]
async fn what_is_looked_at_has_places_of_its_own_of_which_a_tenant_has_half() {
    let mesh = Mesh::with(gateway::Config { max_sockets: 2, ..crate::mesh::quick() }).await;
    let mut socket = open(&mesh, "pro-1").await;
    let mut actions = Vec::new();
    for _ in 0..5 {
        actions.push(task(&mesh, Some("session-2")).await);
    }
    let all: Vec<&Action> = actions.iter().collect();
    subscribe(&mut socket, &all[..4]).await;
    socket.say(json!({ "type": "subscribe", "data": { "tasks": [all[4].task.to_string()] } })).await;
    let data = socket.expect("error").await["data"].clone();
    assert_eq!((data["reason"].as_str(), &data["limits"]["limit"]), (Some("OVERLOADED"), &json!("4")));
    append(&mesh, all[0], response("over"));
    socket.expect("agent_response").await;
    subscribe(&mut socket, &all[4..]).await;
}

#[tokio::test]
async fn an_agents_tasks_tell_how_far_they_are_until_it_is_left() {
    let mesh = Mesh::start().await;
    let state = |status: action::Status| {
        let update = TaskUpdate { status: status.into(), percentage: -1.0, ..TaskUpdate::default() };
        let id = TaskId::new().to_string();
        mesh.orchestrator.append("pro-1", &of_agent("agent-pro-1"), &id, Body::TaskUpdate(update));
        id
    };
    state(action::Status::Completed);
    let mut socket = open(&mesh, "pro-1").await;
    socket.say(json!({ "type": "subscribe", "data": { "agents": ["agent-pro-1", "agent-pro-1"] } })).await;
    assert_eq!(socket.expect("subscribed").await["data"], json!({ "tasks": [], "agents": ["agent-pro-1"] }));
    testkit::eventually(Duration::from_secs(5), || async { mesh.orchestrator.followers() == 2 }).await;
    for (status, word) in [(action::Status::Pending, "pending"), (action::Status::Running, "running")] {
        let id = state(status);
        let update = socket.expect("task_update").await;
        assert_eq!((update["data"]["status"].as_str(), update["task_id"].as_str()), (Some(word), Some(id.as_str())));
        assert_eq!(update["metadata"], json!({ "subscription": "agent" }));
        assert!(update.get("seq").is_none() && update.get("epoch").is_none(), "{update}");
        assert_eq!(update["session_id"], "session-9");
    }
    mesh.orchestrator.break_streams();
    let id = state(action::Status::Cancelled);
    assert_eq!(socket.expect("task_update").await["task_id"], *id, "what happens while a stream breaks is told after");
    socket.say(json!({ "type": "unsubscribe", "data": { "agents": ["agent-pro-1"] } })).await;
    assert_eq!(socket.expect("subscribed").await["data"]["agents"], json!([]));
    testkit::eventually(Duration::from_secs(5), || async { mesh.orchestrator.followers() == 1 }).await;
    state(action::Status::Running);
    socket.say(json!({ "type": "ping" })).await;
    socket.expect("pong").await;
}

#[tokio::test]
async fn a_socket_of_a_ticket_for_one_person_sees_and_cancels_nothing_of_another_person() {
    let mesh = Mesh::start().await;
    let of = async |user: &str| {
        let context = ExecutionContext::agent("agent-pro-1".parse().unwrap());
        let mut action = Action::root("pro-1".parse().unwrap(), Tier::Professional, context, &AgentRun::default());
        (action.session, action.user) = (Some("session-2".parse().unwrap()), Some(user.parse().unwrap()));
        mesh.kit.queue.submit(action.clone()).await.unwrap();
        action
    };
    let (anas, bens) = (of("ana").await, of("ben").await);
    let request = mesh.request(Method::POST, "/api/v1/ws-tickets").header("x-api-key", "nbl_pro-1_key");
    let ticket = answer(request.header("x-user-id", "ana")).await.body["ticket"].as_str().unwrap().to_owned();
    let path = format!("/ws/session-1?tenant_id=pro-1&tier=professional&ticket={ticket}");
    let mut socket = Socket::upgrade(&mesh, &path, &[]).await.expect("accepted");
    socket.expect("connection_ack").await;
    let hidden = bens.task.to_string();
    for frame in [
        json!({ "type": "subscribe", "data": { "tasks": [hidden] } }),
        json!({ "type": "cancel", "data": { "task_id": hidden } }),
    ] {
        socket.say(frame).await;
        assert_eq!(socket.expect("error").await["data"]["reason"], "TASK_NOT_FOUND");
    }
    subscribe(&mut socket, &[&anas]).await;
    socket.say(json!({ "type": "subscribe", "data": { "agents": ["agent-pro-1"] } })).await;
    socket.expect("subscribed").await;
    testkit::eventually(Duration::from_secs(5), || async { mesh.orchestrator.followers() == 3 }).await;
    for action in [&bens, &anas] {
        let update = TaskUpdate { status: action::Status::Running.into(), percentage: -1.0, ..TaskUpdate::default() };
        let task = action.task.to_string();
        mesh.orchestrator.append("pro-1", &of_agent("agent-pro-1"), &task, Body::TaskUpdate(update));
    }
    assert_eq!(socket.expect("task_update").await["task_id"], anas.task.to_string(), "Ben's is not told");
    socket.say(json!({ "type": "auth", "token": "nbl_pro-1_key" })).await;
    socket.say(json!({ "type": "cancel", "data": { "task_id": hidden } })).await;
    assert_eq!(socket.expect("error").await["data"]["reason"], "TASK_NOT_FOUND", "the ticket says who it is");
}

#[tokio::test]
async fn an_agent_of_somebody_else_is_refused_like_one_that_does_not_exist() {
    let mesh = Mesh::start().await;
    let mut socket = open(&mesh, "pro-1").await;
    let mut refusals = Vec::new();
    for agent in ["agent-other-1", "agent-none"] {
        socket.say(json!({ "type": "subscribe", "data": { "agents": ["agent-pro-1", agent] } })).await;
        let mut data = socket.expect("error").await["data"].clone();
        assert_eq!((data["reason"].as_str(), data["field"].as_str()), (Some("ACCESS_DENIED"), Some("agents")));
        data["timestamp"] = Value::Null;
        refusals.push(data);
    }
    assert_eq!(refusals[0], refusals[1]);
    socket.say(json!({ "type": "subscribe", "data": { "agents": ["a b"] } })).await;
    assert_eq!(socket.expect("error").await["data"]["field"], "agents");
    socket.say(json!({ "type": "unsubscribe" })).await;
    assert_eq!(socket.expect("subscribed").await["data"]["agents"], json!([]), "all that is named, or nothing");
}
