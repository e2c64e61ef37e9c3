//! How many sockets there may be, and who is connected.

use std::time::Duration;

use action::TaskId;
use gateway::Config;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::eventually;

use crate::client::{Answer, Socket, answer};
use crate::mesh::{Mesh, quick};
use crate::socket::response;

const HOME: &str = "/ws/session-1?tenant_id=pro-1&tier=professional";
const KEY: [(&str, &str); 1] = [("x-api-key", "nbl_pro-1_key")];
const PATIENCE: Duration = Duration::from_secs(10);

fn few(connections: u32, per_user: u32) -> Config {
    Config { connections: [connections; 4], connections_per_user: per_user, ..quick() }
}

async fn stats(mesh: &Mesh, key: &str) -> Answer {
    answer(mesh.request(Method::GET, "/ws/stats").header("x-api-key", key)).await
}

#[track_caller]
fn limited((status, problem): (u16, Value), limit: &str, scope: &str) {
    assert_eq!((status, problem["reason"].as_str()), (429, Some("CONNECTION_LIMIT")), "{problem}");
    assert_eq!((problem["limit"].as_str(), problem["scope"].as_str()), (Some(limit), Some(scope)), "{problem}");
    assert!(problem["retry_after"].as_u64().is_some(), "{problem}");
}

#[tokio::test]
async fn a_tenant_has_so_many_sockets_on_all_nodes_together() {
    let mesh = Mesh::with(few(2, 20)).await;
    let (elsewhere, _stop) = mesh.beside(few(2, 20)).await;
    let mut here = Socket::open(&mesh, "pro-1", "").await;
    here.expect("connection_ack").await;
    let mut there = Socket::upgrade_at(elsewhere, HOME, &KEY).await.expect("accepted");
    there.expect("connection_ack").await;
    limited(Socket::upgrade(&mesh, HOME, &KEY).await.err().expect("refused"), "2", "tenant");
    limited(Socket::upgrade_at(elsewhere, HOME, &KEY).await.err().expect("refused"), "2", "tenant");
    let mut late = Socket::upgrade(&mesh, HOME, &[]).await.expect("nobody knows whose it is");
    late.say(json!({ "type": "auth", "token": "nbl_pro-1_key" })).await;
    assert_eq!(late.expect("error").await["data"]["error_code"], "CONNECTION_LIMIT");
    assert_eq!(late.closed().await, 4504);
    let mut other = Socket::open(&mesh, "other-1", "").await;
    other.expect("connection_ack").await;
    drop(there);
    eventually(PATIENCE, || async { Socket::upgrade(&mesh, HOME, &KEY).await.is_ok() }).await;
}

#[tokio::test]
async fn a_user_has_so_many_sockets_and_a_first_frame_changes_nothing_about_it() {
    let mesh = Mesh::with(few(10, 1)).await;
    let of = |user: &str| format!("{HOME}&user_id={user}");
    let mut first = Socket::upgrade(&mesh, &of("user-1"), &[]).await.expect("accepted");
    first.say(json!({ "type": "auth", "token": "nbl_pro-1_key" })).await;
    first.expect("connection_ack").await;
    limited(Socket::upgrade(&mesh, &of("user-1"), &KEY).await.err().expect("refused"), "1", "user");
    let mut sockets = Vec::new();
    for path in [of("user-2"), HOME.to_owned(), HOME.to_owned()] {
        sockets.push(Socket::upgrade(&mesh, &path, &KEY).await.expect("accepted"));
    }
    assert_eq!(stats(&mesh, "nbl_pro-1_key").await.body["users"], 2);
}

#[tokio::test]
async fn rapid_reconnections_leave_nothing_behind() {
    let mesh = Mesh::with(few(3, 3)).await;
    let path = format!("{HOME}&user_id=user-1");
    for _ in 0..100 {
        eventually(PATIENCE, || async {
            let Ok(mut socket) = Socket::upgrade(&mesh, &path, &KEY).await else { return false };
            socket.expect("connection_ack").await;
            true
        })
        .await;
    }
    let count = |key: &str| mesh.redis.command(&["ZCARD", key]).trim().to_owned();
    eventually(PATIENCE, || async { count("{ns:pro-1}:sockets") == "0" && count("{ns:pro-1}:sockets:user-1") == "0" })
        .await;
    assert_eq!(mesh.get("/ws/health", "pro-1").await.body["connections"], 0);
}

#[tokio::test]
async fn without_redis_sockets_are_still_accepted() {
    let mut mesh = Mesh::with(few(1, 1)).await;
    let mut first = Socket::open(&mesh, "pro-1", "").await;
    first.expect("connection_ack").await;
    mesh.redis.kill();
    let mut second = Socket::open(&mesh, "pro-1", "").await;
    second.expect("connection_ack").await;
    stats(&mesh, "nbl_pro-1_key").await.problem(503, "BROKER_UNAVAILABLE", None);
    mesh.redis.restart().await;
}

#[tokio::test]
async fn sockets_of_one_session_all_get_its_frames_and_those_of_another_tenant_none() {
    let mesh = Mesh::start().await;
    let mut own = [Socket::open(&mesh, "pro-1", "").await, Socket::open(&mesh, "pro-1", "").await];
    let mut other = Socket::open(&mesh, "other-1", "").await;
    for socket in own.iter_mut().chain([&mut other]) {
        socket.expect("connection_ack").await;
    }
    mesh.orchestrator.append("pro-1", "session-1", &TaskId::new().to_string(), response("for both"));
    for socket in &mut own {
        assert_eq!(socket.expect("agent_response").await["data"]["response"], "for both");
    }
    mesh.orchestrator.append("other-1", "session-1", &TaskId::new().to_string(), response("its own"));
    let frame = other.expect("agent_response").await;
    assert_eq!((frame["data"]["response"].as_str(), frame["seq"].as_u64()), (Some("its own"), Some(1)));
}

#[tokio::test]
async fn a_tenant_sees_its_own_connections_and_an_operator_all() {
    let mesh = Mesh::start().await;
    let (elsewhere, _stop) = mesh.beside(quick()).await;
    answer(mesh.request(Method::GET, "/ws/stats")).await.problem(401, "CREDENTIAL_REQUIRED", None);
    stats(&mesh, "nbl_no_key").await.problem(401, "CREDENTIAL_INVALID", None);
    let mut sockets = Vec::new();
    for path in [HOME.to_owned(), format!("{HOME}&user_id=user-1"), HOME.replace("session-1", "session-2")] {
        sockets.push(Socket::upgrade_at(elsewhere, &path, &KEY).await.expect("accepted"));
    }
    sockets.push(Socket::open(&mesh, "free-1", "").await);
    let own = stats(&mesh, "nbl_pro-1_key").await;
    let expected = json!({
        "tenant_id": "pro-1", "tenant_tier": "professional", "connections": 3, "sessions": 2, "users": 1,
        "limits": { "connections": 200, "connections_per_user": 20 },
    });
    assert_eq!((own.status, &own.body), (200, &expected));
    assert_eq!(stats(&mesh, "nbl_other-1_key").await.body["connections"], 0);
    eventually(PATIENCE, || async { stats(&mesh, "nbl_admin_key").await.body["connections"] == 4 }).await;
    let all = stats(&mesh, "nbl_admin_key").await.body;
    assert_eq!(all["by_tier"], json!({ "free": 1, "advance": 0, "professional": 3, "enterprise": 0 }));
    assert_eq!(all["tenants"][0], json!({ "tenant_id": "pro-1", "tenant_tier": "professional", "connections": 3 }));
    assert_eq!((all["nodes"].as_array().unwrap().len(), all["max_connections"].as_u64()), (2, Some(2000)));
}

#[tokio::test]
async fn health_says_whether_one_more_socket_is_taken() {
    let mesh = Mesh::with(Config { max_sockets: 1, ..quick() }).await;
    let health = || async { answer(mesh.request(Method::GET, "/ws/health")).await };
    let free = health().await;
    let expected = json!({ "status": "ok", "connections": 0, "max_connections": 1 });
    assert_eq!((free.status, &free.body), (200, &expected));
    let mut socket = Socket::open(&mesh, "pro-1", "").await;
    socket.expect("connection_ack").await;
    let full = health().await;
    assert_eq!((full.status, full.body["status"].as_str()), (503, Some("full")));
}

#[tokio::test]
async fn a_node_that_ends_gives_back_what_it_held() {
    let mesh = Mesh::start().await;
    let (elsewhere, stop) = mesh.beside(quick()).await;
    let mut here = Socket::open(&mesh, "pro-1", "").await;
    here.expect("connection_ack").await;
    let mut there = Socket::upgrade_at(elsewhere, &format!("{HOME}&user_id=user-1"), &KEY).await.expect("accepted");
    there.expect("connection_ack").await;
    let nodes = || async { stats(&mesh, "nbl_admin_key").await.body["nodes"].as_array().unwrap().len() };
    eventually(PATIENCE, || async { nodes().await == 2 }).await;
    stop.cancel();
    assert_eq!(there.closed().await, 4001);
    let count = |key: &str| mesh.redis.command(&["ZCARD", key]).trim().to_owned();
    eventually(PATIENCE, || async {
        nodes().await == 1 && count("{ns:pro-1}:sockets") == "1" && count("{ns:pro-1}:sockets:user-1") == "0"
    })
    .await;
}
