//! Clients that say or ask too much.

use std::time::Duration;

use action::TaskId;
use futures::SinkExt as _;
use proto::orchestrator::v1::connect_request::Command;
use serde_json::json;
use testkit::eventually;
use tokio_tungstenite::tungstenite::Message;

use crate::client::Socket;
use crate::fakes::of_agent;
use crate::mesh::{Mesh, quick};
use crate::socket::{delta, response};

const HOME: &str = "/ws/session-1?tenant_id=pro-1&tier=professional";

#[tokio::test]
async fn a_flood_of_frames_closes_its_own_socket_and_no_other() {
    let mesh = Mesh::with(gateway::Config { socket_frames_burst: 10, socket_frames_per_second: 1, ..quick() }).await;
    let mut other = Socket::open(&mesh, "other-1", "").await;
    other.expect("connection_ack").await;
    for frame in [Message::text(r#"{"type":"pong"}"#), Message::text("{"), Message::Ping(Vec::new().into())] {
        let mut flooder = Socket::open(&mesh, "pro-1", "").await;
        flooder.expect("connection_ack").await;
        for _ in 0..40 {
            let _closed = flooder.0.send(frame.clone()).await;
        }
        assert_eq!(flooder.closed().await, 4429);
    }
    let mut stranger = Socket::upgrade(&mesh, HOME, &[]).await.unwrap();
    for _ in 0..40 {
        let _closed = stranger.0.send(Message::text("{")).await;
    }
    assert_eq!(stranger.closed().await, 4429);
    mesh.orchestrator.append("other-1", "session-1", &TaskId::new().to_string(), response("still here"));
    other.expect("agent_response").await;
    let mut back = Socket::open(&mesh, "pro-1", "").await;
    back.expect("connection_ack").await;
}

#[tokio::test]
async fn logs_that_never_stop_speaking_keep_nothing_else_waiting() {
    let mesh = Mesh::start().await;
    let mut socket = Socket::open(&mesh, "pro-1", "").await;
    socket.expect("connection_ack").await;
    socket.say(json!({ "type": "subscribe", "data": { "agents": ["agent-pro-1"] } })).await;
    socket.expect("subscribed").await;
    let (orchestrator, task) = (mesh.orchestrator.clone(), TaskId::new().to_string());
    let speaking = tokio::spawn(async move {
        loop {
            for index in 0..50 {
                orchestrator.append("pro-1", "session-1", &task, delta(index, "x"));
                orchestrator.append("pro-1", &of_agent("agent-pro-1"), &task, delta(index, "x"));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    for asked in 0..20 {
        socket.say(json!({ "type": "ping" })).await;
        let mut frames = 0;
        while socket.hear().await.unwrap()["type"] != "pong" {
            frames += 1;
            assert!(frames < 20_000, "ping {asked} is not answered");
        }
    }
    assert!(!speaking.is_finished());
    mesh.stop.cancel();
    assert_eq!(tokio::time::timeout(Duration::from_secs(3), socket.closed()).await, Ok(4001));
    speaking.abort();
}

#[tokio::test]
async fn a_row_of_acks_is_told_as_its_greatest() {
    let mesh = Mesh::start().await;
    let task = TaskId::new().to_string();
    let mut socket = Socket::open(&mesh, "pro-1", "").await;
    socket.expect("connection_ack").await;
    for index in 0..40 {
        mesh.orchestrator.append("pro-1", "session-1", &task, delta(index, "x"));
        socket.expect("agent_delta").await;
    }
    for seq in 1..=40 {
        socket.say(json!({ "type": "ack", "seq": seq })).await;
    }
    let told = || {
        let acks = mesh.orchestrator.commands().into_iter();
        acks.filter_map(|command| if let Command::Acknowledge(ack) = command { Some(ack.seq) } else { None })
            .collect::<Vec<_>>()
    };
    eventually(Duration::from_secs(5), || async { told().last() == Some(&40) }).await;
    assert!(told().is_sorted());
    assert!(told().len() < 20, "{:?}", told());
}

#[tokio::test]
async fn the_last_ack_is_told_though_its_client_leaves_at_once() {
    let mesh = Mesh::start().await;
    let mut socket = Socket::open(&mesh, "pro-1", "").await;
    socket.expect("connection_ack").await;
    let task = TaskId::new().to_string();
    for index in 0..3 {
        mesh.orchestrator.append("pro-1", "session-1", &task, delta(index, "x"));
        socket.expect("agent_delta").await;
    }
    for seq in 1..=3 {
        socket.say(json!({ "type": "ack", "seq": seq })).await;
    }
    socket.0.close(None).await.unwrap();
    let acked = |command: &Command| matches!(command, Command::Acknowledge(ack) if ack.seq == 3 && ack.epoch == "e1");
    eventually(Duration::from_secs(5), || async { mesh.orchestrator.commands().iter().any(acked) }).await;
}

#[tokio::test]
async fn a_delivery_is_told_once_however_often_the_client_resumes() {
    let mesh = Mesh::start().await;
    let (first, second) = (TaskId::new().to_string(), TaskId::new().to_string());
    let mut socket = Socket::open(&mesh, "pro-1", "").await;
    socket.expect("connection_ack").await;
    mesh.orchestrator.append("pro-1", "session-1", &first, response("one"));
    socket.expect("agent_response").await;
    for _ in 0..3 {
        socket.say(json!({ "type": "resume", "epoch": "e1", "seq": 0 })).await;
        socket.expect("agent_response").await;
        socket.expect("resumed").await;
    }
    mesh.orchestrator.append("pro-1", "session-1", &second, response("two"));
    socket.expect("agent_response").await;
    let told = || {
        let commands = mesh.orchestrator.commands().into_iter();
        commands
            .filter_map(
                |command| if let Command::Delivered(delivered) = command { Some(delivered.task_id) } else { None },
            )
            .collect::<Vec<_>>()
    };
    // Told in order: when the second is there, everything about the first is.
    eventually(Duration::from_secs(5), || async { told().contains(&second) }).await;
    assert_eq!(told(), [first, second]);
}

#[tokio::test]
async fn sockets_without_a_credential_take_no_place_of_those_with_one() {
    let config = gateway::Config { max_sockets: 4, auth_timeout: Duration::from_mins(1), ..quick() };
    let mesh = Mesh::with(config).await;
    let mut strangers = Vec::new();
    for _ in 0..4 {
        strangers.push(Socket::upgrade(&mesh, HOME, &[]).await.unwrap());
    }
    let (status, problem) = Socket::upgrade(&mesh, HOME, &[]).await.err().expect("refused");
    assert_eq!((status, problem["reason"].as_str()), (503, Some("OVERLOADED")));
    let mut seated = Vec::new();
    for tenant in ["pro-1", "pro-1", "other-1"] {
        let mut socket = Socket::open(&mesh, tenant, "").await;
        socket.expect("connection_ack").await;
        seated.push(socket);
    }
    let (status, problem) =
        Socket::upgrade(&mesh, HOME, &[("x-api-key", "nbl_pro-1_key")]).await.err().expect("refused");
    assert_eq!((status, problem["reason"].as_str(), problem["limit"].as_str()), (503, Some("OVERLOADED"), Some("2")));
    let mut late = strangers.pop().unwrap();
    late.say(json!({ "type": "auth", "token": "nbl_pro-1_key" })).await;
    assert_eq!(late.expect("error").await["data"]["error_code"], "OVERLOADED");
    assert_eq!(late.closed().await, 4450, "its tenant has its share; it may come back");
    drop(seated.remove(0));
    let connections =
        || async { mesh.get("/health", "pro-1").await.body["details"]["websocket"]["connections"].as_u64() };
    eventually(Duration::from_secs(5), || async { connections().await == Some(2) }).await;
    let mut early = strangers.pop().unwrap();
    early.say(json!({ "type": "auth", "token": "nbl_pro-1_key" })).await;
    early.expect("connection_ack").await;
    assert_eq!(connections().await, Some(3));
}
