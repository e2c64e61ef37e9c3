use std::sync::atomic::Ordering;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use testkit::eventually;

use crate::client::answer;
use crate::mesh::Mesh;

#[tokio::test]
async fn a_message_becomes_a_task_in_the_agents_queue() {
    let mesh = Mesh::start().await;
    let request = mesh.chat("pro-1", "professional").header("x-user-id", "user-1").header("x-request-source", "web");
    let request = request.header("x-request-id", "req-1").json(&json!({ "message": "hello", "user_info": { "n": 1 } }));
    let sent = answer(request).await;
    assert_eq!(sent.status, 200, "{}", sent.body);
    assert_eq!(sent.body["success"], true);
    assert_eq!(sent.body["queue_name"], "execution:agent-pro-1:professional");
    assert!((sent.body["estimated_time"].as_f64().unwrap() - 1.5).abs() < f64::EPSILON);
    assert_eq!(sent.header("x-request-id"), "req-1");
    assert_eq!(sent.header("x-ratelimit-limit"), "200");
    assert_eq!(sent.header("x-ratelimit-remaining"), "199");
    assert!(sent.header("x-ratelimit-reset").parse::<u64>().unwrap() <= 60);
    let (request, caller) = mesh.orchestrator.sent().remove(0);
    assert!(caller.admitted, "the limits are charged once");
    assert_eq!(caller.service.as_deref(), Some("gateway"));
    assert_eq!(caller.tenant.unwrap().id.as_str(), "pro-1");
    assert_eq!(caller.user.unwrap().as_str(), "user-1");
    assert_eq!((request.session_id.as_str(), request.request_source.as_str()), ("session-1", "web"));
    assert_eq!(request.run.unwrap().user_info["n"], "1");
}

#[tokio::test]
async fn a_tier_without_limits_shows_none() {
    let mesh = Mesh::start().await;
    let sent = mesh.send("ent-1", "enterprise").await;
    assert_eq!((sent.status, sent.header("x-ratelimit-limit")), (200, ""));
}

#[tokio::test]
async fn who_is_not_proved_is_refused_before_anything_else() {
    let mesh = Mesh::start().await;
    let nobody = answer(mesh.request(Method::POST, "/api/chat/send")).await;
    nobody.problem(401, "CREDENTIAL_REQUIRED", None);
    assert!(nobody.header("www-authenticate").starts_with("Bearer"));
    let wrong = answer(mesh.request(Method::POST, "/api/chat/send").header("x-api-key", "nbl_no_key")).await;
    wrong.problem(401, "CREDENTIAL_INVALID", None);
    let operator = answer(mesh.request(Method::POST, "/api/chat/send").header("x-api-key", "nbl_admin_key")).await;
    operator.problem(403, "SCOPE_REQUIRED", None);
    let forged = mesh.request(Method::POST, "/api/chat/send").header("x-nooble-identity", "eyJhbGciOiJub25lIn0");
    answer(forged).await.problem(401, "CREDENTIAL_REQUIRED", None);
    mesh.management.revoked.lock().unwrap().insert("nbl_pro-1_key".to_owned());
    mesh.send("pro-1", "professional").await.problem(401, "CREDENTIAL_INVALID", None);
}

#[tokio::test]
async fn headers_are_checked_over_the_wire() {
    let mesh = Mesh::start().await;
    let key = ("x-api-key", "nbl_pro-1_key");
    let bare = || mesh.request(Method::POST, "/api/chat/send").header(key.0, key.1);
    let missing = answer(bare().header("x-tenant-id", "pro-1")).await;
    missing.problem(422, "MISSING_REQUIRED_HEADERS", Some("X-Agent-ID"));
    assert_eq!(missing.body["missing"], "X-Agent-ID, X-Tenant-Tier, X-Session-ID");
    assert_eq!(missing.body["title"], "Missing required headers");
    let send = |name: &'static str, value: &'static str| {
        let request = mesh.chat("pro-1", "professional").header(name, value);
        async move { answer(request.json(&json!({ "message": "m" }))).await }
    };
    send("x-tenant-id", "pro-1").await.problem(400, "DUPLICATE_HEADER", Some("X-Tenant-ID"));
    send("x-user-id", "a b").await.problem(400, "INVALID_HEADER", Some("X-User-ID"));
    send("x-context-type", "galaxy").await.problem(400, "INVALID_CONTEXT_TYPE", Some("X-Context-Type"));
    send("x-context-type", "collection").await.problem(400, "INVALID_CONTEXT_TYPE", Some("X-Collection-ID"));
    send("x-context-type", "workflow").await.problem(422, "CONTEXT_TYPE_UNAVAILABLE", Some("X-Context-Type"));
    mesh.send("pro-1", "gold").await.problem(400, "INVALID_TIER", Some("X-Tenant-Tier"));
    assert!(mesh.orchestrator.sent().is_empty());
}

#[tokio::test]
async fn bodies_are_checked_over_the_wire() {
    let mesh = Mesh::start().await;
    let chat = || mesh.chat("pro-1", "professional");
    let raw = |text: &'static str| chat().header("content-type", "application/json; charset=utf-8").body(text);
    let broken = answer(raw("{\n  \"message\": nope}")).await;
    broken.problem(400, "INVALID_JSON", None);
    assert!(broken.body["detail"].as_str().unwrap().contains("line 2 column"), "{}", broken.body);
    answer(raw("[1]")).await.problem(400, "INVALID_JSON", None);
    answer(raw("")).await.problem(400, "INVALID_JSON", None);
    let form = chat().header("content-type", "application/x-www-form-urlencoded").body("message=hello");
    answer(form).await.problem(400, "INVALID_JSON", Some("Content-Type"));
    answer(chat().json(&json!({ "message": "" }))).await.problem(422, "INVALID_FIELD", Some("message"));
    let long = json!({ "message": "x".repeat(4001) });
    answer(chat().json(&long)).await.problem(422, "INVALID_FIELD", Some("message"));
    let huge = json!({ "message": "m", "padding": "x".repeat(300 * 1024) }).to_string();
    let announced = chat().header("content-type", "application/json").body(huge.clone());
    answer(announced).await.problem(413, "BODY_TOO_LARGE", None);
    let chunks = futures::stream::iter(
        huge.into_bytes().chunks(4096).map(<[u8]>::to_vec).map(Ok::<_, std::io::Error>).collect::<Vec<_>>(),
    );
    let unannounced = chat().header("content-type", "application/json").body(reqwest::Body::wrap_stream(chunks));
    answer(unannounced).await.problem(413, "BODY_TOO_LARGE", None);
    assert!(mesh.orchestrator.sent().is_empty());
}

#[tokio::test]
async fn what_is_asserted_must_be_what_was_proved() {
    let mesh = Mesh::start().await;
    let send = |tenant: &'static str, tier: &'static str, agent: &'static str| {
        let request = mesh
            .request(Method::POST, "/api/chat/send")
            .header("x-api-key", "nbl_pro-1_key")
            .header("x-tenant-id", tenant)
            .header("x-tenant-tier", tier)
            .header("x-agent-id", agent)
            .header("x-session-id", "session-1");
        async move { answer(request.json(&json!({ "message": "m" }))).await }
    };
    send("other-1", "professional", "agent-pro-1").await.problem(403, "TENANT_MISMATCH", Some("X-Tenant-ID"));
    send("pro-1", "enterprise", "agent-pro-1").await.problem(403, "TIER_MISMATCH", Some("X-Tenant-Tier"));
    send("pro-1", "professional", "agent-other-1").await.problem(403, "ACCESS_DENIED", Some("X-Agent-ID"));
    send("pro-1", "professional", "agent-none").await.problem(403, "ACCESS_DENIED", Some("X-Agent-ID"));
    let foreign = mesh.chat("pro-1", "professional").header("x-collection-id", "coll-other-1");
    let foreign = answer(foreign.header("x-context-type", "collection").json(&json!({ "message": "m" }))).await;
    foreign.problem(404, "COLLECTION_NOT_FOUND", Some("X-Collection-ID"));
    let accepted = mesh.send("pro-1", "professional").await;
    assert_eq!(accepted.header("x-ratelimit-remaining"), "199", "refusals were charged nothing");
}

#[tokio::test]
async fn what_is_refused_for_its_form_is_charged_nothing() {
    let mesh = Mesh::start().await;
    let refused = |field: &'static str, body: serde_json::Value| {
        let request = mesh.chat("pro-1", "professional").json(&body);
        async move { answer(request).await.problem(422, "INVALID_FIELD", Some(field)) }
    };
    refused("message", json!({ "message": " " })).await;
    refused("message_type", json!({ "message": "m", "message_type": "image" })).await;
    refused("user_info", json!({ "message": "m", "user_info": { "": 1 } })).await;
    refused("user_info", json!({ "message": "m", "user_info": { "name": "x".repeat(513) } })).await;
    refused("max_iterations", json!({ "message": "m", "max_iterations": 0 })).await;
    let version = mesh.chat("pro-1", "professional").header("x-client-version", "1\t2");
    let version = answer(version.json(&json!({ "message": "m" }))).await;
    version.problem(400, "INVALID_HEADER", Some("X-Client-Version"));
    assert_eq!(mesh.send("pro-1", "professional").await.header("x-ratelimit-remaining"), "199");
}

#[tokio::test]
async fn a_tenant_beyond_its_limit_is_told_when_to_come_back() {
    let mesh = Mesh::start().await;
    // Ten a minute: of 21 within less than a minute, at least one is refused, wherever the minute ends.
    let mut refused = None;
    for _ in 0..21 {
        let sent = mesh.send("free-1", "free").await;
        if sent.status != 200 {
            refused = Some(sent);
            break;
        }
    }
    let refused = refused.expect("a refusal");
    refused.problem(429, "RATE_LIMIT_EXCEEDED", None);
    assert_eq!(refused.body["title"], "Rate limit exceeded");
    assert_eq!((refused.header("x-ratelimit-limit"), refused.header("x-ratelimit-remaining")), ("10", "0"));
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&seconds));
    assert_eq!(refused.header("x-ratelimit-reset"), refused.header("retry-after"));
    assert_eq!(mesh.send("pro-1", "professional").await.status, 200, "another tenant is not held up");
}

#[tokio::test]
async fn a_redis_that_is_away_is_503_until_it_is_back() {
    let mut mesh = Mesh::start().await;
    assert_eq!(mesh.get("/health", "pro-1").await.body["status"], "ok");
    mesh.redis.kill();
    let refused = mesh.send("pro-1", "professional").await;
    refused.problem(503, "BROKER_UNAVAILABLE", None);
    assert!(!refused.header("retry-after").is_empty());
    let health = || async { mesh.get("/health", "pro-1").await };
    eventually(Duration::from_secs(5), || async { health().await.status == 503 }).await;
    let sick = health().await;
    assert_eq!(
        (sick.body["status"].as_str(), sick.body["details"]["redis"]["status"].as_str()),
        (Some("degraded"), Some("unavailable"))
    );
    mesh.redis.restart().await;
    eventually(Duration::from_secs(10), || async { mesh.send("pro-1", "professional").await.status == 200 }).await;
    eventually(Duration::from_secs(5), || async { mesh.get("/health", "pro-1").await.status == 200 }).await;
}

#[tokio::test]
async fn nobody_gets_in_while_management_is_away() {
    let mesh = Mesh::start().await;
    mesh.management.away.store(true, Ordering::Relaxed);
    let refused = mesh.send("pro-1", "professional").await;
    refused.problem(503, "UNAVAILABLE", None);
    assert_eq!(refused.header("retry-after"), "1");
}
