//! Tickets: the only credential that may stand in an address.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use service_kit::Change;
use testkit::eventually;

use crate::client::{Answer, Socket, answer};
use crate::mesh::{Mesh, ms, quick};

const HOME: &str = "/ws/session-1?tenant_id=pro-1&tier=professional";

async fn issue(mesh: &Mesh, tenant: &str, body: Value) -> Answer {
    let request = mesh.request(Method::POST, "/api/v1/ws-tickets").header("x-api-key", format!("nbl_{tenant}_key"));
    answer(request.json(&body)).await
}

async fn ticket(mesh: &Mesh, tenant: &str, body: Value) -> String {
    let issued = issue(mesh, tenant, body).await;
    assert_eq!((issued.status, issued.body["expires_in"].as_u64()), (201, Some(30)), "{}", issued.body);
    assert_eq!(issued.header("cache-control"), "no-store");
    issued.body["ticket"].as_str().unwrap().to_owned()
}

async fn refused(mesh: &Mesh, path: &str, headers: &[(&'static str, &str)]) -> Value {
    let (status, problem) = Socket::upgrade(mesh, path, headers).await.err().expect("refused");
    assert_eq!((status, problem["reason"].as_str()), (401, Some("CREDENTIAL_INVALID")), "{problem}");
    problem
}

/// Revokes the key that tickets are got with, and tells everybody.
async fn revoke(mesh: &Mesh) {
    mesh.management.revoked.lock().unwrap().insert("nbl_pro-1_key".to_owned());
    mesh.changes.announce(Change::Key).await;
}

#[tokio::test]
async fn a_ticket_opens_one_socket_on_whatever_node_and_no_other() {
    let mesh = Mesh::start().await;
    let (elsewhere, _stop) = mesh.beside(quick()).await;
    let path = format!("{HOME}&ticket={}", ticket(&mesh, "pro-1", json!({})).await);
    let mut socket = Socket::upgrade_at(elsewhere, &path, &[]).await.expect("accepted");
    socket.expect("connection_ack").await;
    refused(&mesh, &path, &[]).await;
    let (status, _) = Socket::upgrade_at(elsewhere, &path, &[]).await.err().expect("refused");
    assert_eq!(status, 401);
}

#[tokio::test]
async fn whatever_is_wrong_with_a_ticket_looks_the_same() {
    let mesh = Mesh::start().await;
    let mut problems = Vec::new();
    let bound = ticket(&mesh, "pro-1", json!({ "session_id": "session-2" })).await;
    problems.push(refused(&mesh, &format!("{HOME}&ticket={bound}"), &[]).await);
    let foreign = ticket(&mesh, "other-1", json!({})).await;
    problems.push(refused(&mesh, &format!("{HOME}&ticket={foreign}"), &[]).await);
    let forged = ticket(&mesh, "pro-1", json!({})).await.replace("nbt_", "nbt_0");
    problems.push(refused(&mesh, &format!("{HOME}&ticket={forged}"), &[]).await);
    let expired = ticket(&mesh, "pro-1", json!({})).await;
    for key in mesh.redis.command(&["KEYS", "*:ticket:*"]).lines() {
        mesh.redis.command(&["PEXPIRE", key, "0"]);
    }
    problems.push(refused(&mesh, &format!("{HOME}&ticket={expired}"), &[]).await);
    let key = refused(&mesh, &format!("{HOME}&ticket=nbl_pro-1_key"), &[]).await;
    problems.push(key);
    for problem in &mut problems {
        problem["trace_id"].take();
    }
    assert!(problems.windows(2).all(|pair| pair[0] == pair[1]), "{problems:?}");
    let bound = ticket(&mesh, "pro-1", json!({ "session_id": "session-1" })).await;
    let both = refused(&mesh, &format!("{HOME}&ticket={bound}"), &[("x-api-key", "nbl_pro-1_key")]).await;
    assert_eq!(both["field"], "ticket");
    Socket::upgrade(&mesh, &format!("{HOME}&ticket={bound}"), &[]).await.expect("its own session");
}

#[tokio::test]
async fn tickets_are_issued_to_whoever_proves_who_they_are() {
    let mesh = Mesh::start().await;
    let nobody = answer(mesh.request(Method::POST, "/api/v1/ws-tickets")).await;
    nobody.problem(401, "CREDENTIAL_REQUIRED", None);
    let operator = mesh.request(Method::POST, "/api/v1/ws-tickets").header("x-api-key", "nbl_admin_key");
    answer(operator).await.problem(403, "SCOPE_REQUIRED", None);
    for id in [json!(7), json!("a b")] {
        issue(&mesh, "pro-1", json!({ "session_id": id })).await.problem(422, "INVALID_FIELD", Some("session_id"));
    }
    let asserted = mesh.request(Method::POST, "/api/v1/ws-tickets").header("x-api-key", "nbl_pro-1_key");
    answer(asserted.header("x-tenant-id", "other-1")).await.problem(403, "TENANT_MISMATCH", Some("X-Tenant-ID"));
    let bare = mesh.request(Method::POST, "/api/v1/ws-tickets").header("x-api-key", "nbl_pro-1_key");
    assert_eq!(answer(bare).await.status, 201, "a body is optional");
}

#[tokio::test]
async fn a_socket_of_a_ticket_acts_for_the_tenant_and_user_that_it_was_issued_to() {
    let mesh = Mesh::start().await;
    let request = mesh.request(Method::POST, "/api/v1/ws-tickets").header("x-api-key", "nbl_pro-1_key");
    let issued = answer(request.header("x-user-id", "user-1")).await.body["ticket"].as_str().unwrap().to_owned();
    let another = format!("{HOME}&user_id=user-2&ticket={issued}");
    let (status, problem) = Socket::upgrade(&mesh, &another, &[]).await.err().expect("refused");
    assert_eq!((status, problem["reason"].as_str()), (403, Some("TENANT_MISMATCH")));
    let request = mesh.request(Method::POST, "/api/v1/ws-tickets").header("x-api-key", "nbl_pro-1_key");
    let issued = answer(request.header("x-user-id", "user-1")).await.body["ticket"].as_str().unwrap().to_owned();
    let path = format!("{HOME}&agent_id=agent-pro-1&ticket={issued}");
    let mut socket = Socket::upgrade(&mesh, &path, &[]).await.expect("accepted");
    socket.expect("connection_ack").await;
    socket.say(json!({ "type": "send", "data": { "message": "hello" } })).await;
    socket.expect("task_update").await;
    let (_, caller) = mesh.orchestrator.sent().remove(0);
    assert_eq!((caller.tenant.unwrap().id.as_str(), caller.user.unwrap().as_str()), ("pro-1", "user-1"));
    assert_eq!(caller.service.as_deref(), Some("gateway"));
}

#[tokio::test]
async fn a_socket_of_a_ticket_lasts_as_long_as_the_credential_behind_it() {
    let config = gateway::Config { ping_interval: ms(100), ..quick() };
    let mesh = Mesh::made(config, |kit| kit.proof = ms(300)).await;
    let path = format!("{HOME}&ticket={}", ticket(&mesh, "pro-1", json!({})).await);
    let mut socket = Socket::upgrade(&mesh, &path, &[]).await.expect("accepted");
    socket.expect("connection_ack").await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    socket.say(json!({ "type": "ping" })).await;
    socket.expect("pong").await;
    revoke(&mesh).await;
    assert_eq!(socket.expect("error").await["data"]["error_code"], "CREDENTIAL_INVALID");
    assert_eq!(socket.closed().await, 4401);
}

#[tokio::test]
async fn a_ticket_of_a_credential_that_was_revoked_opens_nothing() {
    let mesh = Mesh::start().await;
    let path = format!("{HOME}&ticket={}", ticket(&mesh, "pro-1", json!({})).await);
    revoke(&mesh).await;
    refused(&mesh, &path, &[]).await;
}

#[tokio::test]
async fn what_opens_no_socket_takes_no_ticket() {
    let mesh = Mesh::start().await;
    let path = format!("{HOME}&ticket={}", ticket(&mesh, "pro-1", json!({})).await);
    for _ in 0..2 {
        let plain = answer(mesh.request(Method::GET, &path)).await;
        plain.problem(400, "INVALID_REQUEST", Some("Upgrade"));
    }
    let refused = format!("{path}&agent_id=agent-other");
    let (status, problem) = Socket::upgrade(&mesh, &refused, &[]).await.err().expect("refused");
    assert_eq!((status, problem["reason"].as_str()), (403, Some("ACCESS_DENIED")));
    let plain = answer(mesh.request(Method::GET, &refused)).await;
    plain.problem(403, "ACCESS_DENIED", Some("agent_id"));
    let mut socket = Socket::upgrade(&mesh, &path, &[]).await.expect("still good");
    socket.expect("connection_ack").await;
}

#[tokio::test]
async fn a_place_that_is_missing_takes_no_ticket_and_is_told_to_who_asks_without_an_upgrade() {
    let config = gateway::Config { connections: [1; 4], ..quick() };
    let mesh = Mesh::with(config).await;
    let path = format!("{HOME}&ticket={}", ticket(&mesh, "pro-1", json!({})).await);
    let mut first = Socket::upgrade(&mesh, HOME, &[("x-api-key", "nbl_pro-1_key")]).await.expect("accepted");
    first.expect("connection_ack").await;
    let (status, problem) = Socket::upgrade(&mesh, &path, &[]).await.err().expect("refused");
    assert_eq!((status, problem["reason"].as_str()), (429, Some("CONNECTION_LIMIT")));
    answer(mesh.request(Method::GET, &path)).await.problem(429, "CONNECTION_LIMIT", None);
    drop(first);
    eventually(Duration::from_secs(10), || async { Socket::upgrade(&mesh, &path, &[]).await.is_ok() }).await;
}

#[tokio::test]
async fn no_ticket_no_key_and_no_message_is_logged() {
    // The tasks of a test run on its own thread.
    let captured = telemetry::Capture::start("debug,h2=debug,hyper=debug,tower=debug,tonic=debug").unwrap();
    let mesh = Mesh::start().await;
    let issued = ticket(&mesh, "pro-1", json!({})).await;
    let path = format!("{HOME}&agent_id=agent-pro-1&ticket={issued}");
    let mut socket = Socket::upgrade(&mesh, &path, &[]).await.expect("accepted");
    socket.expect("connection_ack").await;
    refused(&mesh, &path, &[]).await;
    socket.say(json!({ "type": "send", "data": { "message": "canary-in-the-text", "request_id": "r-1" } })).await;
    socket.expect("task_update").await;
    socket.say(json!({ "type": "send", "data": { "message": ["canary-in-the-text"] } })).await;
    socket.expect("error").await;
    let log = captured.text();
    assert!(log.contains("request answered") && log.contains("message accepted"), "the log is there");
    assert!(
        log.contains("\"url.path\":\"/ws/") && log.contains("\"nooble.session_id\""),
        "with the fields of its spans"
    );
    for secret in [issued.as_str(), "nbl_pro-1_key", "canary-in-the-text"] {
        let line = log.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret} in {line:?}");
    }
}
