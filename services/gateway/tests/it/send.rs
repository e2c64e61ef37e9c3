//! Messages and cancellations over the socket.

use std::time::Duration;

use action::TaskId;
use proto::orchestrator::v1::SendMessageRequest;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::eventually;

use crate::client::{Socket, answer};
use crate::mesh::Mesh;
use crate::socket::response;

async fn open(mesh: &Mesh, tenant: &str, more: &str) -> Socket {
    let mut socket = Socket::open(mesh, tenant, more).await;
    socket.expect("connection_ack").await;
    socket
}

/// Checks that a frame refuses a request, and returns its data.
#[track_caller]
fn refused(frame: &Value, reason: &str, field: Option<&str>) -> Value {
    assert_eq!(frame["type"], "error", "{frame}");
    let data = frame["data"].clone();
    assert_eq!((data["reason"].as_str(), data["field"].as_str()), (Some(reason), field), "{frame}");
    assert_eq!(data["error_type"], "RequestError");
    assert!(frame.get("seq").is_none() && frame.get("epoch").is_none(), "it belongs to no log: {frame}");
    data
}

#[tokio::test]
async fn a_message_over_the_socket_is_the_same_as_one_over_the_route() {
    let mesh = Mesh::start().await;
    let mut socket = open(&mesh, "pro-1", "&agent_id=agent-pro-1&user_id=user-1").await;
    let data = json!({
        "message": "hello", "message_type": "text", "user_info": { "n": 1 }, "max_iterations": 2,
        "conversation_id": "conv-1", "collection_id": "coll-pro-1", "context_type": "collection", "request_id": "r-1",
    });
    socket.say(json!({ "type": "send", "data": data })).await;
    let accepted = socket.expect("task_update").await;
    assert_eq!(accepted["metadata"], json!({ "request_id": "r-1" }));
    assert!(accepted.get("seq").is_none(), "it belongs to no log");
    let data = &accepted["data"];
    assert_eq!((data["status"].as_str(), data["estimated_time"].as_f64()), (Some("pending"), Some(1.5)));
    assert_eq!(data["queue_name"], "execution:agent-pro-1:professional");
    assert_eq!(data["task_id"], accepted["task_id"]);
    let (over_socket, by) = mesh.orchestrator.sent().remove(0);
    assert!(by.admitted, "the limits were charged");
    let request = mesh.chat("pro-1", "professional").header("x-user-id", "user-1");
    let request = request.header("x-conversation-id", "conv-1").header("x-collection-id", "coll-pro-1");
    let request = request.header("x-context-type", "collection");
    let body = json!({ "message": "hello", "message_type": "text", "user_info": { "n": 1 }, "max_iterations": 2 });
    let sent = answer(request.json(&body)).await;
    assert_eq!(sent.header("x-ratelimit-remaining"), "198", "both were charged, once each");
    let (over_route, by_route) = mesh.orchestrator.sent().remove(1);
    let nameless = |request: SendMessageRequest| SendMessageRequest { task_id: String::new(), ..request };
    assert_ne!(over_socket.task_id, over_route.task_id);
    assert_eq!((nameless(over_socket), by), (nameless(over_route), by_route));
    let task = mesh.get(&format!("/api/v1/tasks/{}", data["task_id"].as_str().unwrap()), "pro-1").await;
    assert_eq!((task.status, task.body["session_id"].as_str()), (200, Some("session-1")));
}

#[tokio::test]
async fn what_a_route_would_refuse_the_socket_refuses_and_stays() {
    let mesh = Mesh::start().await;
    let mut socket = open(&mesh, "pro-1", "").await;
    for (data, reason, field) in [
        (json!({ "message": "m" }), "INVALID_FIELD", Some("agent_id")),
        (json!({ "agent_id": "a b", "message": "m" }), "INVALID_FIELD", Some("agent_id")),
        (json!({ "agent_id": "agent-pro-1", "message": "" }), "INVALID_FIELD", Some("message")),
        (json!({ "agent_id": "agent-pro-1" }), "INVALID_FIELD", Some("message")),
        (json!({ "agent_id": "agent-pro-1", "message": "m", "user_info": [] }), "INVALID_FIELD", Some("user_info")),
        (json!({ "agent_id": "agent-other-1", "message": "m" }), "ACCESS_DENIED", Some("agent_id")),
        (
            json!({ "agent_id": "agent-pro-1", "message": "m", "collection_id": "coll-other-1" }),
            "COLLECTION_NOT_FOUND",
            Some("collection_id"),
        ),
        (
            json!({ "agent_id": "agent-pro-1", "message": "m", "context_type": "collection" }),
            "INVALID_CONTEXT_TYPE",
            Some("collection_id"),
        ),
        (
            json!({ "agent_id": "agent-pro-1", "message": "m", "context_type": "workflow" }),
            "CONTEXT_TYPE_UNAVAILABLE",
            Some("context_type"),
        ),
    ] {
        let mut data = data;
        data["request_id"] = "r-7".into();
        socket.say(json!({ "type": "send", "data": data })).await;
        let frame = socket.hear().await.unwrap();
        refused(&frame, reason, field);
        assert_eq!(frame["metadata"]["request_id"], "r-7");
    }
    assert!(mesh.orchestrator.sent().is_empty());
    let accepted = mesh.send("pro-1", "professional").await;
    assert_eq!(accepted.header("x-ratelimit-remaining"), "199", "refusals were charged nothing");
    mesh.management.revoked.lock().unwrap().insert("nbl_pro-1_key".to_owned());
    let say = json!({ "type": "send", "data": { "agent_id": "agent-pro-1", "message": "m" } });
    tokio::time::sleep(Duration::from_millis(300)).await;
    socket.say(say).await;
    refused(&socket.hear().await.unwrap(), "CREDENTIAL_INVALID", None);
}

#[tokio::test]
async fn a_tenant_beyond_its_limit_is_told_so_on_the_socket() {
    let mesh = Mesh::start().await;
    let mut socket = open(&mesh, "free-1", "&agent_id=agent-free-1").await;
    let mut refusal = None;
    // Ten a minute: of 21 within less than a minute, at least one is refused, wherever the minute ends.
    for _ in 0..21 {
        socket.say(json!({ "type": "send", "data": { "message": "m" } })).await;
        let frame = socket.hear().await.unwrap();
        if frame["type"] == "error" {
            refusal = Some(frame);
            break;
        }
    }
    let data = refused(&refusal.expect("a refusal"), "RATE_LIMIT_EXCEEDED", None);
    assert!((1..=60).contains(&data["retry_after"].as_u64().unwrap()), "{data}");
    assert_eq!(
        data["limits"],
        json!({ "limit": "10", "remaining": "0", "window": "minute", "violated-policies": ["minute"] })
    );
}

#[tokio::test]
async fn messages_under_way_are_bounded_and_hold_up_neither_pings_nor_frames() {
    let mesh = Mesh::start().await;
    let mut socket = open(&mesh, "pro-1", "&agent_id=agent-pro-1").await;
    let held = mesh.orchestrator.held.clone().acquire_owned().await.unwrap();
    for number in 0..8 {
        socket.say(json!({ "type": "send", "data": { "message": "m", "request_id": format!("r-{number}") } })).await;
    }
    socket.say(json!({ "type": "send", "data": { "message": "m", "request_id": "r-8" } })).await;
    let frame = socket.hear().await.unwrap();
    refused(&frame, "OVERLOADED", None);
    assert_eq!(frame["metadata"]["request_id"], "r-8");
    socket.say(json!({ "type": "ping" })).await;
    socket.expect("pong").await;
    mesh.orchestrator.append("pro-1", "session-1", &TaskId::new().to_string(), response("meanwhile"));
    socket.expect("agent_response").await;
    drop(held);
    let mut answered = Vec::new();
    for _ in 0..8 {
        answered.push(socket.expect("task_update").await["metadata"]["request_id"].as_str().unwrap().to_owned());
    }
    answered.sort_unstable();
    assert_eq!(answered, (0..8).map(|number| format!("r-{number}")).collect::<Vec<_>>());
    socket.say(json!({ "type": "send", "data": { "message": "m" } })).await;
    socket.expect("task_update").await;
}

#[tokio::test]
async fn a_task_is_given_up_over_the_socket_of_its_tenant_only() {
    let mesh = Mesh::start().await;
    let sent = mesh.send("pro-1", "professional").await;
    let id = sent.body["task_id"].as_str().unwrap().to_owned();
    let cancel =
        json!({ "type": "cancel", "data": { "task_id": id, "reason": "changed my mind", "request_id": "c-1" } });
    let mut stranger = open(&mesh, "other-1", "").await;
    stranger.say(cancel.clone()).await;
    refused(&stranger.hear().await.unwrap(), "TASK_NOT_FOUND", Some("task_id"));
    let mut socket = open(&mesh, "pro-1", "").await;
    for (data, reason, field) in [
        (json!({}), "INVALID_FIELD", "task_id"),
        (json!({ "task_id": "nope" }), "INVALID_REQUEST", "task_id"),
        (json!({ "task_id": id, "reason": "x".repeat(201) }), "INVALID_FIELD", "reason"),
    ] {
        socket.say(json!({ "type": "cancel", "data": data })).await;
        refused(&socket.hear().await.unwrap(), reason, Some(field));
    }
    socket.say(cancel.clone()).await;
    let update = socket.expect("task_update").await;
    assert_eq!(
        (update["data"]["status"].as_str(), update["data"]["task_id"].as_str()),
        (Some("cancelled"), Some(&*id))
    );
    assert_eq!(update["metadata"]["request_id"], "c-1");
    socket.say(cancel).await;
    refused(&socket.hear().await.unwrap(), "TASK_FINISHED", None);
    let task = answer(mesh.request(Method::GET, &format!("/api/v1/tasks/{id}")).header("x-api-key", "nbl_pro-1_key"));
    assert_eq!(task.await.body["status"], "cancelled");
}

#[tokio::test]
async fn a_drain_lets_what_is_under_way_be_answered() {
    let mesh = Mesh::start().await;
    let mut socket = open(&mesh, "pro-1", "&agent_id=agent-pro-1").await;
    let held = mesh.orchestrator.held.clone().acquire_owned().await.unwrap();
    socket.say(json!({ "type": "send", "data": { "message": "m", "request_id": "last" } })).await;
    eventually(Duration::from_secs(5), || async { mesh.orchestrator.sent().len() == 1 }).await;
    mesh.stop.cancel();
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(held);
    assert_eq!(socket.expect("task_update").await["metadata"]["request_id"], "last");
    assert_eq!(socket.closed().await, 4001);
}
