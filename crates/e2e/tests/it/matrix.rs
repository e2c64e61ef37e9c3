//! Every route, asked by one tenant for what belongs to another: it must look like what does not exist.

use std::ops::Deref;
use std::sync::Mutex;
use std::time::Duration;

use e2e::{Client, Nooble};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{PATIENCE, QUESTION, WORDS};

/// What a tenant has, by which another one might reach it.
struct Things {
    tenant: String,
    agent: String,
    collection: String,
    document: String,
    task: String,
    session: &'static str,
    conversation: String,
}

/// Who asks for what belongs to others, and what was asked for.
struct Stranger {
    client: Client,
    asked: Mutex<Vec<(Method, String)>>,
}

impl Deref for Stranger {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Stranger {
    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        self.note(method.clone(), path);
        ask(self, method, path, body).await
    }

    async fn send_request(&self, request: reqwest::RequestBuilder) -> reqwest::Response {
        let request = request.build().expect("a request");
        self.note(request.method().clone(), request.url().path());
        self.http.execute(request).await.expect("the edge answers")
    }

    fn note(&self, method: Method, path: &str) {
        let path = path.split('?').next().unwrap_or_default().to_owned();
        self.asked.lock().expect("nobody panicked").push((method, path));
    }

    /// Tells whether an operation of the contract was asked for.
    fn has_asked(&self, method: &str, template: &str) -> bool {
        let is = |path: &str| {
            let (mut told, mut said) = (template.split('/'), path.split('/'));
            loop {
                match (told.next(), said.next()) {
                    (None, None) => return true,
                    (Some(told), Some(said)) if told.contains('{') || told == said => {}
                    _ => return false,
                }
            }
        };
        let asked = self.asked.lock().expect("nobody panicked");
        asked.iter().any(|(by, path)| by == method && is(path))
    }
}

async fn ask(client: &Client, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
    let answer = client.ask(method, path, body).await;
    (answer.status, answer.body)
}

async fn make(owner: &Client) -> Things {
    let session = "private-1";
    let task = owner.send(session, QUESTION).await["task_id"].as_str().expect("an id").to_owned();
    testkit::eventually(PATIENCE, || async { owner.task(&task).await["status"] == "completed" }).await;
    let (agent, collection) = (owner.fact("agent_id").to_owned(), owner.fact("collection_id").to_owned());
    let (_, said) =
        ask(owner, Method::GET, &format!("/api/v1/conversations?session_id={session}&agent_id={agent}"), None).await;
    // Documents of the demo have the same ids for every tenant.
    let form = reqwest::multipart::Form::new().text("collection_id", collection.clone());
    let form = form.text("document_id", "private-document-1");
    let form = form.part("file", reqwest::multipart::Part::text("a secret").file_name("secret.txt"));
    let upload = owner.http.post(owner.url("/api/v1/documents")).bearer_auth(owner.fact("api_key")).multipart(form);
    assert_eq!(upload.send().await.expect("the edge answers").status(), 202);
    let text = |value: &Value| value.as_str().expect("an id").to_owned();
    Things {
        tenant: owner.fact("tenant_id").to_owned(),
        conversation: text(&said["conversation_id"]),
        document: "private-document-1".to_owned(),
        agent,
        collection,
        task,
        session,
    }
}

#[tokio::test]
async fn what_belongs_to_another_tenant_looks_like_what_does_not_exist_on_every_route() {
    let folder = tempfile::tempdir().expect("a folder");
    let _nooble = Nooble::up(folder.path(), &["--demo"], &[WORDS]).await;
    let owner = Client::of_demo(folder.path(), "enterprise");
    let client = Client::of_demo(folder.path(), "professional");
    let stranger = Stranger { client, asked: Mutex::default() };
    let things = make(&owner).await;
    ids_of_another_tenant_are_unknown(&stranger, &things).await;
    lists_hold_nothing_of_another_tenant(&stranger, &things).await;
    asserting_another_tenant_is_refused(&stranger, &things).await;
    a_session_of_the_same_name_is_another_one(&owner, &stranger, &things).await;
    tickets_open_the_sessions_of_their_tenant_only(&stranger, &things).await;
    no_operation_of_the_contract_was_forgotten(&stranger).await;
    // Everything is as it was.
    assert_eq!(owner.task(&things.task).await["status"], "completed");
    assert_eq!(ask(&owner, Method::GET, &format!("/api/v1/agents/{}", things.agent), None).await.0, 200);
}

/// Makes the path and the body that ask for an id.
type Route = Box<dyn Fn(&str) -> (String, Option<Value>)>;

/// Asks for what is another's, and for what is nobody's, and compares.
async fn ids_of_another_tenant_are_unknown(stranger: &Stranger, things: &Things) {
    let Things { agent, collection, document, task, conversation, .. } = things;
    let nobodys_task = "00000000-0000-7000-8000-000000000000";
    let message = |agent: &str| json!({ "model": format!("agent:{agent}"), "messages": [{ "role": "user", "content": "hello" }] });
    let routes: Vec<(Method, Route, &str, &str)> = vec![
        (Method::GET, Box::new(|id| (format!("/api/v1/tasks/{id}"), None)), task, nobodys_task),
        (Method::GET, Box::new(|id| (format!("/api/v1/tasks/{id}/events"), None)), task, nobodys_task),
        (Method::POST, Box::new(|id| (format!("/api/v1/tasks/{id}/cancel"), None)), task, nobodys_task),
        (Method::POST, Box::new(|id| ("/api/chat/status".into(), Some(json!({ "task_id": id })))), task, nobodys_task),
        (Method::POST, Box::new(|id| ("/api/chat/cancel".into(), Some(json!({ "task_id": id })))), task, nobodys_task),
        (Method::GET, Box::new(|id| (format!("/api/v1/agents/{id}"), None)), agent, "nobodys"),
        (
            Method::PATCH,
            Box::new(|id| (format!("/api/v1/agents/{id}"), Some(json!({ "name": "mine" })))),
            agent,
            "nobodys",
        ),
        (Method::DELETE, Box::new(|id| (format!("/api/v1/agents/{id}"), None)), agent, "nobodys"),
        (Method::GET, Box::new(|id| (format!("/api/v1/rate-limit/status?agent_id={id}"), None)), agent, "nobodys"),
        (Method::POST, Box::new(move |id| ("/v1/chat/completions".into(), Some(message(id)))), agent, "nobodys"),
        (Method::GET, Box::new(|id| (format!("/v1/models/agent:{id}"), None)), agent, "nobodys"),
        (Method::GET, Box::new(|id| (format!("/api/v1/collections/{id}"), None)), collection, "nobodys"),
        (Method::GET, Box::new(|id| (format!("/api/v1/documents?collection_id={id}"), None)), collection, "nobodys"),
        (Method::GET, Box::new(|id| (format!("/api/v1/documents/{id}"), None)), document, "nobodys"),
        (
            Method::GET,
            Box::new(|id| (format!("/api/v1/conversations/{id}/messages"), None)),
            conversation,
            "nobodys-conversation",
        ),
    ];
    for (method, route, theirs, nobodys) in routes {
        let (path, body) = route(theirs);
        let (status, mut answer) = stranger.ask(method.clone(), &path, body).await;
        let (path_of_nobody, body) = route(nobodys);
        let (unknown_status, mut unknown) = stranger.ask(method.clone(), &path_of_nobody, body).await;
        for told in [&mut answer, &mut unknown] {
            if let Some(told) = told.as_object_mut() {
                told.remove("trace_id");
                // An empty conversation repeats its name.
                told.remove("conversation_id");
            }
        }
        assert_eq!((status, &answer), (unknown_status, &unknown), "{method} {path}");
        assert!(status >= 400 || answer["messages"] == json!([]), "{method} {path}: {status} {answer}");
    }
}

async fn lists_hold_nothing_of_another_tenant(stranger: &Stranger, things: &Things) {
    for path in [
        "/api/v1/tasks?page_size=100",
        "/api/v1/agents?page_size=100",
        "/api/v1/collections?page_size=100",
        "/v1/models",
        "/metrics/overview",
        "/metrics/queues",
        "/metrics/system",
        "/api/chat/stats",
        "/ws/stats",
        "/api/v1/usage",
        "/api/v1/rate-limit/status",
    ] {
        let (status, answer) = stranger.ask(Method::GET, path, None).await;
        assert_eq!(status, 200, "{path}: {answer}");
        let text = answer.to_string();
        for id in [&things.tenant, &things.task, &things.agent, &things.collection, &things.document] {
            assert!(!text.contains(id.as_str()), "{path} tells of {id}: {text}");
        }
    }
    let path = format!("/api/v1/conversations?session_id={}&agent_id={}", things.session, things.agent);
    let (_, said) = stranger.ask(Method::GET, &path, None).await;
    assert_eq!(said["messages"], json!([]), "{said}");
}

async fn asserting_another_tenant_is_refused(stranger: &Stranger, things: &Things) {
    let asserting = |request: reqwest::RequestBuilder| {
        let key = stranger.fact("api_key");
        request.bearer_auth(key).header("X-Tenant-ID", &things.tenant).header("X-Tenant-Tier", "enterprise")
    };
    let send = stranger.http.post(stranger.url("/api/chat/send")).json(&json!({ "message": QUESTION }));
    let send = send.header("X-Agent-ID", &things.agent).header("X-Session-ID", things.session);
    let repeated = stranger.http.post(stranger.url("/api/v1/agents")).header("Idempotency-Key", "matrix-1");
    let repeated = repeated.json(&json!({ "name": "x", "system_prompt": "x" }));
    let collection = stranger.http.post(stranger.url("/api/v1/collections")).json(&json!({ "name": "x" }));
    let ticket = stranger.http.post(stranger.url("/api/v1/ws-tickets"));
    let form = reqwest::multipart::Form::new().text("collection_id", things.collection.clone());
    let upload = stranger.http.post(stranger.url("/api/v1/documents")).multipart(form);
    let completion = stranger.http.post(stranger.url("/v1/chat/completions")).json(&json!({
        "model": format!("agent:{}", things.agent), "messages": [{ "role": "user", "content": "hello" }],
    }));
    for (what, request) in [
        ("send", send),
        ("repeated", repeated),
        ("collection", collection),
        ("ticket", ticket),
        ("upload", upload),
        ("completion", completion),
    ] {
        let response = stranger.send_request(asserting(request)).await;
        assert_eq!(response.status(), 403, "{what}");
        let text = response.text().await.expect("a body");
        assert!(text.contains("TENANT_MISMATCH"), "{what}: {text}");
    }
    asserting_another_tenant_is_refused_by_every_operation(stranger, things).await;
    let foreign = stranger.message_with("x-agent-id", Some(&things.agent));
    assert_eq!(stranger.send_request(foreign).await.status(), 403);
}

async fn asserting_another_tenant_is_refused_by_every_operation(stranger: &Stranger, things: &Things) {
    for (method, path) in operations(stranger).await.iter().filter(|operation| !is_open(operation)) {
        let path = path.replace("{id}", "00000000-0000-7000-8000-000000000000");
        let request = stranger.http.request(method.parse().expect("a method"), stranger.url(&path));
        let request = request.bearer_auth(stranger.fact("api_key")).json(&json!({ "message": "hello" }));
        let request = request.header("X-Agent-ID", &things.agent).header("X-Session-ID", things.session);
        let asserting = |tenant: &str, tier: &str| {
            let request = request.try_clone().expect("a body that is there");
            request.header("X-Tenant-ID", tenant).header("X-Tenant-Tier", tier)
        };
        let own = stranger.fact("tenant_id");
        for (request, reason) in [
            (asserting(&things.tenant, "professional"), "TENANT_MISMATCH"),
            (asserting(own, "enterprise"), "TIER_MISMATCH"),
        ] {
            let response = request.send().await.expect("the edge answers");
            let status = response.status();
            let text = response.text().await.expect("a body");
            assert!(status == 403 && text.contains(reason), "{method} {path}: {status} {text}");
        }
    }
}

async fn a_session_of_the_same_name_is_another_one(owner: &Client, stranger: &Stranger, things: &Things) {
    // From the very beginning of the log, as far as the epoch is known.
    let mut theirs = owner.socket(things.session, None).await;
    let ack = theirs.until("connection_ack", PATIENCE).await;
    let epoch = ack["epoch"].as_str().expect("an epoch");
    let mut mine = stranger.socket(things.session, Some((epoch, 0))).await;
    mine.until("connection_ack", PATIENCE).await;
    while mine.next(Duration::from_millis(300)).await.is_some() {}
    owner.send(things.session, QUESTION).await;
    theirs.until("agent_response", PATIENCE).await;
    while mine.next(Duration::from_millis(300)).await.is_some() {}
    let foreign = mine.seen.iter().filter(|frame| frame.to_string().contains(&things.tenant)).count();
    assert_eq!(foreign, 0, "{:#?}", mine.seen);
    for frame in [
        json!({ "type": "subscribe", "data": { "tasks": [things.task] } }),
        json!({ "type": "subscribe", "data": { "agents": [things.agent] } }),
        json!({ "type": "cancel", "data": { "task_id": things.task } }),
        json!({ "type": "send", "data": { "agent_id": things.agent, "message": QUESTION } }),
    ] {
        mine.send(&frame).await;
        let refused = mine.until("error", PATIENCE).await;
        let reason = refused["data"]["reason"].as_str().unwrap_or_default();
        assert!(["TASK_NOT_FOUND", "ACCESS_DENIED"].contains(&reason), "{frame}: {refused}");
    }
}

async fn tickets_open_the_sessions_of_their_tenant_only(stranger: &Stranger, things: &Things) {
    let (status, issued) = stranger.ask(Method::POST, "/api/v1/ws-tickets", Some(json!({}))).await;
    assert_eq!(status, 201, "{issued}");
    let ticket = issued["ticket"].as_str().expect("a ticket");
    let path = format!("/ws/{}?tenant_id={}&tier=enterprise&ticket={ticket}", things.session, things.tenant);
    let upgrade = stranger.http.get(stranger.url(&path)).header("connection", "upgrade").header("upgrade", "websocket");
    let upgrade = upgrade.header("sec-websocket-version", "13").header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let refused = stranger.send_request(upgrade).await;
    assert!([401, 403].contains(&refused.status().as_u16()), "{}", refused.status());
}

/// Operations that say nothing of any tenant, and those that are for everybody: `public.rs` looks at what they keep to themselves.
const OPEN: [(&str, &str); 6] = [
    ("GET", "/health"),
    ("GET", "/health/detailed"),
    ("GET", "/api/chat/health"),
    ("GET", "/ws/health"),
    ("GET", "/{tenant_slug}/{slug}"),
    ("POST", "/{tenant_slug}/{slug}"),
];

fn is_open((method, path): &(String, String)) -> bool {
    OPEN.contains(&(method, path))
}

/// Every operation of the contract, its method in upper case.
async fn operations(client: &Client) -> Vec<(String, String)> {
    let (_, contract) = ask(client, Method::GET, "/openapi.json", None).await;
    let paths = contract["paths"].as_object().expect("paths");
    let methods = ["get", "post", "put", "patch", "delete"];
    let of = |(path, item): (&String, &Value)| {
        let there = methods.into_iter().filter(|method| item.get(*method).is_some());
        there.map(|method| (method.to_uppercase(), path.clone())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of).collect()
}

async fn no_operation_of_the_contract_was_forgotten(stranger: &Stranger) {
    let all = operations(stranger).await;
    assert!(all.len() > 30, "{all:?}");
    let forgotten: Vec<_> = all
        .iter()
        .filter(|operation| !is_open(operation))
        .filter(|(method, path)| !stranger.has_asked(method, path))
        .collect();
    assert!(forgotten.is_empty(), "nobody asked for another tenant's: {forgotten:#?}");
}
