use std::time::Duration;

use action::TaskId;
use futures::SinkExt as _;
use proto::action::v1::Status;
use proto::orchestrator::v1::connect_request::Command;
use proto::task::v1::frame::Body;
use proto::task::v1::{AgentDelta, AgentResponse};
use serde_json::json;
use testkit::eventually;
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Raw, Socket};
use crate::mesh::{Mesh, ms, quick};

pub(crate) fn delta(index: u32, text: &str) -> Body {
    Body::AgentDelta(AgentDelta { attempt: 1, index, text: text.to_owned() })
}

pub(crate) fn response(text: &str) -> Body {
    let status = Status::Completed.into();
    Body::AgentResponse(AgentResponse { response: text.to_owned(), status, ..Default::default() })
}

#[tokio::test]
async fn a_socket_is_greeted_and_told_everything_in_order() {
    let mesh = Mesh::start().await;
    let mut socket = Socket::open(&mesh, "pro-1", "&agent_id=agent-pro-1&user_id=user-1").await;
    let ack = socket.expect("connection_ack").await;
    assert_eq!((ack["session_id"].as_str(), ack["tenant_tier"].as_str()), (Some("session-1"), Some("professional")));
    assert_eq!((ack["data"]["epoch"].as_str(), ack["data"]["seq"].as_u64()), (Some("e1"), Some(0)));
    let task = TaskId::new().to_string();
    mesh.orchestrator.append("pro-1", "session-1", &task, delta(0, "Hel"));
    mesh.orchestrator.append("pro-1", "session-1", &task, delta(1, "lo"));
    mesh.orchestrator.append("other-1", "session-1", &task, response("not for you"));
    mesh.orchestrator.append("pro-1", "session-1", &task, response("Hello"));
    assert_eq!(socket.expect("agent_delta").await["data"]["text"], "Hel");
    assert_eq!(socket.expect("agent_delta").await["seq"], 2);
    let answer = socket.expect("agent_response").await;
    assert_eq!((answer["data"]["response"].as_str(), answer["seq"].as_u64()), (Some("Hello"), Some(3)));
    let delivered = |command: &Command| matches!(command, Command::Delivered(delivered) if delivered.task_id == task);
    eventually(Duration::from_secs(5), || async { mesh.orchestrator.commands().iter().any(delivered) }).await;
    socket.say(json!({ "type": "ack", "seq": 3 })).await;
    let acked = |command: &Command| matches!(command, Command::Acknowledge(ack) if ack.seq == 3 && ack.epoch == "e1");
    eventually(Duration::from_secs(5), || async { mesh.orchestrator.commands().iter().any(acked) }).await;
}

#[tokio::test]
async fn frames_that_are_not_understood_are_answered_and_the_socket_stays() {
    let mesh = Mesh::start().await;
    let mut socket = Socket::open(&mesh, "pro-1", "").await;
    socket.expect("connection_ack").await;
    for (said, code) in [
        (Message::text("{"), "INVALID_JSON"),
        (Message::text(r#"{"type":"reload"}"#), "UNSUPPORTED_TYPE"),
        (Message::text(r#"{"type":"send","data":[]}"#), "INVALID_FIELD"),
        (Message::text(r#"{"type":"resume"}"#), "INVALID_FIELD"),
        (Message::binary(vec![1, 2, 3]), "UNSUPPORTED_TYPE"),
    ] {
        socket.0.send(said).await.unwrap();
        let error = socket.expect("error").await;
        assert_eq!(
            (error["data"]["error_code"].as_str(), error["data"]["error_type"].as_str()),
            (Some(code), Some("ProtocolError"))
        );
    }
    socket.say(json!({ "type": "ping" })).await;
    assert_eq!(socket.expect("pong").await["data"]["message"], "pong");
}

#[tokio::test]
async fn what_can_be_refused_is_refused_before_the_upgrade() {
    let mesh = Mesh::start().await;
    let key = ("x-api-key", "nbl_pro-1_key");
    let refused = |path: &'static str, headers: Vec<(&'static str, &'static str)>| {
        let mesh = &mesh;
        async move {
            let (status, problem) = Socket::upgrade(mesh, path, &headers).await.err().expect("refused");
            (status, problem["reason"].as_str().unwrap_or_default().to_owned())
        }
    };
    let good = "/ws/session-1?tenant_id=pro-1&tier=professional";
    let expect = |status: u16, reason: &str| (status, reason.to_owned());
    assert_eq!(refused(good, vec![("x-api-key", "nbl_no_key")]).await, expect(401, "CREDENTIAL_INVALID"));
    assert_eq!(refused("/ws/session-1", vec![key]).await, expect(422, "MISSING_REQUIRED_HEADERS"));
    assert_eq!(refused("/ws/session-1?tenant_id=pro-1", vec![]).await, expect(422, "MISSING_REQUIRED_HEADERS"));
    assert_eq!(refused("/ws/s?tenant_id=pro-1&tier=professional", vec![key]).await, expect(400, "INVALID_REQUEST"));
    assert_eq!(refused("/ws/session-1?tenant_id=pro-1&tier=gold", vec![key]).await, expect(400, "INVALID_TIER"));
    assert_eq!(
        refused("/ws/session-1?tenant_id=other-1&tier=professional", vec![key]).await,
        expect(403, "TENANT_MISMATCH")
    );
    assert_eq!(refused("/ws/session-1?tenant_id=pro-1&tier=free", vec![key]).await, expect(403, "TIER_MISMATCH"));
    let agent = "/ws/session-1?tenant_id=pro-1&tier=professional&agent_id=agent-other-1";
    assert_eq!(refused(agent, vec![key]).await, expect(403, "ACCESS_DENIED"));
    let token = "/ws/session-1?tenant_id=pro-1&tier=professional&token=nbl_pro-1_key";
    assert_eq!(refused(token, vec![]).await, expect(400, "INVALID_REQUEST"));
    assert_eq!(mesh.orchestrator.streams(), 0, "nothing was followed");
}

#[tokio::test]
async fn a_browser_sends_its_key_as_a_subprotocol() {
    let mesh = Mesh::start().await;
    let offered = [("sec-websocket-protocol", "nooble.v1, bearer.nbl_pro-1_key")];
    let path = "/ws/session-1?tenant_id=pro-1&tier=professional";
    let mut socket = Socket::upgrade(&mesh, path, &offered).await.unwrap();
    socket.expect("connection_ack").await;
}

#[tokio::test]
async fn a_first_frame_may_prove_who_is_there() {
    let mesh = Mesh::start().await;
    let path = "/ws/session-1?tenant_id=pro-1&tier=professional";
    let open = || async { Socket::upgrade(&mesh, path, &[]).await.unwrap() };
    let mut socket = open().await;
    socket.say(json!({ "type": "ping" })).await;
    assert_eq!(socket.expect("error").await["data"]["error_code"], "CREDENTIAL_REQUIRED");
    socket.say(json!({ "type": "auth", "token": "nbl_pro-1_key" })).await;
    socket.expect("connection_ack").await;
    let mut wrong = open().await;
    wrong.say(json!({ "type": "auth", "token": "nbl_no_key" })).await;
    assert_eq!(wrong.expect("error").await["data"]["error_code"], "CREDENTIAL_INVALID");
    assert_eq!(wrong.closed().await, 4501);
    let mut foreign = open().await;
    foreign.say(json!({ "type": "auth", "token": "nbl_other-1_key" })).await;
    assert_eq!(foreign.expect("error").await["data"]["error_code"], "TENANT_MISMATCH");
    assert_eq!(foreign.closed().await, 4503);
    assert_eq!(open().await.closed().await, 4400, "nobody came in time");
}

#[tokio::test]
async fn a_message_that_is_too_large_closes_the_socket() {
    let mesh = Mesh::start().await;
    let mut socket = Socket::open(&mesh, "pro-1", "").await;
    socket.expect("connection_ack").await;
    let _cut = socket.0.send(Message::text("x".repeat(65 * 1024))).await;
    assert_eq!(socket.closed().await, 4513);
}

#[tokio::test]
async fn there_are_so_many_sockets_and_no_more() {
    let mesh = Mesh::with(gateway::Config { max_sockets: 1, ..quick() }).await;
    let mut first = Socket::open(&mesh, "pro-1", "").await;
    first.expect("connection_ack").await;
    let path = "/ws/session-2?tenant_id=pro-1&tier=professional";
    let key = [("x-api-key", "nbl_pro-1_key")];
    let (status, problem) = Socket::upgrade(&mesh, path, &key).await.err().expect("refused");
    assert_eq!((status, problem["reason"].as_str()), (503, Some("OVERLOADED")));
    assert_eq!(mesh.get("/health", "pro-1").await.body["details"]["websocket"]["connections"], 1);
    drop(first);
    eventually(Duration::from_secs(5), || async { Socket::upgrade(&mesh, path, &key).await.is_ok() }).await;
}

#[tokio::test]
async fn a_client_that_does_not_answer_pings_is_given_up() {
    let mesh = Mesh::with(gateway::Config { ping_interval: ms(100), ping_timeout: ms(300), ..quick() }).await;
    let mut alive = Socket::open(&mesh, "pro-1", "").await;
    alive.expect("connection_ack").await;
    // A client that does not read does not answer either; one that reads answers by itself.
    let silent = Raw::open(&mesh, "other-1").await;
    tokio::select! {
        heard = alive.hear() => panic!("the one that reads stays: {heard:?}"),
        code = silent.closed() => assert_eq!(code, Some(4412)),
    }
}

#[tokio::test]
async fn a_key_that_is_revoked_closes_its_socket_as_soon_as_that_is_told() {
    let mesh = Mesh::with(gateway::Config { ping_interval: Duration::from_mins(1), ..quick() }).await;
    eventually(Duration::from_secs(10), || async { mesh.changes.connected() }).await;
    let (mut revoked, mut other) = (Socket::open(&mesh, "pro-1", "").await, Socket::open(&mesh, "other-1", "").await);
    revoked.expect("connection_ack").await;
    other.expect("connection_ack").await;
    mesh.management.revoked.lock().unwrap().insert("nbl_pro-1_key".to_owned());
    mesh.changes.announce(service_kit::Change::Key).await;
    assert_eq!(revoked.expect("error").await["data"]["error_code"], "CREDENTIAL_INVALID");
    assert_eq!(revoked.closed().await, 4401);
    other.say(json!({ "type": "ping" })).await;
    other.expect("pong").await;
}

#[tokio::test]
async fn a_key_that_is_revoked_closes_its_socket() {
    let mesh = Mesh::with(gateway::Config { ping_interval: ms(100), ..quick() }).await;
    let mut socket = Socket::open(&mesh, "pro-1", "").await;
    socket.expect("connection_ack").await;
    mesh.management.revoked.lock().unwrap().insert("nbl_pro-1_key".to_owned());
    assert_eq!(socket.closed().await, 4401);
}
