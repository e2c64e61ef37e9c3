//! Who gets in, at which tier, and to what.

use std::path::Path;
use std::time::{Duration, Instant};

use e2e::{Answer, Client, Nooble};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};

use crate::{PATIENCE, QUESTION, WORDS};

/// How long a granted access may outlive the answer that granted it.
const REMEMBERED: Duration = Duration::from_secs(2);
/// What clocks of several processes may differ by.
const ROUNDING: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_socket_without_a_token_or_with_a_wrong_one_is_told_nothing_and_closed() {
    let folder = tempfile::tempdir().expect("a folder");
    let _nooble = Nooble::up(folder.path(), &["--demo"], &[WORDS]).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    let path = client.socket_path("session-1");
    let unsigned = "eyJhbGciOiJub25lIn0.eyJ0ZW5hbnQiOiJkZW1vIn0.";
    for wrong in ["debug_token", "nbl_debug_token", "undefined", unsigned] {
        let (bearer, protocol) = (format!("Bearer {wrong}"), format!("nooble.v1, bearer.{wrong}"));
        for header in [("authorization", &*bearer), ("x-api-key", wrong), ("sec-websocket-protocol", &*protocol)] {
            let (status, problem) = client.upgrade(&path, &[header]).await.expect_err("a wrong token");
            assert_eq!((status, &problem["reason"]), (401, &json!("CREDENTIAL_INVALID")), "{header:?}");
        }
        for parameter in ["token", "api_key"] {
            let refused = client.upgrade(&format!("{path}&{parameter}={wrong}"), &[]).await;
            assert_eq!(refused.expect_err("the address is no place for a token").0, 400, "{parameter}={wrong}");
        }
        let mut socket = client.upgrade(&path, &[]).await.expect("the token may follow");
        socket.send(&json!({ "type": "auth", "token": wrong })).await;
        assert_eq!(socket.closed(PATIENCE).await, Some(4501), "{wrong}: {:#?}", socket.seen);
    }
    let mut silent = client.upgrade(&path, &[]).await.expect("the token may follow");
    let mut owner = client.socket("session-1", None).await;
    client.send("session-1", QUESTION).await;
    owner.until("agent_response", PATIENCE).await;
    assert_eq!(silent.closed(PATIENCE).await, Some(4400), "{:#?}", silent.seen);
    assert!(silent.seen.iter().all(|frame| frame["type"] == "error"), "{:#?}", silent.seen);
}

#[tokio::test]
async fn a_free_tenant_that_says_it_is_enterprise_is_refused_and_keeps_the_limits_of_free() {
    let folder = tempfile::tempdir().expect("a folder");
    let _nooble = Nooble::up(folder.path(), &["--demo"], &[WORDS]).await;
    let free = Client::of_demo(folder.path(), "free");
    let key = format!("Bearer {}", free.fact("api_key"));
    let higher = Answer::of(free.message_with("x-tenant-tier", Some("enterprise"))).await;
    higher.problem(403, "tier-mismatch", Some("x-tenant-tier"));
    let completion = free.http.post(free.url("/v1/chat/completions")).bearer_auth(free.fact("api_key"));
    let completion = completion.header("X-Tenant-Tier", "enterprise").json(&json!({
        "model": format!("agent:{}", free.fact("agent_id")), "messages": [{ "role": "user", "content": "hello" }],
    }));
    assert_eq!(Answer::of(completion).await.status, 403);
    let tenant = free.fact("tenant_id");
    for parameters in
        [format!("tenant_id={tenant}&tier=enterprise"), format!("tenant_id={tenant}&tenant_tier=enterprise")]
    {
        let refused = free.upgrade(&format!("/ws/session-1?{parameters}"), &[("authorization", &key)]).await;
        let (status, problem) = refused.expect_err("the tier of somebody else");
        assert_eq!((status, &problem["reason"]), (403, &json!("TIER_MISMATCH")), "{parameters}");
    }
    // A token may name a tier, and is refused when that is not the tenant's.
    let mint = ["token", "mint", "--tenant", tenant, "--tier", "enterprise", "--data-dir"];
    let mint = Nooble::command(&[&mint[..], &[folder.path().to_str().expect("plain")]].concat()).output().await;
    let token = String::from_utf8(mint.expect("it ran").stdout).expect("a token");
    let raised = Answer::of(free.message_with("authorization", Some(&format!("Bearer {}", token.trim())))).await;
    raised.problem(403, "tier-mismatch", None);

    let status = free.get("/api/v1/rate-limit/status").await.body;
    assert_eq!((&status["tenant"]["tier"], &status["limits"]["day"]), (&json!("free"), &json!(100)), "{status}");
    assert_eq!(status["usage"]["day"], 0, "refusals cost nothing: {status}");
    let sent = free.message("session-1", "hello").send().await.expect("the edge answers");
    let policies = sent.headers()["ratelimit-policy"].to_str().expect("text").to_owned();
    assert!(policies.contains("\"minute\";q=10;w=60"), "{policies}");
    let sent: Value = sent.json().await.expect("JSON");
    assert!(sent["queue_name"].as_str().is_some_and(|queue| queue.ends_with(":free")), "{sent}");
}

#[tokio::test]
async fn access_that_cannot_be_checked_because_the_database_is_gone_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let remembered = format!("{}s", REMEMBERED.as_secs());
    let settings = [WORDS, ("ORCHESTRATOR_VALIDATION_CACHE_TTL", remembered.as_str())];
    let _nooble = Nooble::up(folder.path(), &["--demo"], &settings).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    let body = json!({ "agent_id": "never-asked-for", "name": "Never asked for", "system_prompt": "You help." });
    assert_eq!(client.ask(Method::POST, "/api/v1/agents", Some(body)).await.status, 201);
    let known = || Answer::of(client.message("session-1", "hello"));
    assert_eq!(known().await.status, 200);

    let database = folder.path().join("sql/management.db");
    rename(&database, "agents", "agents_that_are_gone").await;
    let gone = Instant::now();
    nobody_gets_to_an_agent_that_nobody_knows_of(&client).await;
    // What was granted before may stand for as long as it is remembered, and not a moment longer.
    testkit::eventually(PATIENCE, || async {
        let asked_after = gone.elapsed();
        let status = known().await.status;
        assert!(status == 503 || asked_after <= REMEMBERED + ROUNDING, "{status} after {asked_after:?}");
        status == 503
    })
    .await;
    for _ in 0..10 {
        known().await.problem(503, "unavailable", None);
    }
    nobody_gets_to_an_agent_that_nobody_knows_of(&client).await;

    rename(&database, "agents_that_are_gone", "agents").await;
    testkit::eventually(PATIENCE, || async { known().await.status == 200 }).await;
}

/// Asks for an agent in every way there is.
async fn nobody_gets_to_an_agent_that_nobody_knows_of(client: &Client) {
    let agent = "never-asked-for";
    let refused = Answer::of(client.message_with("x-agent-id", Some(agent))).await;
    refused.problem(503, "unavailable", None);
    assert!(!refused.header("retry-after").is_empty());
    let path = format!("{}&agent_id={agent}", client.socket_path("session-1"));
    let key = format!("Bearer {}", client.fact("api_key"));
    assert_eq!(client.upgrade(&path, &[("authorization", &key)]).await.expect_err("unchecked").0, 503);
    let message = json!({ "model": format!("agent:{agent}"), "messages": [{ "role": "user", "content": "hello" }] });
    assert_eq!(client.ask(Method::POST, "/v1/chat/completions", Some(message)).await.status, 503);
    let mut socket = client.socket("session-1", None).await;
    socket.send(&json!({ "type": "send", "data": { "agent_id": agent, "message": "hello" } })).await;
    let error = socket.until("error", PATIENCE).await;
    assert_eq!(error["data"]["error_code"], "UNAVAILABLE", "{error}");
}

/// Takes a table away under the eyes of its service, or puts it back.
async fn rename(database: &Path, table: &str, to: &str) {
    let url = format!("sqlite://{}", database.display());
    let mut connection = SqliteConnection::connect(&url).await.expect("the database is a file");
    let rename = sqlx::AssertSqlSafe(format!("ALTER TABLE {table} RENAME TO {to}"));
    sqlx::query(rename).execute(&mut connection).await.expect("the table is there");
    connection.close().await.expect("it is written");
}
