//! What is wrong is refused with a problem that names it, and costs nothing.

use e2e::{Client, Nooble};
use reqwest::multipart::{Form, Part};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;

use crate::{QUESTION, WORDS};

/// Sends a request and checks the problem: status, type, field.
#[track_caller]
fn check(request: RequestBuilder, status: u16, slug: &str, field: Option<&str>) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    let (slug, field) = (slug.to_owned(), field.map(str::to_owned));
    async move {
        let response = request.send().await.expect("the edge answers");
        let found = response.status();
        let kind = response.headers().get("content-type").cloned();
        let text = response.text().await.expect("a body");
        let body: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{caller}: not JSON: {text}"));
        assert_eq!(found, StatusCode::from_u16(status).expect("a status"), "{caller}: {body}");
        assert_eq!(kind.expect("a content type"), "application/problem+json", "{caller}");
        assert_eq!(body["type"], format!("/errors/{slug}"), "{caller}: {body}");
        assert_eq!(body["status"], status, "{caller}: {body}");
        if let Some(field) = field {
            assert_eq!(body["field"].as_str().map(str::to_lowercase), Some(field.to_lowercase()), "{caller}: {body}");
        }
        for inside in ["redis", "sqlite", "127.0.0.1", "panicked", "/src/"] {
            assert!(!text.to_lowercase().contains(inside), "{caller}: leaks `{inside}`: {text}");
        }
    }
}

fn without(client: &Client, header: &str) -> RequestBuilder {
    let mut request = client.message("session-1", "hello").build().expect("a request");
    request.headers_mut().remove(header);
    RequestBuilder::from_parts(client.http.clone(), request)
}

fn with(client: &Client, header: &'static str, value: &str) -> RequestBuilder {
    let mut request = client.message("session-1", "hello").build().expect("a request");
    request.headers_mut().insert(header, value.parse().expect("a header value"));
    RequestBuilder::from_parts(client.http.clone(), request)
}

#[tokio::test]
async fn every_wrong_message_is_refused_with_its_own_problem_and_costs_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let _nooble = Nooble::up(folder.path(), &["--demo"], &[WORDS]).await;
    let free = Client::of_demo(folder.path(), "free");
    let other = Client::of_demo(folder.path(), "enterprise");

    for header in ["x-tenant-id", "x-agent-id", "x-tenant-tier", "x-session-id"] {
        check(without(&free, header), 422, "missing-required-headers", Some(header)).await;
    }
    let twice = free.message("session-1", "hello").header("X-Agent-ID", "another");
    check(twice, 400, "duplicate-header", Some("x-agent-id")).await;
    check(with(&free, "x-session-id", "a b"), 400, "invalid-header", Some("x-session-id")).await;
    check(with(&free, "x-agent-id", "ab"), 400, "invalid-header", Some("x-agent-id")).await;
    check(with(&free, "x-tenant-tier", "gold"), 400, "invalid-tier", Some("x-tenant-tier")).await;
    check(with(&free, "x-context-type", "kitchen"), 400, "invalid-context-type", Some("x-context-type")).await;
    check(with(&free, "x-context-type", "collection"), 400, "invalid-context-type", Some("x-collection-id")).await;
    check(with(&free, "x-context-type", "workflow"), 422, "context-type-unavailable", None).await;
    check(free.message("session-1", ""), 422, "invalid-field", Some("message")).await;
    check(free.message("session-1", &"é".repeat(4_001)), 422, "invalid-field", Some("message")).await;
    check(free.message("session-1", &"x".repeat(300_000)), 413, "body-too-large", None).await;
    let broken = free.message("session-1", "hello").body("{\"message\": ");
    check(broken, 400, "invalid-json", None).await;
    check(with(&free, "x-tenant-tier", "enterprise"), 403, "tier-mismatch", Some("x-tenant-tier")).await;
    check(with(&free, "x-tenant-id", other.fact("tenant_id")), 403, "tenant-mismatch", Some("x-tenant-id")).await;
    check(with(&free, "x-agent-id", "no-such-agent"), 403, "access-denied", None).await;
    check(with(&free, "x-agent-id", other.fact("agent_id")), 403, "access-denied", None).await;
    check(with(&free, "authorization", "Bearer nbl_wrong_key"), 401, "credential-invalid", None).await;
    check(without(&free, "authorization"), 401, "credential-required", None).await;
    // None of the refused messages was charged: all ten of the minute are left, and the eleventh is refused.
    for _ in 0..10 {
        assert!(free.message("session-1", QUESTION).send().await.expect("an answer").status().is_success());
    }
    let refused = free.message("session-1", QUESTION).send().await.expect("an answer");
    assert!(refused.headers().contains_key("retry-after"));
    check(free.message("session-1", "hello"), 429, "rate-limit-exceeded", None).await;
}

#[tokio::test]
async fn another_tenants_task_and_collection_do_not_exist_and_documents_are_judged() {
    let folder = tempfile::tempdir().expect("a folder");
    let _nooble = Nooble::up(folder.path(), &["--demo"], &[WORDS]).await;
    let owner = Client::of_demo(folder.path(), "professional");
    let other = Client::of_demo(folder.path(), "enterprise");
    let sent = owner.send("session-1", QUESTION).await;
    let task = format!("/api/v1/tasks/{}", sent["task_id"].as_str().expect("an id"));
    let get = |path: &str| other.http.get(other.url(path)).bearer_auth(other.fact("api_key"));
    check(get(&task), 404, "task-not-found", None).await;
    let cancel = other.http.post(other.url(&format!("{task}/cancel"))).bearer_auth(other.fact("api_key"));
    check(cancel, 404, "task-not-found", None).await;
    check(get("/api/v1/tasks/not-a-task"), 400, "invalid-request", Some("task_id")).await;
    check(get("/nowhere"), 404, "not-found", None).await;

    let upload = |collection: &str, file: &str, bytes: Vec<u8>| {
        let form = Form::new()
            .text("collection_id", collection.to_owned())
            .part("file", Part::bytes(bytes).file_name(file.to_owned()));
        other.http.post(other.url("/api/v1/documents")).bearer_auth(other.fact("api_key")).multipart(form)
    };
    let mine = other.fact("collection_id");
    check(upload(owner.fact("collection_id"), "a.txt", b"some text".to_vec()), 404, "collection-not-found", None).await;
    check(upload(mine, "a.exe", b"MZ\x90\x00\x03\x00\x00\x00".to_vec()), 415, "unsupported-document-type", None).await;
    check(upload(mine, "a.txt", Vec::new()), 422, "document-empty", None).await;
    let no_file = Form::new().text("collection_id", mine.to_owned());
    let request = other.http.post(other.url("/api/v1/documents")).bearer_auth(other.fact("api_key")).multipart(no_file);
    check(request, 422, "invalid-field", Some("file")).await;
}
