//! A question is answered from real documents.

use std::path::Path;

use e2e::{Client, Nooble};
use reqwest::multipart::{Form, Part};
use serde_json::Value;

use crate::{PATIENCE, WORDS, model};

async fn demo(folder: &Path) -> Nooble {
    let (name, dir) = model();
    Nooble::up(folder, &["--demo"], &[(name, &dir)]).await
}

// Indexing the guide with the model takes seconds, so these share one demo.
#[tokio::test]
async fn questions_are_answered_from_the_documents_or_said_to_be_not_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let _nooble = demo(folder.path()).await;
    a_question_is_answered_with_deltas_first_and_sources(folder.path()).await;
    what_the_documents_do_not_say_is_not_found(folder.path()).await;
    an_uploaded_document_is_answered_from_and_only_for_its_tenant(folder.path()).await;
}

async fn a_question_is_answered_with_deltas_first_and_sources(folder: &Path) {
    for tier in ["free", "advance", "professional", "enterprise"] {
        let client = Client::of_demo(folder, tier);
        let mut socket = client.socket("session-1", None).await;
        let ack = socket.until("connection_ack", PATIENCE).await;
        assert_eq!(ack["tenant_tier"], tier);
        let sent = client.send("session-1", "How many requests per minute may a free tenant make?").await;
        assert_eq!(sent["success"], true);
        assert_eq!(sent["queue_name"], format!("execution:agent-{}:{tier}", client.fact("agent_id")));
        let response = socket.until("agent_response", PATIENCE).await;
        assert_eq!(response["task_id"], sent["task_id"]);
        let data = &response["data"];
        let text = data["response"].as_str().expect("the whole text");
        assert!(text.contains("10"), "{text}");
        assert!(!data["sources"].as_array().expect("sources").is_empty());
        let deltas: String = socket
            .seen
            .iter()
            .filter(|frame| frame["type"] == "agent_delta")
            .filter_map(|frame| frame["data"]["text"].as_str())
            .collect();
        assert_eq!(deltas, text, "the deltas came before the whole text and add up to it");
        let seqs: Vec<u64> = socket.seen.iter().skip(1).filter_map(|frame| frame["seq"].as_u64()).collect();
        assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]), "positions grow: {seqs:?}");
        for sentence in text.lines() {
            let verbatim =
                |source: &Value| source["passage"].as_str().is_some_and(|passage| passage.contains(sentence));
            assert!(data["sources"].as_array().expect("sources").iter().any(verbatim), "not verbatim: {sentence}");
        }
        let task = client.task(sent["task_id"].as_str().expect("an id")).await;
        assert_eq!(task["status"], "completed");
    }
}

async fn what_the_documents_do_not_say_is_not_found(folder: &Path) {
    let client = Client::of_demo(folder, "enterprise");
    let mut socket = client.socket("session-2", None).await;
    client.send("session-2", "Who won the chess championship in 1972?").await;
    let response = socket.until("agent_response", PATIENCE).await;
    assert_eq!(response["data"]["response"], "This was not found in the documents.");
    assert_eq!(response["data"]["sources"].as_array().map(Vec::len), Some(0));
}

async fn an_uploaded_document_is_answered_from_and_only_for_its_tenant(folder: &Path) {
    let owner = Client::of_demo(folder, "professional");
    let text = "# Lighthouse\n\nThe lighthouse of Punta Brava was built in 1911 by the engineer Elena Duarte. \
                Its lamp can be seen from forty kilometres away.\n";
    let mut socket = owner.socket("upload-1", None).await;
    let form = Form::new()
        .text("collection_id", owner.fact("collection_id").to_owned())
        .text("title", "Lighthouse")
        .text("session_id", "upload-1")
        .part("file", Part::bytes(text.as_bytes().to_vec()).file_name("lighthouse.md"));
    let request = owner.http.post(owner.url("/api/v1/documents")).bearer_auth(owner.fact("api_key")).multipart(form);
    let accepted = request.send().await.expect("the edge answers");
    assert_eq!(accepted.status(), 202);
    let accepted: Value = accepted.json().await.expect("JSON");
    loop {
        let update = socket.until("task_update", PATIENCE).await;
        assert_eq!(update["task_id"], accepted["task_id"]);
        if update["data"]["status"] == "completed" {
            break;
        }
    }
    let question = "Who built the lighthouse of Punta Brava?";
    owner.send("upload-1", question).await;
    let response = socket.until("agent_response", PATIENCE).await;
    assert!(response["data"]["response"].as_str().expect("text").contains("Elena Duarte"), "{response}");
    assert_eq!(response["data"]["sources"][0]["title"], "Lighthouse");

    let stranger = Client::of_demo(folder, "enterprise");
    let mut socket = stranger.socket("upload-1", None).await;
    stranger.send("upload-1", question).await;
    let response = socket.until("agent_response", PATIENCE).await;
    assert_eq!(response["data"]["response"], "This was not found in the documents.");
    assert!(socket.seen.iter().all(|frame| frame["tenant_id"] == stranger.fact("tenant_id")), "{:#?}", socket.seen);
}

#[tokio::test]
async fn a_client_that_comes_back_gets_what_it_missed_and_nothing_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let _nooble = Nooble::up(folder.path(), &["--demo"], &[WORDS]).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    let mut socket = client.socket("session-1", None).await;
    let ack = socket.until("connection_ack", PATIENCE).await;
    let (epoch, seq) = (ack["epoch"].as_str().expect("an epoch").to_owned(), ack["seq"].as_u64().expect("a position"));
    drop(socket);
    let sent = client.send("session-1", "How long may an enterprise run take?").await;
    let task_id = sent["task_id"].as_str().expect("an id").to_owned();
    let ended = || async { client.task(&task_id).await["status"] == "completed" };
    testkit::eventually(PATIENCE, ended).await;
    let mut socket = client.socket("session-1", Some((&epoch, seq))).await;
    let response = socket.until("agent_response", PATIENCE).await;
    assert_eq!(response["task_id"], sent["task_id"]);
    let (epoch, seq) = (response["epoch"].as_str().expect("an epoch"), response["seq"].as_u64().expect("a position"));
    let mut again = client.socket("session-1", Some((epoch, seq))).await;
    again.until("connection_ack", PATIENCE).await;
    assert!(again.next(std::time::Duration::from_millis(500)).await.is_none_or(|frame| frame["type"] == "resumed"));
}
