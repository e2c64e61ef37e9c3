//! What is wrong is refused with a problem that names it, and costs nothing.

use e2e::{Answer, Client, Nooble};
use reqwest::multipart::{Form, Part};

use crate::{QUESTION, WORDS};

#[tokio::test]
async fn every_wrong_message_is_refused_with_its_own_problem_and_costs_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let _nooble = Nooble::up(folder.path(), &["--demo"], &[WORDS]).await;
    let free = Client::of_demo(folder.path(), "free");
    let other = Client::of_demo(folder.path(), "enterprise");

    let with = |header, value: &str| Answer::of(free.message_with(header, Some(value)));
    for header in ["x-tenant-id", "x-agent-id", "x-tenant-tier", "x-session-id"] {
        Answer::of(free.message_with(header, None)).await.problem(422, "missing-required-headers", Some(header));
    }
    let twice = free.message("session-1", "hello").header("X-Agent-ID", "another");
    Answer::of(twice).await.problem(400, "duplicate-header", Some("x-agent-id"));
    with("x-session-id", "a b").await.problem(400, "invalid-header", Some("x-session-id"));
    with("x-agent-id", "ab").await.problem(400, "invalid-header", Some("x-agent-id"));
    with("x-tenant-tier", "gold").await.problem(400, "invalid-tier", Some("x-tenant-tier"));
    with("x-context-type", "kitchen").await.problem(400, "invalid-context-type", Some("x-context-type"));
    with("x-context-type", "collection").await.problem(400, "invalid-context-type", Some("x-collection-id"));
    with("x-context-type", "workflow").await.problem(422, "context-type-unavailable", None);
    Answer::of(free.message("session-1", "")).await.problem(422, "invalid-field", Some("message"));
    Answer::of(free.message("session-1", &"é".repeat(4_001))).await.problem(422, "invalid-field", Some("message"));
    Answer::of(free.message("session-1", &"x".repeat(300_000))).await.problem(413, "body-too-large", None);
    let broken = free.message("session-1", "hello").body("{\"message\": ");
    Answer::of(broken).await.problem(400, "invalid-json", None);
    with("x-tenant-id", other.fact("tenant_id")).await.problem(403, "tenant-mismatch", Some("x-tenant-id"));
    with("x-agent-id", "no-such-agent").await.problem(403, "access-denied", None);
    with("x-agent-id", other.fact("agent_id")).await.problem(403, "access-denied", None);
    with("authorization", "Bearer nbl_wrong_key").await.problem(401, "credential-invalid", None);
    Answer::of(free.message_with("authorization", None)).await.problem(401, "credential-required", None);
    // None of the refused messages was charged: nine of the ten of a minute are left after the first.
    let first = Answer::of(free.message("session-1", QUESTION)).await;
    assert_eq!((first.status, first.header("x-ratelimit-remaining")), (200, "9"));
    // A minute may begin anew before all are used up.
    let mut last = first;
    for _ in 0..20 {
        if last.status == 200 {
            last = Answer::of(free.message("session-1", QUESTION)).await;
        }
    }
    last.problem(429, "rate-limit-exceeded", None);
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
    Answer::of(get(&task)).await.problem(404, "task-not-found", None);
    let cancel = other.http.post(other.url(&format!("{task}/cancel"))).bearer_auth(other.fact("api_key"));
    Answer::of(cancel).await.problem(404, "task-not-found", None);
    Answer::of(get("/api/v1/tasks/not-a-task")).await.problem(400, "invalid-request", Some("task_id"));
    Answer::of(get("/nowhere")).await.problem(404, "not-found", None);

    let upload = |collection: &str, file: &str, bytes: Vec<u8>| {
        let form = Form::new()
            .text("collection_id", collection.to_owned())
            .part("file", Part::bytes(bytes).file_name(file.to_owned()));
        other.http.post(other.url("/api/v1/documents")).bearer_auth(other.fact("api_key")).multipart(form)
    };
    let mine = other.fact("collection_id");
    let foreign = upload(owner.fact("collection_id"), "a.txt", b"some text".to_vec());
    Answer::of(foreign).await.problem(404, "collection-not-found", None);
    let program = upload(mine, "a.exe", b"MZ\x90\x00\x03\x00\x00\x00".to_vec());
    Answer::of(program).await.problem(415, "unsupported-document-type", None);
    Answer::of(upload(mine, "a.txt", Vec::new())).await.problem(422, "document-empty", None);
    let no_file = Form::new().text("collection_id", mine.to_owned());
    let request = other.http.post(other.url("/api/v1/documents")).bearer_auth(other.fact("api_key")).multipart(no_file);
    Answer::of(request).await.problem(422, "invalid-field", Some("file"));
}
