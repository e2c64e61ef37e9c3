use std::time::Duration;

use action::TaskId;
use futures::future::join_all;
use serde_json::json;
use testkit::eventually;

use crate::client::{Raw, Socket};
use crate::mesh::{Mesh, ms, quick};
use crate::socket::{delta, response};

#[tokio::test]
async fn a_client_that_comes_back_gets_what_it_missed() {
    let mesh = Mesh::start().await;
    let task = TaskId::new().to_string();
    let mut socket = Socket::open(&mesh, "pro-1", "").await;
    socket.expect("connection_ack").await;
    mesh.orchestrator.append("pro-1", "session-1", &task, delta(0, "one"));
    let seen = socket.expect("agent_delta").await;
    drop(socket);
    eventually(Duration::from_secs(5), || async { mesh.orchestrator.followers() == 0 }).await;
    mesh.orchestrator.append("pro-1", "session-1", &task, delta(1, "two"));
    mesh.orchestrator.append("pro-1", "session-1", &task, response("one two"));
    let position = format!("&epoch={}&seq={}", seen["epoch"].as_str().unwrap(), seen["seq"]);
    let mut back = Socket::open(&mesh, "pro-1", &position).await;
    assert_eq!(back.expect("connection_ack").await["seq"], 1);
    assert_eq!(back.expect("agent_delta").await["seq"], 2);
    assert_eq!(back.expect("agent_response").await["seq"], 3);
    let resumed = back.expect("resumed").await;
    assert_eq!((resumed["data"]["from"].as_u64(), resumed["data"]["to"].as_u64()), (Some(2), Some(3)));
    back.say(json!({ "type": "resume", "epoch": "e1", "seq": 2 })).await;
    assert_eq!(back.expect("agent_response").await["seq"], 3);
    back.expect("resumed").await;
}

#[tokio::test]
async fn an_orchestrator_that_dies_is_not_noticed_by_any_client() {
    let mesh = Mesh::start().await;
    let task = TaskId::new().to_string();
    let mut sockets = Vec::new();
    for session in 0..6 {
        let path = format!("/ws/session-{session}?tenant_id=pro-1&tier=professional");
        let mut socket = Socket::upgrade(&mesh, &path, &[("x-api-key", "nbl_pro-1_key")]).await.unwrap();
        socket.expect("connection_ack").await;
        sockets.push(socket);
    }
    let append = |body: fn(u32) -> proto::task::v1::frame::Body, index: u32| {
        for session in 0..6 {
            mesh.orchestrator.append("pro-1", &format!("session-{session}"), &task, body(index));
        }
    };
    let body = |index| delta(index, "x");
    append(body, 0);
    let before = mesh.orchestrator.streams();
    assert_eq!(before, 2, "six sockets share one stream to each orchestrator");
    mesh.orchestrator.break_streams();
    append(body, 1);
    mesh.orchestrators[0].cancel();
    append(body, 2);
    eventually(Duration::from_secs(15), || async { mesh.orchestrator.followers() == 6 }).await;
    append(body, 3);
    let heard = join_all(sockets.iter_mut().map(|socket| async move {
        let mut seqs = Vec::new();
        for _ in 0..4 {
            seqs.push(socket.expect("agent_delta").await["seq"].as_u64().unwrap());
        }
        seqs
    }))
    .await;
    assert!(heard.iter().all(|seqs| *seqs == [1, 2, 3, 4]), "{heard:?}");
}

#[tokio::test]
async fn a_client_that_reads_late_is_caught_up_from_the_log() {
    let config = gateway::Config { backlog_frames: 16, write_timeout: Duration::from_secs(10), ..quick() };
    let mesh = Mesh::with(config).await;
    let task = TaskId::new().to_string();
    let mut socket = Socket::open(&mesh, "pro-1", "").await;
    socket.expect("connection_ack").await;
    for index in 0..500 {
        mesh.orchestrator.append("pro-1", "session-1", &task, delta(index, &"x".repeat(10_000)));
    }
    mesh.orchestrator.append("pro-1", "session-1", &task, response("done"));
    let (mut bytes, mut seq) = (0, 0);
    while seq < 500 {
        let delta = socket.expect("agent_delta").await;
        let after = delta["seq"].as_u64().unwrap();
        assert!(after > seq, "{after} after {seq}");
        seq = after;
        bytes += delta["data"]["text"].as_str().unwrap().len();
    }
    assert_eq!(bytes, 5_000_000, "pieces may come together, and none is lost");
    assert_eq!(socket.expect("agent_response").await["seq"], 501);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_resumably_and_holds_up_nobody() {
    let config = gateway::Config { backlog_frames: 1000, backlog_bytes: 1 << 26, write_timeout: ms(500), ..quick() };
    let mesh = Mesh::with(config).await;
    let task = TaskId::new().to_string();
    let slow = Raw::open(&mesh, "pro-1").await;
    let mut other = Socket::open(&mesh, "other-1", "").await;
    other.expect("connection_ack").await;
    let large = "x".repeat(100_000);
    for _ in 0..300 {
        mesh.orchestrator.append("pro-1", "session-1", &task, delta(0, &large));
    }
    mesh.orchestrator.append("other-1", "session-1", &task, response("quick"));
    assert_eq!(other.expect("agent_response").await["data"]["response"], "quick");
    let connections =
        || async { mesh.get("/health", "pro-1").await.body["details"]["websocket"]["connections"].as_u64() };
    eventually(Duration::from_secs(10), || async { connections().await == Some(1) }).await;
    assert_eq!(slow.closed().await, Some(4408));
    let mut back = Socket::open(&mesh, "pro-1", "&epoch=e1&seq=298").await;
    back.expect("connection_ack").await;
    assert_eq!(back.expect("agent_delta").await["seq"], 299);
}
