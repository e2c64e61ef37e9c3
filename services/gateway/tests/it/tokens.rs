//! Tokens at the edge: REST and WebSocket.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use service_kit::identity::{Grant, mint};
use testkit::eventually;

use crate::client::{Socket, answer};
use crate::mesh::{Mesh, quick, tokens};

const PATH: &str = "/ws/session-1?tenant_id=pro-1&tier=professional";

fn grant(tenant: &str) -> Grant {
    Grant { tenant: tenant.parse().unwrap(), user: None, agents: None, tier: None, ttl: Duration::from_mins(5) }
}

fn token(grant: &Grant) -> String {
    mint(&tokens(), grant).unwrap().expose().to_owned()
}

/// A token whose time is over.
fn expired() -> String {
    token(&Grant { ttl: Duration::ZERO, ..grant("pro-1") })
}

/// A token with a changed bit.
fn broken() -> String {
    let good = token(&grant("pro-1"));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { "B" } else { "A" };
    format!("{signed}.{first}{}", &signature[1..])
}

/// A chat message of `pro-1`, with a credential.
fn chat(mesh: &Mesh, credential: &str) -> reqwest::RequestBuilder {
    mesh.request(Method::POST, "/api/chat/send")
        .header("authorization", format!("Bearer {credential}"))
        .header("x-tenant-id", "pro-1")
        .header("x-tenant-tier", "professional")
        .header("x-agent-id", "agent-pro-1")
        .header("x-session-id", "session-1")
        .json(&json!({ "message": "hello" }))
}

#[tokio::test]
async fn a_message_is_sent_with_a_token_for_the_user_whom_it_names() {
    let mesh = Mesh::start().await;
    let named = token(&Grant { user: Some("user-7".parse().unwrap()), ..grant("pro-1") });
    assert_eq!(answer(chat(&mesh, &named)).await.status, 200);
    assert_eq!(answer(chat(&mesh, &named).header("x-user-id", "user-7")).await.status, 200);
    for (request, caller) in mesh.orchestrator.sent() {
        assert_eq!((request.user_id.as_str(), caller.user.unwrap().as_str()), ("user-7", "user-7"));
    }
    let other = answer(chat(&mesh, &named).header("x-user-id", "user-8")).await;
    other.problem(403, "TENANT_MISMATCH", Some("X-User-ID"));
    for path in ["/api/v1/tasks", "/api/v1/agents", "/metrics/overview", "/api/v1/rate-limit/status"] {
        let asked = |user: &str| {
            let request = mesh.request(Method::GET, path).header("authorization", format!("Bearer {named}"));
            answer(request.header("x-user-id", user))
        };
        asked("user-8").await.problem(403, "TENANT_MISMATCH", Some("X-User-ID"));
        assert_ne!(asked("user-7").await.status, 403, "{path}");
    }
    let nobodys = token(&grant("pro-1"));
    assert_eq!(answer(chat(&mesh, &nobodys).header("x-user-id", "user-8")).await.status, 200);
    assert_eq!(mesh.orchestrator.sent()[2].0.user_id, "user-8");
}

#[tokio::test]
async fn a_token_that_does_not_fit_is_refused_with_its_own_reason() {
    let mesh = Mesh::start().await;
    let of_another = token(&grant("other-1"));
    let of_nobody = token(&grant("nobody-1"));
    let raised = token(&Grant { tier: Some(action::Tier::Enterprise), ..grant("pro-1") });
    let agents = Some(["agent-other".parse().unwrap()].into());
    let limited = token(&Grant { agents, ..grant("pro-1") });
    let oversized = "A".repeat(8000);
    for (credential, status, reason, field) in [
        (expired(), 401, "CREDENTIAL_EXPIRED", None),
        (broken(), 401, "CREDENTIAL_INVALID", None),
        (format!("{oversized}.{oversized}.AA"), 401, "CREDENTIAL_INVALID", None),
        ("a.b.c".to_owned(), 401, "CREDENTIAL_INVALID", None),
        (of_nobody, 401, "CREDENTIAL_INVALID", None),
        (of_another, 403, "TENANT_MISMATCH", Some("X-Tenant-ID")),
        (raised, 403, "TIER_MISMATCH", Some("tier")),
        (limited, 403, "ACCESS_DENIED", Some("X-Agent-ID")),
    ] {
        answer(chat(&mesh, &credential)).await.problem(status, reason, field);
    }
    assert!(mesh.orchestrator.sent().is_empty());
}

#[tokio::test]
async fn a_credential_stands_once_and_in_plain_letters() {
    let mesh = Mesh::start().await;
    let good = format!("Bearer {}", token(&grant("pro-1")));
    let twice = mesh.request(Method::POST, "/api/chat/send").header("authorization", &good);
    let twice = answer(twice.header("authorization", &good)).await;
    twice.problem(400, "DUPLICATE_HEADER", Some("Authorization"));
    let strange = http::HeaderValue::from_bytes(b"Bearer a.b.\xff").unwrap();
    let strange = mesh.request(Method::POST, "/api/chat/send").header("authorization", strange);
    answer(strange).await.problem(401, "CREDENTIAL_INVALID", Some("Authorization"));
    let both = mesh.request(Method::POST, "/api/chat/send").header("authorization", &good);
    answer(both.header("x-api-key", "nbl_pro-1_key")).await.problem(401, "CREDENTIAL_INVALID", Some("X-API-Key"));
}

#[tokio::test]
async fn a_socket_is_opened_with_a_token_in_every_way() {
    let mesh = Mesh::start().await;
    let good = token(&grant("pro-1"));
    let (bearer, protocol) = (format!("Bearer {good}"), format!("nooble.v1, bearer.{good}"));
    for header in [("authorization", bearer.as_str()), ("sec-websocket-protocol", protocol.as_str())] {
        let mut socket = Socket::upgrade(&mesh, PATH, &[header]).await.unwrap();
        socket.expect("connection_ack").await;
    }
    let mut socket = Socket::upgrade(&mesh, PATH, &[]).await.unwrap();
    socket.say(json!({ "type": "auth", "token": good })).await;
    socket.expect("connection_ack").await;
    let refused = [("authorization", format!("Bearer {}", expired()))];
    let (status, problem) = Socket::upgrade(&mesh, PATH, &[(refused[0].0, &refused[0].1)]).await.err().unwrap();
    assert_eq!((status, problem["reason"].as_str()), (401, Some("CREDENTIAL_EXPIRED")));
}

#[tokio::test]
async fn a_first_frame_with_an_expired_token_and_one_with_a_wrong_one_close_differently() {
    let mesh = Mesh::start().await;
    for (token, reason, code) in [
        (expired(), "CREDENTIAL_EXPIRED", 4401),
        (broken(), "CREDENTIAL_INVALID", 4501),
        (token(&grant("other-1")), "TENANT_MISMATCH", 4503),
    ] {
        let mut socket = Socket::upgrade(&mesh, PATH, &[]).await.unwrap();
        socket.say(json!({ "type": "auth", "token": token })).await;
        assert_eq!(socket.expect("error").await["data"]["error_code"], reason);
        assert_eq!(socket.closed().await, code, "{reason}");
    }
}

#[tokio::test]
async fn a_socket_ends_with_its_token_and_goes_on_with_a_new_one() {
    // A ping comes much later than the end.
    let mesh = Mesh::with(gateway::Config { ping_interval: Duration::from_mins(1), ..quick() }).await;
    let short = || token(&Grant { ttl: Duration::from_secs(2), ..grant("pro-1") });
    let (first, second) = (format!("nooble.v1, bearer.{}", short()), format!("nooble.v1, bearer.{}", short()));
    let mut ending = Socket::upgrade(&mesh, PATH, &[("sec-websocket-protocol", &first)]).await.unwrap();
    let mut renewed = Socket::upgrade(&mesh, PATH, &[("sec-websocket-protocol", &second)]).await.unwrap();
    ending.expect("connection_ack").await;
    renewed.expect("connection_ack").await;
    renewed.say(json!({ "type": "auth", "token": token(&grant("pro-1")) })).await;
    assert_eq!(ending.expect("error").await["data"]["error_code"], "CREDENTIAL_EXPIRED");
    assert_eq!(ending.closed().await, 4401);
    renewed.say(json!({ "type": "ping" })).await;
    renewed.expect("pong").await;
    eventually(Duration::from_secs(5), || async { mesh.orchestrator.followers() == 1 }).await;
}

#[tokio::test]
async fn a_socket_ends_with_the_token_that_came_last() {
    let mesh = Mesh::with(gateway::Config { ping_interval: Duration::from_mins(1), ..quick() }).await;
    let mut socket = Socket::open(&mesh, "pro-1", "").await;
    socket.expect("connection_ack").await;
    let short = token(&Grant { ttl: Duration::from_secs(2), ..grant("pro-1") });
    socket.say(json!({ "type": "auth", "token": short })).await;
    assert_eq!(socket.expect("error").await["data"]["error_code"], "CREDENTIAL_EXPIRED");
    assert_eq!(socket.closed().await, 4401);
}

#[tokio::test]
async fn a_socket_stays_the_persons_who_opened_it_whatever_credential_comes_later() {
    let mesh = Mesh::start().await;
    let of = |user: &str| token(&Grant { user: Some(user.parse().unwrap()), ..grant("pro-1") });
    for (credential, code) in [(of("user-2"), Some(4503)), (of("user-1"), None), ("nbl_pro-1_key".to_owned(), None)] {
        let offered = format!("nooble.v1, bearer.{}", of("user-1"));
        let mut socket = Socket::upgrade(&mesh, PATH, &[("sec-websocket-protocol", &offered)]).await.unwrap();
        socket.expect("connection_ack").await;
        socket.say(json!({ "type": "auth", "token": credential })).await;
        if let Some(code) = code {
            assert_eq!(socket.expect("error").await["data"]["error_code"], "TENANT_MISMATCH");
            assert_eq!(socket.closed().await, code);
            continue;
        }
        socket.say(json!({ "type": "send", "data": { "message": "hello", "agent_id": "agent-pro-1" } })).await;
        socket.expect("task_update").await;
        assert_eq!(mesh.orchestrator.sent().pop().unwrap().0.user_id, "user-1");
    }
}

#[tokio::test]
async fn subscriptions_end_when_a_credential_that_is_limited_to_agents_takes_the_place_of_another() {
    let mesh = Mesh::start().await;
    let mut socket = Socket::open(&mesh, "pro-1", "").await;
    socket.expect("connection_ack").await;
    socket.say(json!({ "type": "subscribe", "data": { "agents": ["agent-pro-1"] } })).await;
    assert_eq!(socket.expect("subscribed").await["data"]["agents"], json!(["agent-pro-1"]));
    let agents = Some(["agent-other".parse().unwrap()].into());
    let limited = token(&Grant { agents, ..grant("pro-1") });
    socket.say(json!({ "type": "auth", "token": limited })).await;
    assert_eq!(socket.expect("subscribed").await["data"]["agents"], json!([]));
    socket.say(json!({ "type": "auth", "token": limited })).await;
    socket.say(json!({ "type": "ping" })).await;
    socket.expect("pong").await;
    eventually(Duration::from_secs(5), || async { mesh.orchestrator.followers() == 1 }).await;
}

#[tokio::test]
async fn a_person_whose_token_takes_the_place_of_a_key_keeps_the_socket_and_none_of_its_subscriptions() {
    let mesh = Mesh::start().await;
    let of = |user: &str| token(&Grant { user: Some(user.parse().unwrap()), ..grant("pro-1") });
    let mut socket = Socket::open(&mesh, "pro-1", "").await;
    socket.expect("connection_ack").await;
    let subscribe = json!({ "type": "subscribe", "data": { "agents": ["agent-pro-1"] } });
    socket.say(subscribe.clone()).await;
    assert_eq!(socket.expect("subscribed").await["data"]["agents"], json!(["agent-pro-1"]));
    // What is asked for at the same time as the credential changes is not granted to the one before.
    socket.say(subscribe).await;
    socket.say(json!({ "type": "auth", "token": of("user-1") })).await;
    let mut told = Vec::new();
    while told.len() < 2 {
        let frame = socket.hear().await.unwrap();
        told.push((frame["type"].as_str().unwrap().to_owned(), frame["data"]["agents"].clone()));
    }
    eventually(Duration::from_secs(5), || async { mesh.orchestrator.followers() == 1 }).await;
    assert!(told.contains(&("subscribed".to_owned(), json!([]))), "{told:?}");
    socket.say(json!({ "type": "auth", "token": of("user-2") })).await;
    assert_eq!(socket.expect("error").await["data"]["error_code"], "TENANT_MISMATCH");
    assert_eq!(socket.closed().await, 4503);
}

#[tokio::test]
async fn without_access_validation_everything_else_is_still_checked() {
    let mesh = Mesh::with(gateway::Config { enable_access_validation: false, ..quick() }).await;
    let elsewhere = |credential: &str| {
        let request =
            mesh.request(Method::POST, "/api/chat/send").header("authorization", format!("Bearer {credential}"));
        let request = request.header("x-tenant-id", "pro-1").header("x-tenant-tier", "professional");
        let request = request.header("x-agent-id", "agent-unknown").header("x-session-id", "session-1");
        request.json(&json!({ "message": "hello" }))
    };
    assert_eq!(answer(elsewhere("nbl_pro-1_key")).await.status, 200);
    let unknown = format!("{PATH}&agent_id=agent-unknown");
    let mut socket = Socket::upgrade(&mesh, &unknown, &[("x-api-key", "nbl_pro-1_key")]).await.unwrap();
    socket.expect("connection_ack").await;
    let agents = Some(["agent-pro-1".parse().unwrap()].into());
    let limited = token(&Grant { agents, ..grant("pro-1") });
    answer(elsewhere(&limited)).await.problem(403, "ACCESS_DENIED", Some("X-Agent-ID"));
    assert_eq!(answer(chat(&mesh, &limited)).await.status, 200);
    answer(elsewhere("nbl_other-1_key")).await.problem(403, "TENANT_MISMATCH", Some("X-Tenant-ID"));
}
