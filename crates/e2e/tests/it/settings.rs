//! The mission's `ORCHESTRATOR_…` settings, as a process takes them from its environment. What their times do is tested where time can
//! be made short, in the gateway's own tests.

use e2e::{Client, Nooble};
use serde_json::json;

use crate::{PATIENCE, QUESTION, WORDS};

#[tokio::test]
async fn a_process_keeps_to_the_requests_of_a_session_the_number_of_sockets_and_the_level_of_its_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = [
        WORDS,
        ("ORCHESTRATOR_MAX_REQUESTS_PER_SESSION", "2"),
        ("ORCHESTRATOR_MAX_WEBSOCKET_CONNECTIONS", "1"),
        ("ORCHESTRATOR_LOG_LEVEL", "ERROR"),
    ];
    let nooble = Nooble::up(folder.path(), &["--demo"], &settings).await;
    let client = Client::of_demo(folder.path(), "professional");
    for _ in 0..2 {
        client.send("session-1", QUESTION).await;
    }
    let third = client.message("session-1", QUESTION).send().await.expect("the edge answers");
    assert!(third.headers().contains_key("retry-after"));
    assert_eq!(third.status(), 429);
    let problem: serde_json::Value = third.json().await.expect("JSON");
    assert_eq!(
        (&problem["reason"], &problem["window"]),
        (&json!("RATE_LIMIT_EXCEEDED"), &json!("session")),
        "{problem}"
    );
    client.send("session-2", QUESTION).await;

    let mut first = client.socket("session-1", None).await;
    first.until("connection_ack", PATIENCE).await;
    let key = format!("Bearer {}", client.fact("api_key"));
    let second = client.upgrade(&client.socket_path("session-2"), &[("authorization", &key)]).await;
    let (status, problem) = second.expect_err("there is room for one");
    assert_eq!((status, &problem["reason"]), (503, &json!("OVERLOADED")), "{problem}");
    let said = nooble.said();
    assert!(!said.contains("request answered"), "only errors are logged: {said}");
}

#[tokio::test]
async fn a_process_that_does_not_validate_access_says_so_and_takes_messages_to_any_agent() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = [WORDS, ("ORCHESTRATOR_ENABLE_ACCESS_VALIDATION", "false")];
    let nooble = Nooble::up(folder.path(), &["--demo"], &settings).await;
    let said = nooble.said();
    let warning = said.lines().find(|line| line.contains("ORCHESTRATOR_ENABLE_ACCESS_VALIDATION is false"));
    assert!(warning.is_some_and(|line| line.contains("WARN")), "{said}");
    let client = Client::of_demo(folder.path(), "professional");
    let sent = client.message_with("X-Agent-ID", Some("agent-nobody")).send().await.expect("the edge answers");
    assert_eq!(sent.status(), 200);
    assert!(nooble.said().contains("request answered"), "the log's level is info");
}
