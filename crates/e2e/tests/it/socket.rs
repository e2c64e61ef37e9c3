//! A client that says everything over its socket, and another one that looks on.

use e2e::{Client, Nooble};
use serde_json::json;

use crate::{PATIENCE, QUESTION, WORDS};

#[tokio::test]
async fn a_message_over_the_socket_is_answered_there_and_seen_by_whoever_subscribed() {
    let folder = tempfile::tempdir().expect("a folder");
    let _nooble = Nooble::up(folder.path(), &["--demo"], &[WORDS]).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    let agent = client.fact("agent_id");
    let mut watcher = client.socket("session-2", None).await;
    watcher.until("connection_ack", PATIENCE).await;
    watcher.send(&json!({ "type": "subscribe", "data": { "agents": [agent] } })).await;
    assert_eq!(watcher.until("subscribed", PATIENCE).await["data"]["agents"], json!([agent]));
    let mut socket = client.socket("session-1", None).await;
    socket.until("connection_ack", PATIENCE).await;
    let data = json!({ "agent_id": agent, "message": "What is a tier?", "request_id": "r-1" });
    socket.send(&json!({ "type": "send", "data": data })).await;
    let accepted = socket.until("task_update", PATIENCE).await;
    assert_eq!((&accepted["data"]["status"], accepted.get("seq")), (&json!("pending"), None));
    assert_eq!(accepted["metadata"], json!({ "request_id": "r-1" }));
    let answered = socket.until("agent_response", PATIENCE).await;
    let task = answered["task_id"].clone();
    assert_eq!(accepted["task_id"], task);
    for status in ["pending", "running", "completed"] {
        let shown = watcher.until("task_update", PATIENCE).await;
        assert_eq!((&shown["data"]["status"], &shown["task_id"]), (&json!(status), &task), "{:#?}", watcher.seen);
        assert_eq!(
            (&shown["session_id"], &shown["metadata"]),
            (&json!("session-1"), &json!({ "subscription": "agent" }))
        );
        assert_eq!(shown.get("seq"), None);
    }
    watcher.send(&json!({ "type": "unsubscribe", "data": { "agents": [agent] } })).await;
    watcher.send(&json!({ "type": "subscribe", "data": { "tasks": [task] } })).await;
    let seen = watcher.until("agent_response", PATIENCE).await;
    assert_eq!((&seen["data"]["response"], &seen["task_id"]), (&answered["data"]["response"], &task));
    assert_eq!((&seen["metadata"], seen.get("seq")), (&json!({ "subscription": "task" }), None));
}

#[tokio::test]
async fn a_client_whose_history_is_gone_is_told_so_and_sees_what_comes() {
    let folder = tempfile::tempdir().expect("a folder");
    let _nooble = Nooble::up(folder.path(), &["--demo"], &[WORDS]).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    let mut first = client.socket("session-1", None).await;
    first.until("connection_ack", PATIENCE).await;
    client.send("session-1", QUESTION).await;
    let seen = first.until("agent_response", PATIENCE).await;
    let mut late = client.socket("session-1", Some(("e-of-another-time", 7))).await;
    let gap = late.until("gap", PATIENCE).await;
    assert!(gap["epoch"] == seen["epoch"] && gap["seq"].is_u64(), "{gap}");
    client.send("session-1", QUESTION).await;
    let after = late.until("agent_response", PATIENCE).await;
    assert!(after["seq"].as_u64() > gap["seq"].as_u64(), "{after} comes after {gap}");
}
