//! The mission's list of common problems, each met on purpose, with the answer that helps:
//!
//! | problem | met in |
//! |---|---|
//! | "Missing required headers" | [`missing_headers_are_all_named_and_the_problem_has_a_page_that_says_what_to_send`] |
//! | "Invalid tier" | [`an_invalid_tier_is_answered_with_the_four_that_there_are`] |
//! | "WebSocket connection failed" | [`a_socket_that_cannot_be_opened_says_which_parameter_is_wrong`] |
//! | "Callback not received" | [`a_callback_that_does_not_come_is_seen_to_wait_for_a_worker_and_comes_when_there_is_one`] |
//! | the same, for good | [`a_message_that_no_worker_takes_ends_as_a_timeout_that_says_so`] |
//! | "Rate limit excedido" (rate limit exceeded) | [`a_rate_limit_that_is_exceeded_is_named_with_its_number_and_its_tier`] |
//! | "Cola no encontrada" (queue not found) | [`a_queue_that_is_not_found_is_told_from_a_name_that_is_none`] |
//! | "Contexto no resuelto" (context not resolved) | [`a_context_that_is_not_resolved_says_what_does_not_exist`] |

use std::path::Path;

use e2e::{Answer, Client, Nooble};
use proto::execution::v1::AgentRun;
use proto::orchestrator::v1::SendMessageRequest;
use proto::orchestrator::v1::orchestrator_service_client::OrchestratorServiceClient;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{PATIENCE, QUESTION, WORDS, channel};

async fn demo(folder: &Path, more: &[(&str, &str)]) -> Nooble {
    Nooble::up(folder, &["--demo"], &[&[WORDS], more].concat()).await
}

/// Reads the page that a problem's type leads to: what to check.
async fn advice(client: &Client, problem: &Value) -> String {
    let path = problem["type"].as_str().expect("a type");
    let page = client.http.get(client.url(path)).header("accept", "application/json");
    let page = Answer::of(page).await;
    assert_eq!((page.status, &page.body["title"]), (200, &problem["title"]), "{path}");
    page.body["check"].as_str().expect("what to check").to_owned()
}

#[tokio::test]
async fn missing_headers_are_all_named_and_the_problem_has_a_page_that_says_what_to_send() {
    let folder = tempfile::tempdir().expect("a folder");
    let _nooble = demo(folder.path(), &[]).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    let missing = client.ask(Method::POST, "/api/chat/send", Some(json!({ "message": "hello" }))).await;
    missing.problem(422, "missing-required-headers", Some("X-Tenant-ID"));
    assert_eq!(missing.body["title"], "Missing required headers");
    assert_eq!(missing.body["missing"], "X-Tenant-ID, X-Agent-ID, X-Tenant-Tier, X-Session-ID");
    let advice = advice(&client, &missing.body).await;
    for header in ["X-Tenant-ID", "X-Agent-ID", "X-Tenant-Tier", "X-Session-ID"] {
        assert!(advice.contains(header), "{advice}");
    }
    // One that is there and says nothing is missing, too.
    let empty = Answer::of(client.message_with("x-session-id", Some(""))).await;
    assert_eq!((empty.status, &empty.body["missing"]), (422, &json!("X-Session-ID")));
}

#[tokio::test]
async fn an_invalid_tier_is_answered_with_the_four_that_there_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let _nooble = demo(folder.path(), &[]).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    let path = client.socket_path("session-1").replace("tier=enterprise", "tier=platinum");
    let key = format!("Bearer {}", client.fact("api_key"));
    let socket = client.upgrade(&path, &[("authorization", &key)]).await.expect_err("an invalid tier");
    let message = Answer::of(client.message_with("x-tenant-tier", Some("platinum"))).await;
    message.problem(400, "invalid-tier", Some("X-Tenant-Tier"));
    assert_eq!((socket.0, &socket.1["field"]), (400, &json!("tier")));
    let plain = json!({ "name": "x", "system_prompt": "x", "minimum_tier": "platinum" });
    let agent = client.ask(Method::POST, "/api/v1/agents", Some(plain)).await;
    agent.problem(400, "invalid-tier", Some("minimum_tier"));
    for problem in [&message.body, &socket.1, &agent.body] {
        assert_eq!(problem["title"], "Invalid tier");
        for tier in ["free", "advance", "professional", "enterprise"] {
            assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(tier)), "{problem}");
        }
    }
}

#[tokio::test]
async fn a_socket_that_cannot_be_opened_says_which_parameter_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let _nooble = demo(folder.path(), &[]).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    let key = format!("Bearer {}", client.fact("api_key"));
    let tenant = client.fact("tenant_id");
    let good = client.socket_path("session-1");
    for (path, status, reason, field) in [
        ("/ws/session-1".to_owned(), 422, "MISSING_REQUIRED_HEADERS", "tenant_id"),
        (format!("/ws/session-1?tenant_id={tenant}"), 422, "MISSING_REQUIRED_HEADERS", "tier"),
        ("/ws/session-1?tier=enterprise".to_owned(), 422, "MISSING_REQUIRED_HEADERS", "tenant_id"),
        ("/ws/session-1?tenant_id=x&tier=enterprise".to_owned(), 400, "INVALID_REQUEST", "tenant_id"),
        ("/ws/session-1?tenant_id=nobody-1&tier=enterprise".to_owned(), 403, "TENANT_MISMATCH", "tenant_id"),
        (good.replace("session-1", "a"), 400, "INVALID_REQUEST", "session_id"),
        (format!("{good}&agent_id=nobodys-agent"), 403, "ACCESS_DENIED", "agent_id"),
        (format!("{good}&user_id=%20"), 400, "INVALID_REQUEST", "user_id"),
        (format!("{good}&epoch=e1"), 400, "INVALID_REQUEST", "seq"),
    ] {
        let (found, problem) = client.upgrade(&path, &[("authorization", &key)]).await.expect_err(&path);
        let named = problem["field"].as_str().unwrap_or_default();
        assert_eq!((found, &problem["reason"], named), (status, &json!(reason), field), "{path}: {problem}");
        assert!(!advice(&client, &problem).await.is_empty());
    }
    // Asked for as a page: the address is right, and what is missing is the upgrade.
    client.get(&good).await.problem(400, "invalid-request", Some("Upgrade"));
    let mut socket = client.upgrade(&good, &[("authorization", &key)]).await.expect("nothing is wrong");
    socket.until("connection_ack", PATIENCE).await;
}

#[tokio::test]
async fn a_callback_that_does_not_come_is_seen_to_wait_for_a_worker_and_comes_when_there_is_one() {
    let redis = testkit::Redis::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let url = redis.url();
    let settings = [WORDS, ("REDIS_URL", url.as_str())];
    let front = Nooble::up(folder.path(), &["--demo", "--without-worker", "execution"], &settings).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    let mut socket = client.socket("session-1", None).await;
    let sent = client.send("session-1", QUESTION).await;
    let task = client.task(sent["task_id"].as_str().expect("an id")).await;
    assert_eq!((&task["status"], &task["started_at"]), (&json!("pending"), &Value::Null), "nobody has begun: {task}");
    // What the mission tells to look at.
    let queues = client.get("/metrics/queues").await.body;
    assert_eq!(queues["domains"]["execution"]["waiting"], 1, "{queues}");
    let operator = std::fs::read_to_string(folder.path().join("admin.key")).expect("an operator's key");
    let all = client.ask_with(operator.trim(), Method::GET, "/metrics/queues", None).await.body;
    let waiting = &all["execution"]["enterprise"];
    assert_eq!((&waiting["total_items"], &waiting["claimed"]), (&json!(1), &json!(0)), "{all}");
    assert!(waiting["oldest_seconds"].is_number(), "{all}");
    let _worker = front.beside(folder.path(), &["execution", "--part", "worker"], &settings).await;
    let response = socket.until("agent_response", PATIENCE).await;
    assert_eq!(response["task_id"], sent["task_id"]);
}

#[tokio::test]
async fn a_message_that_no_worker_takes_ends_as_a_timeout_that_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = [WORDS, ("TIMEOUT_FREE", "1s")];
    let _front = Nooble::up(folder.path(), &["--demo", "--without-worker", "execution"], &settings).await;
    let client = Client::of_demo(folder.path(), "free");
    let mut socket = client.socket("session-1", None).await;
    let sent = client.send("session-1", QUESTION).await;
    let error = socket.until("error", PATIENCE).await;
    assert_eq!((&error["task_id"], &error["data"]["status"]), (&sent["task_id"], &json!("timeout")), "{error}");
    assert!(error["data"]["error"].as_str().is_some_and(|text| !text.is_empty()), "{error}");
    let task = client.task(sent["task_id"].as_str().expect("an id")).await;
    assert_eq!((&task["status"], &task["attempts"]), (&json!("timeout"), &json!(0)), "nobody began it: {task}");
}

#[tokio::test]
async fn a_rate_limit_that_is_exceeded_is_named_with_its_number_and_its_tier() {
    let folder = tempfile::tempdir().expect("a folder");
    // By the day, which ends at a known time, and not by the minute.
    let _nooble = demo(folder.path(), &[("RATE_LIMIT_FREE_PER_DAY", "1")]).await;
    let client = Client::of_demo(folder.path(), "free");
    client.send("session-1", "hello").await;
    let refused = Answer::of(client.message("session-1", "hello")).await;
    refused.problem(429, "rate-limit-exceeded", None);
    assert_eq!((&refused.body["window"], &refused.body["limit"]), (&json!("day"), &json!("1")), "{}", refused.body);
    assert!(refused.body["detail"].as_str().is_some_and(|detail| detail.contains("1 requests a day")));
    assert!(!advice(&client, &refused.body).await.is_empty());
    // "Check the tenant's tier and the limits that are set": both in one place, which costs nothing.
    let status = client.get("/api/v1/rate-limit/status").await.body;
    assert_eq!((&status["tenant"]["tier"], &status["limits"]["day"]), (&json!("free"), &json!(1)));
    assert_eq!((&status["remaining"]["day"], &status["usage"]["day"]), (&json!(0), &json!(1)));
}

#[tokio::test]
async fn a_queue_that_is_not_found_is_told_from_a_name_that_is_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let nooble = demo(folder.path(), &[]).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    // A domain that there is not: the answer names those that there are.
    let place = ["--grpc", &nooble.ready.grpc, "--data-dir", folder.path().to_str().expect("plain")];
    for command in [&["queue", "stats", "cooking"][..], &["dlq", "list", "cooking"]] {
        let output = Nooble::command(&[command, &place].concat()).output().await.expect("it ran");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{said}");
        assert!(said.contains("cooking") && said.contains("execution"), "{command:?}: {said}");
    }
    // A name that is none: `{domain}:{tenant_id}:callbacks` is expected.
    let mut orchestrator = OrchestratorServiceClient::new(channel(&nooble.ready.grpc));
    for (wrong, reason) in [
        ("orchestrator", "INVALID_QUEUE_NAME"),
        ("orchestrator:nobody-1:callbacks", "INVALID_QUEUE_NAME"),
        ("cooking:nobody-1:callbacks", "QUEUE_NOT_FOUND"),
    ] {
        let message = SendMessageRequest {
            agent_id: client.fact("agent_id").to_owned(),
            session_id: "session-1".to_owned(),
            run: Some(AgentRun { message: "hello".to_owned(), ..AgentRun::default() }),
            callback_queue: wrong.to_owned(),
            ..SendMessageRequest::default()
        };
        let mut request = tonic::Request::new(message);
        let key = format!("Bearer {}", client.fact("api_key")).parse().expect("plain");
        request.metadata_mut().insert("authorization", key);
        let refused = orchestrator.send_message(request).await.expect_err(wrong);
        let said = String::from_utf8_lossy(refused.details()).into_owned();
        assert!(said.contains(reason) && said.contains("callback_queue"), "{wrong}: {refused}: {said}");
    }
}

#[tokio::test]
async fn a_context_that_is_not_resolved_says_what_does_not_exist() {
    let folder = tempfile::tempdir().expect("a folder");
    let _nooble = demo(folder.path(), &[]).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    // An address of a public agent that there is not.
    let nowhere = Answer::of(client.http.get(client.url(&format!("/{}/agente-nadie", client.fact("tenant_id"))))).await;
    nowhere.problem(404, "context-not-resolved", None);
    assert_eq!(nowhere.body["title"], "Context not resolved");
    assert!(advice(&client, &nowhere.body).await.contains("does not exist for this tenant"));
    // A message to an agent, or from a collection, that there is not.
    let agent = Answer::of(client.message_with("x-agent-id", Some("nobodys-agent"))).await;
    agent.problem(403, "access-denied", Some("X-Agent-ID"));
    let collection = client.message("session-1", "hello").header("X-Context-Type", "collection");
    let collection = Answer::of(collection.header("X-Collection-ID", "nobodys-collection")).await;
    collection.problem(404, "collection-not-found", Some("X-Collection-ID"));
    // An agent that answers from documents and has none could never be resolved, so it is not made.
    let agent = json!({ "name": "x", "system_prompt": "x", "type": "rag" });
    client.ask(Method::POST, "/api/v1/agents", Some(agent)).await.problem(422, "invalid-field", Some("collections"));
}
