//! A question is answered from real documents.

use std::io::Write as _;
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
    let document = pdf(&[
        "The lighthouse of Punta Brava was built in 1911 by the engineer Elena Duarte, and",
        "its lamp can be seen from forty kilometres away.",
    ]);
    let mut socket = owner.socket("upload-1", None).await;
    let form = Form::new()
        .text("collection_id", owner.fact("collection_id").to_owned())
        .text("title", "Lighthouse")
        .text("session_id", "upload-1")
        .part("file", Part::bytes(document).file_name("lighthouse.pdf"));
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
    owner.send("upload-1", "From how far away can the lamp of the lighthouse be seen?").await;
    let response = socket.until("agent_response", PATIENCE).await;
    let text = response["data"]["response"].as_str().expect("text");
    assert!(
        text.contains("Elena Duarte, and its lamp") && text.contains("forty kilometres"),
        "whole sentences: {text}"
    );
    owner.send("upload-1", "What did the lighthouse of Punta Brava cost?").await;
    let response = socket.until("agent_response", PATIENCE).await;
    assert_eq!(response["data"]["response"], "This was not found in the documents.");

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

/// Writes a PDF of one page with these lines.
fn pdf(lines: &[&str]) -> Vec<u8> {
    let content = format!("BT /F1 12 Tf 14 TL 72 720 Td\n({}) Tj\nET", lines.join(") Tj T* ("));
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 5 0 R \
         /Resources << /Font << /F1 4 0 R >> >> >>"
            .to_owned(),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_owned(),
        format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()),
    ];
    let mut file = b"%PDF-1.4\n".to_vec();
    let mut rows = vec!["0000000000 65535 f \n".to_owned()];
    for (index, object) in objects.iter().enumerate() {
        rows.push(format!("{:010} 00000 n \n", file.len()));
        write!(file, "{} 0 obj\n{object}\nendobj\n", index + 1).expect("memory takes it");
    }
    let (start, size) = (file.len(), rows.len());
    let rows = rows.concat();
    write!(file, "xref\n0 {size}\n{rows}trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n")
        .expect("memory takes it");
    file
}
