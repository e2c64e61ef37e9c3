//! The REST contract, route by route, against the whole system.

use std::path::Path;

use e2e::{Answer, Client, Nooble};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{PATIENCE, QUESTION, WORDS};

async fn ask(client: &Client, method: Method, path: &str, body: Option<Value>) -> Answer {
    client.ask(method, path, body).await
}

async fn ask_with(client: &Client, key: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
    client.ask_with(key, method, path, body).await
}

async fn get(client: &Client, path: &str) -> Answer {
    client.get(path).await
}

#[tokio::test]
async fn every_route_does_what_the_contract_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let _nooble = Nooble::up(folder.path(), &["--demo"], &[WORDS]).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    agents_are_made_changed_listed_and_deleted(&client).await;
    collections_are_made_and_listed(&client).await;
    documents_are_listed_and_found(&client).await;
    a_task_is_found_listed_and_watched(&client).await;
    chats_have_addresses_of_their_own(&client).await;
    conversations_are_read(&client).await;
    what_is_wrong_is_named(&client).await;
    health_is_told_to_anybody(&client).await;
    limits_and_usage_are_read_without_being_charged(folder.path()).await;
    numbers_are_a_tenants_own_and_all_of_them_an_operators(folder.path()).await;
    the_contract_is_served_and_so_is_a_page_to_read_it(&client).await;
}

async fn agents_are_made_changed_listed_and_deleted(client: &Client) {
    let body = json!({ "agent_id": "rest-1", "name": "Rest One", "system_prompt": "You help.", "max_tokens": 100,
        "limits": { "per_minute": 5 } });
    let made = ask(client, Method::POST, "/api/v1/agents", Some(body.clone())).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!((&made.body["slug"], &made.body["type"]), (&json!("rest-one"), &json!("conversational")));
    assert_eq!(made.body["limits"], json!({ "per_minute": 5, "per_hour": null, "per_day": null }));
    let again = ask(client, Method::POST, "/api/v1/agents", Some(body)).await;
    assert_eq!((again.status, &again.body["field"]), (409, &json!("agent_id")));
    let change = json!({ "name": "Other", "is_public": true });
    let changed = ask(client, Method::PATCH, "/api/v1/agents/rest-1", Some(change)).await;
    assert_eq!(
        (changed.status, &changed.body["name"], &changed.body["max_tokens"]),
        (200, &json!("Other"), &json!(100))
    );
    let first = get(client, "/api/v1/agents?page_size=1").await;
    let token = first.body["next_page_token"].as_str().expect("there are more").to_owned();
    let second = get(client, &format!("/api/v1/agents?page_size=100&page_token={token}")).await;
    let ids = |answer: &Answer| {
        let agents = answer.body["agents"].as_array().expect("agents").iter();
        agents.map(|agent| agent["agent_id"].as_str().expect("an id").to_owned()).collect::<Vec<_>>()
    };
    let all = [ids(&first), ids(&second)].concat();
    assert!(all.contains(&"rest-1".to_owned()) && all.is_sorted(), "{all:?}");
    let gone = ask(client, Method::DELETE, "/api/v1/agents/rest-1", None).await;
    assert_eq!(gone.status, 204);
    let missing = get(client, "/api/v1/agents/rest-1").await;
    assert_eq!((missing.status, &missing.body["reason"]), (404, &json!("AGENT_NOT_FOUND")));
}

async fn collections_are_made_and_listed(client: &Client) {
    let body = json!({ "collection_id": "rest-c", "name": "Rest" });
    let made = ask(client, Method::POST, "/api/v1/collections", Some(body)).await;
    assert_eq!((made.status, &made.body["name"]), (201, &json!("Rest")));
    assert_eq!(get(client, "/api/v1/collections/rest-c").await.body["collection_id"], "rest-c");
    let listed = get(client, "/api/v1/collections").await;
    assert!(listed.body["collections"].as_array().expect("a list").len() >= 2);
    assert_eq!(get(client, "/api/v1/collections/nowhere").await.status, 404);
}

async fn documents_are_listed_and_found(client: &Client) {
    let path = format!("/api/v1/documents?collection_id={}", client.fact("collection_id"));
    let listed = get(client, &path).await;
    let first = &listed.body["documents"][0];
    assert_eq!(first["status"], "completed", "{}", listed.body);
    let found = get(client, &format!("/api/v1/documents/{}", first["document_id"].as_str().expect("an id"))).await;
    assert_eq!(&found.body, first);
    assert_eq!(get(client, "/api/v1/documents/nowhere").await.status, 404);
    let unnamed = get(client, "/api/v1/documents").await;
    assert_eq!((unnamed.status, &unnamed.body["field"]), (400, &json!("collection_id")));
    assert_eq!(get(client, "/api/v1/documents?collection_id=nowhere").await.status, 404);
}

async fn a_task_is_found_listed_and_watched(client: &Client) {
    let sent = client.send("rest-1", QUESTION).await;
    let id = sent["task_id"].as_str().expect("an id");
    let events = get(client, &format!("/api/v1/tasks/{id}/events")).await;
    assert_eq!(events.header("content-type"), "text/event-stream");
    let text = events.body.as_str().expect("a stream of events").to_owned();
    let kinds: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!((kinds.first(), kinds.last()), (Some(&"task"), Some(&"task")), "{text}");
    assert!(kinds.contains(&"agent_response"), "{kinds:?}");
    let ids: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    let key = client.fact("api_key");
    let request = client.http.get(client.url(&format!("/api/v1/tasks/{id}/events"))).bearer_auth(key);
    let request = request.header("Last-Event-ID", *ids.last().expect("frames have ids"));
    let rest = request.send().await.expect("the edge answers").text().await.expect("a body");
    assert!(!rest.lines().any(|line| line.starts_with("id: ")), "everything was seen: {rest}");
    assert_eq!(rest.matches("event: task\n").count(), 2);
    let stale = client.http.get(client.url(&format!("/api/v1/tasks/{id}/events"))).bearer_auth(key);
    let stale = stale.header("Last-Event-ID", "another-numbering:7").send().await.expect("the edge answers");
    let told = stale.text().await.expect("a body");
    let gap = told.split("event: gap\n").nth(1).expect("a gap that is told");
    assert!(gap.lines().any(|line| line.starts_with("data: ") && line.contains("\"reason\":\"epoch\"")), "{told}");
    let listed = get(client, "/api/v1/tasks?status=completed&page_size=5").await;
    let tasks = listed.body["tasks"].as_array().expect("tasks");
    assert!(tasks.iter().any(|task| task["task_id"] == id), "{}", listed.body);
    let wrong = get(client, "/api/v1/tasks?status=done").await;
    assert_eq!((wrong.status, &wrong.body["field"]), (400, &json!("status")));
}

async fn chats_have_addresses_of_their_own(client: &Client) {
    let sent = client.send("rest-1", QUESTION).await;
    let body = json!({ "task_id": sent["task_id"] });
    let completed = || async {
        let status = ask(client, Method::POST, "/api/chat/status", Some(body.clone())).await;
        status.status == 200 && status.body["status"] == "completed"
    };
    testkit::eventually(PATIENCE, completed).await;
    let late = ask(client, Method::POST, "/api/chat/cancel", Some(body)).await;
    assert_eq!((late.status, &late.body["reason"]), (409, &json!("TASK_FINISHED")));
    let other = json!({ "task_id": "00000000-0000-7000-8000-000000000000" });
    let missing = ask(client, Method::POST, "/api/chat/status", Some(other)).await;
    assert_eq!((missing.status, &missing.body["reason"]), (404, &json!("TASK_NOT_FOUND")));
    assert_eq!(get(client, "/api/chat/health").await.body["status"], "healthy");
    let stats = get(client, "/api/chat/stats").await;
    assert_eq!(stats.body["tenant_id"], client.fact("tenant_id"));
}

async fn conversations_are_read(client: &Client) {
    let path = format!("/api/v1/conversations?session_id=rest-1&agent_id={}", client.fact("agent_id"));
    let said = get(client, &path).await;
    assert_eq!(said.body["messages"][0]["content"], QUESTION, "{}", said.body);
    let id = said.body["conversation_id"].as_str().expect("an id");
    let again = get(client, &format!("/api/v1/conversations/{id}/messages")).await;
    assert_eq!(again.body["messages"], said.body["messages"]);
}

async fn what_is_wrong_is_named(client: &Client) {
    for (path, body, status, field) in [
        ("/api/v1/agents", json!({ "name": "x", "system_prompt": "x", "colour": "red" }), 422, "colour"),
        ("/api/v1/agents", json!({ "name": 7 }), 422, "name"),
        ("/api/v1/agents", json!({ "name": "x" }), 422, "system_prompt"),
        ("/api/v1/agents", json!({ "name": "x", "system_prompt": "x", "type": "parrot" }), 422, "type"),
        ("/api/v1/agents", json!({ "name": "x", "system_prompt": "x", "temperature": 2 }), 422, "temperature"),
        ("/api/v1/agents", json!({ "name": "x", "system_prompt": "x", "minimum_tier": "gold" }), 400, "minimum_tier"),
        ("/api/v1/agents", json!({ "name": "x", "system_prompt": "x", "limits": { "per_year": 1 } }), 422, "per_year"),
        ("/api/v1/collections", json!({}), 422, "name"),
        ("/api/chat/status", json!({}), 422, "task_id"),
        ("/api/chat/status", json!({ "task_id": "x" }), 400, "task_id"),
    ] {
        let answer = ask(client, Method::POST, path, Some(body.clone())).await;
        let named = answer.body["field"].as_str().unwrap_or_default();
        assert_eq!((answer.status, answer.header("content-type")), (status, "application/problem+json"), "{body}");
        assert!(named == field, "{body}: {}", answer.body);
        let detail = answer.body["detail"].as_str().unwrap_or_default();
        assert!(!detail.contains("`agent.") && !detail.contains("`collection."), "the body has no such part: {detail}");
    }
    for path in ["page_size=0", "page_size=101", "page_size=x", "page_size=1&page_size=2"] {
        let answer = get(client, &format!("/api/v1/agents?{path}")).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.body);
    }
    let answer = get(client, "/api/v1/agents?page_token=%FF").await;
    assert_eq!((answer.status, &answer.body["field"]), (422, &json!("page_token")));
}

async fn health_is_told_to_anybody(client: &Client) {
    for path in ["/health", "/health/detailed", "/api/chat/health"] {
        let answer = client.http.get(client.url(path)).send().await.expect("the edge answers");
        assert_eq!(answer.status(), 200, "{path}");
    }
    let detailed = get(client, "/health/detailed").await;
    assert_eq!(detailed.body["services"]["ingestion"], "ok", "{}", detailed.body);
    for path in ["/metrics/overview", "/metrics/queues", "/metrics/system", "/api/chat/stats", "/api/v1/usage"] {
        let answer = client.http.get(client.url(path)).send().await.expect("the edge answers");
        assert_eq!(answer.status(), 401, "{path} is for those who prove who they are");
    }
}

async fn limits_and_usage_are_read_without_being_charged(folder: &Path) {
    let client = Client::of_demo(folder, "free");
    let before = get(&client, "/api/v1/rate-limit/status").await;
    assert_eq!(before.body["tenant"]["tier"], "free");
    assert_eq!((&before.body["limits"]["minute"], &before.body["limits"]["day"]), (&json!(10), &json!(100)));
    for name in ["ratelimit", "ratelimit-policy", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"] {
        assert!(!before.header(name).is_empty(), "{name}");
    }
    let sent = client.message("rest-1", QUESTION).send().await.expect("the edge answers");
    assert_eq!(sent.status(), 200);
    let policies = sent.headers()["ratelimit-policy"].to_str().expect("text").to_owned();
    for policy in ["\"minute\";q=10;w=60", "\"day\";q=100;w=86400", "\"session\";q=100;w=3600", "\"tasks\";q=20"] {
        assert!(policies.contains(policy), "{policy} in {policies}");
    }
    let after = get(&client, "/api/v1/rate-limit/status").await;
    let again = get(&client, "/api/v1/rate-limit/status").await;
    let used = |answer: &Answer| answer.body["usage"]["day"].as_u64().expect("a number");
    assert_eq!((used(&after), used(&again)), (used(&before) + 1, used(&before) + 1));
    let settled = || async { get(&client, "/api/v1/rate-limit/status").await.body["usage"]["tasks"] == 0 };
    testkit::eventually(PATIENCE, settled).await;
    let usage = get(&client, "/api/v1/usage").await;
    assert!(usage.body["agent_requests"].as_u64() >= Some(1), "{}", usage.body);
    assert_eq!(get(&client, "/api/v1/usage?date=2020-01-01").await.body["total_requests"], 0);
    assert_eq!(get(&client, "/api/v1/usage?date=yesterday").await.body["field"], "date");
    assert!(!usage.header("ratelimit").is_empty(), "every answer says how the limits stand");
}

async fn numbers_are_a_tenants_own_and_all_of_them_an_operators(folder: &Path) {
    let (one, other) = (Client::of_demo(folder, "free"), Client::of_demo(folder, "enterprise"));
    let operator = std::fs::read_to_string(folder.join("admin.key")).expect("an operator's key");
    for path in ["/metrics/overview", "/metrics/queues", "/metrics/system", "/api/chat/stats"] {
        let own = get(&one, path).await;
        assert_eq!((own.status, &own.body["tenant_id"]), (200, &json!(one.fact("tenant_id"))), "{path}");
        assert!(!own.body.to_string().contains(other.fact("tenant_id")), "{path}: {}", own.body);
        let all = ask_with(&one, operator.trim(), Method::GET, path, None).await;
        assert_eq!(all.status, 200, "{path}: {}", all.body);
    }
    let all = ask_with(&one, operator.trim(), Method::GET, "/metrics/queues", None).await;
    assert_eq!(all.body["execution"]["free"]["rate_limit"], 10, "{}", all.body);
    let refused = ask_with(&one, operator.trim(), Method::GET, "/api/v1/usage", None).await;
    assert_eq!(refused.body["reason"], "SCOPE_REQUIRED", "an operator has no usage of its own");
}

async fn the_contract_is_served_and_so_is_a_page_to_read_it(client: &Client) {
    let contract = client.http.get(client.url("/openapi.json")).send().await.expect("the edge answers");
    let contract: Value = contract.json().await.expect("JSON");
    assert!(contract["openapi"].as_str().expect("a version").starts_with("3.1"));
    assert!(contract["paths"]["/api/chat/send"]["post"]["operationId"] == "sendMessage");
    let page = client.http.get(client.url("/")).send().await.expect("the edge answers");
    let policy = page.headers()["content-security-policy"].to_str().expect("text").to_owned();
    assert!(policy.contains("default-src 'self'"), "nothing comes from elsewhere");
    assert!(page.text().await.expect("a page").contains("swagger-ui"));
    get(client, "/docs/nothing").await.problem(404, "not-found", None);
}
