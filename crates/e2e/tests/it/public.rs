//! Agents that anybody may talk to.

use e2e::{Client, Nooble};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{QUESTION, WORDS};

async fn publish(client: &Client, agent: &str, public: bool) {
    let body = json!({ "agent_id": agent, "slug": format!("{agent}-slug"), "name": agent, "system_prompt": "You help.",
        "type": "rag", "collections": [client.fact("collection_id")], "is_public": public });
    let request = client.http.post(client.url("/api/v1/agents")).bearer_auth(client.fact("api_key")).json(&body);
    let made = request.send().await.expect("the edge answers");
    assert_eq!(made.status(), 201, "{}", made.text().await.unwrap_or_default());
}

/// Asks without proving anything.
async fn anybody(client: &Client, method: Method, path: &str, host: Option<&str>, body: Option<Value>) -> (u16, Value) {
    let mut request = client.http.request(method, client.url(path));
    if let Some(host) = host {
        request = request.header("host", host);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.expect("the edge answers");
    let status = response.status().as_u16();
    (status, response.json().await.unwrap_or_default())
}

#[tokio::test]
async fn anybody_talks_to_a_public_agent_at_its_tenants_cost_and_within_a_limit_of_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = [WORDS, ("GATEWAY_PUBLIC_DOMAIN", "nooble.example"), ("GATEWAY_PUBLIC_REQUESTS_PER_MINUTE", "5")];
    let _nooble = Nooble::up(folder.path(), &["--demo"], &settings).await;
    let owner = Client::of_demo(folder.path(), "enterprise");
    publish(&owner, "open", true).await;
    publish(&owner, "shut", false).await;
    let tenant = owner.fact("tenant_id").to_owned();
    let path = format!("/{tenant}/open-slug");

    let (status, described) = anybody(&owner, Method::GET, &path, None, None).await;
    assert_eq!((status, &described["slug"]), (200, &json!("open-slug")));
    assert!(described.get("system_prompt").is_none(), "what the agent is told is nobody's business: {described}");
    let host = format!("{}.nooble.example", tenant.to_lowercase());
    let (status, at_host) = anybody(&owner, Method::GET, "/agent-open-slug", Some(&host), None).await;
    assert_eq!((status, &at_host), (200, &described));
    let asked = Some(json!({ "message": QUESTION }));
    let (status, answer) = anybody(&owner, Method::POST, "/open-slug", Some(&host), asked).await;
    assert!(status == 200 && answer["session"].is_string(), "{status}: {answer}");

    for hidden in [format!("/{tenant}/shut-slug"), format!("/{tenant}/nobody"), "/nobody/open-slug".to_owned()] {
        for method in [Method::GET, Method::POST] {
            let (status, problem) = anybody(&owner, method, &hidden, None, Some(json!({ "message": "hello" }))).await;
            assert_eq!((status, &problem["reason"]), (404, &json!("CONTEXT_NOT_RESOLVED")), "{hidden}");
        }
    }

    let (status, first) = anybody(&owner, Method::POST, &path, None, Some(json!({ "message": QUESTION }))).await;
    assert_eq!(status, 200, "{first}");
    assert!(first["response"].as_str().expect("an answer").contains("10"), "{first}");
    let more = json!({ "message": QUESTION, "session": first["session"] });
    let (status, second) = anybody(&owner, Method::POST, &path, None, Some(more)).await;
    assert_eq!((status, &second["session"]), (200, &first["session"]));
    let request = owner.http.post(owner.url(&path)).header("accept", "text/event-stream");
    let stream = request.json(&json!({ "message": QUESTION })).send().await.expect("the edge answers");
    let text = stream.text().await.expect("a stream");
    assert!(text.contains("event: delta") && text.contains("event: answer"), "{text}");

    for (body, field) in [
        (json!({}), "message"),
        (json!({ "message": "" }), "message"),
        (json!({ "message": "x", "session": "session-1" }), "session"),
        (json!({ "message": "x", "agent_id": "shut" }), "agent_id"),
    ] {
        let (status, problem) = anybody(&owner, Method::POST, &path, None, Some(body.clone())).await;
        assert_eq!((status, &problem["field"]), (422, &json!(field)), "{body}: {problem}");
    }

    let mut refused = Value::Null;
    // A minute may begin anew on the way.
    for _ in 0..12 {
        let (status, answer) = anybody(&owner, Method::POST, &path, None, Some(json!({ "message": QUESTION }))).await;
        if status == 429 {
            refused = answer;
            break;
        }
    }
    assert_eq!(refused["violated-policies"], json!(["address"]), "{refused}");
    assert!(refused["retry_after"].as_u64() <= Some(60), "{refused}");
    let usage = owner.http.get(owner.url("/api/v1/usage")).bearer_auth(owner.fact("api_key"));
    let usage: Value = usage.send().await.expect("the edge answers").json().await.expect("JSON");
    assert!(usage["agent_requests"].as_u64() >= Some(5), "the tenant pays: {usage}");
}

/// Sends a message under a key; returns the answer's status, whether it was given before, and its body.
async fn send_again(owner: &Client, path: &str, key: &str, accept: &str, body: &Value) -> (u16, bool, String) {
    let request = owner.http.post(owner.url(path)).header("idempotency-key", key).header("accept", accept);
    let response = request.json(body).send().await.expect("the edge answers");
    let again = response.headers().contains_key("idempotency-replayed");
    (response.status().as_u16(), again, response.text().await.expect("a body"))
}

#[tokio::test]
async fn a_visitors_message_that_is_sent_again_is_one_message_of_one_conversation() {
    let folder = tempfile::tempdir().expect("a folder");
    let _nooble = Nooble::up(folder.path(), &["--demo"], &[WORDS]).await;
    let owner = Client::of_demo(folder.path(), "enterprise");
    publish(&owner, "open", true).await;
    publish(&owner, "other", true).await;
    let path = format!("/{}/open-slug", owner.fact("tenant_id"));
    let asked = json!({ "message": QUESTION });
    let json = "application/json";
    let (status, again, first) = send_again(&owner, &path, "key-1", json, &asked).await;
    assert_eq!((status, again), (200, false), "{first}");
    assert_eq!(send_again(&owner, &path, "key-1", json, &asked).await, (200, true, first));
    let (status, _, other) = send_again(&owner, &path, "key-1", json, &json!({ "message": "else" })).await;
    assert_eq!(status, 422, "{other}");
    assert!(other.contains("IDEMPOTENCY_MISMATCH"), "{other}");

    let events = "text/event-stream";
    let (status, again, streamed) = send_again(&owner, &path, "key-2", events, &asked).await;
    assert_eq!((status, again), (200, false), "{streamed}");
    let (status, again, shown) = send_again(&owner, &path, "key-2", events, &asked).await;
    assert_eq!((status, again), (200, true), "{shown}");
    let answer = |text: &str| text.split("event: answer").nth(1).map(str::to_owned).expect("the whole answer");
    assert_eq!(answer(&streamed), answer(&shown), "the same session, the same text");

    let elsewhere = path.replace("open-slug", "other-slug");
    let (status, again, _) = send_again(&owner, &elsewhere, "key-1", json, &asked).await;
    assert_eq!((status, again), (200, false), "another agent's keys are others");
    let listed = owner.ask(Method::GET, "/api/v1/tasks", None).await.body;
    let of_public = |task: &&Value| task["session_id"].as_str().is_some_and(|id| id.starts_with("public-"));
    let sent = listed["tasks"].as_array().expect("tasks").iter().filter(of_public).count();
    assert_eq!(sent, 3, "{listed}");
    let (status, _, wrong) = send_again(&owner, &path, "a key", json, &asked).await;
    assert!(status == 400 && wrong.contains("Idempotency-Key"), "{status}: {wrong}");
}

#[tokio::test]
async fn a_visitor_is_shown_its_own_limits_and_none_of_the_owners() {
    let folder = tempfile::tempdir().expect("a folder");
    let _nooble = Nooble::up(folder.path(), &["--demo"], &[WORDS]).await;
    let owner = Client::of_demo(folder.path(), "professional");
    let agent = format!("/api/v1/agents/{}", owner.fact("agent_id"));
    let published = owner.ask(Method::PATCH, &agent, Some(json!({ "is_public": true }))).await;
    let path = format!("/{}/{}", owner.fact("tenant_id"), published.body["slug"].as_str().expect("a slug"));
    let policy = |response: &reqwest::Response| {
        let told = |name: &str| response.headers()[name].to_str().expect("text").to_owned();
        assert!(told("x-ratelimit-remaining").parse::<u64>().is_ok() && !told("ratelimit").is_empty());
        told("ratelimit-policy")
    };
    let described = owner.http.get(owner.url(&path)).send().await.expect("the edge answers");
    let told = policy(&described);
    assert!(told.starts_with("\"visits\";q=") && !told.contains(','), "{told}");
    for accept in ["application/json", "text/event-stream"] {
        let request = owner.http.post(owner.url(&path)).header("accept", accept);
        let answered = request.json(&json!({ "message": QUESTION })).send().await.expect("the edge answers");
        assert_eq!(answered.status(), 200);
        let told = policy(&answered);
        assert!(told.starts_with("\"address\";q=") && !told.contains(','), "{told}");
    }
}

#[tokio::test]
async fn an_agent_that_is_public_no_more_ceases_to_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let _nooble = Nooble::up(folder.path(), &["--demo"], &[WORDS]).await;
    let owner = Client::of_demo(folder.path(), "enterprise");
    publish(&owner, "open", true).await;
    let path = format!("/{}/open-slug", owner.fact("tenant_id"));
    assert_eq!(anybody(&owner, Method::GET, &path, None, None).await.0, 200);
    let change = owner.http.patch(owner.url("/api/v1/agents/open")).bearer_auth(owner.fact("api_key"));
    let changed = change.json(&json!({ "is_public": false })).send().await.expect("the edge answers");
    assert_eq!(changed.status(), 200);
    let gone = || async { anybody(&owner, Method::GET, &path, None, None).await.0 == 404 };
    testkit::eventually(std::time::Duration::from_secs(10), gone).await;
}

/// Asks a public agent from an address, as a proxy tells it.
async fn visit(owner: &Client, path: &str, from: &str) -> reqwest::Response {
    let request = owner.http.post(owner.url(path)).header("x-forwarded-for", from);
    request.json(&json!({ "message": QUESTION })).send().await.expect("the edge answers")
}

#[tokio::test]
async fn a_visitor_hears_that_no_more_is_taken_and_not_what_the_owner_may_or_has_used() {
    let folder = tempfile::tempdir().expect("a folder");
    // An address may say more than a free tenant.
    let settings = [WORDS, ("GATEWAY_PUBLIC_REQUESTS_PER_MINUTE", "500"), ("GATEWAY_TRUSTED_PROXIES", "127.0.0.0/8")];
    let _nooble = Nooble::up(folder.path(), &["--demo"], &settings).await;
    let owner = Client::of_demo(folder.path(), "free");
    let agent = format!("/api/v1/agents/{}", owner.fact("agent_id"));
    let published = owner.ask(Method::PATCH, &agent, Some(json!({ "is_public": true }))).await;
    let slug = published.body["slug"].as_str().expect("a slug");
    let path = format!("/{}/{slug}", owner.fact("tenant_id"));
    let visit = |from| visit(&owner, &path, from);
    let mut refused = None;
    // Two minutes' worth: one may begin anew on the way.
    for _ in 0..25 {
        let answer = visit("192.0.2.1").await;
        if answer.status() == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status(), 200);
    }
    let refused = refused.expect("a free tenant's limit is met");
    let wait = refused.headers()["retry-after"].to_str().expect("text").parse::<u64>().expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    let told: Vec<&str> = refused.headers().keys().map(reqwest::header::HeaderName::as_str).collect();
    assert!(!told.iter().any(|name| name.contains("ratelimit")), "whose limits would they be? {told:?}");
    let problem: Value = refused.json().await.expect("JSON");
    assert_eq!(problem["reason"], "RATE_LIMIT_EXCEEDED", "{problem}");
    assert!(problem.get("violated-policies").is_none() && problem.get("limit").is_none(), "{problem}");
    // It is the owner's, so another address is told the same, soon again if the minute has ended meanwhile.
    for _ in 0..25 {
        let elsewhere: Value = visit("198.51.100.7").await.json().await.expect("JSON");
        if elsewhere["reason"] == problem["reason"] {
            assert_eq!(elsewhere["detail"], problem["detail"]);
            return;
        }
    }
    panic!("another address is not refused");
}

#[tokio::test]
async fn addresses_behind_a_proxy_that_is_trusted_are_counted_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = [WORDS, ("GATEWAY_PUBLIC_REQUESTS_PER_MINUTE", "2"), ("GATEWAY_TRUSTED_PROXIES", "127.0.0.0/8")];
    let _nooble = Nooble::up(folder.path(), &["--demo"], &settings).await;
    let owner = Client::of_demo(folder.path(), "enterprise");
    publish(&owner, "open", true).await;
    let path = format!("/{}/open-slug", owner.fact("tenant_id"));
    let visit = async |from: &str| visit(&owner, &path, from).await.status().as_u16();
    let used_up = async || {
        let mut visits = 0;
        while visit("192.0.2.1").await == 200 {
            visits += 1;
            assert!(visits <= 4, "two a minute, and a minute may begin anew on the way");
        }
        visits
    };
    assert!(used_up().await >= 2);
    for number in 2..8 {
        assert_eq!(visit(&format!("192.0.2.{number}")).await, 200, "another address");
    }
    // What a visitor writes in front of what the proxy says is not believed.
    let kept_out = async || {
        used_up().await;
        visit("203.0.113.77, 192.0.2.1").await == 429
    };
    assert!(kept_out().await || kept_out().await);
}
