use std::time::Duration;

use futures::StreamExt as _;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder};
use testkit::eventually;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::client::answer;
use crate::mesh::{Mesh, quick};

const MEGABYTE: usize = 1024 * 1024;

fn upload(mesh: &Mesh, tenant: &str) -> RequestBuilder {
    mesh.request(Method::POST, "/api/v1/documents").header("x-api-key", format!("nbl_{tenant}_key"))
}

fn file(bytes: usize) -> Part {
    Part::bytes(vec![b'x'; bytes]).file_name("guide.md").mime_str("text/markdown").unwrap()
}

fn form(tenant: &str) -> Form {
    Form::new().text("collection_id", format!("coll-{tenant}")).text("title", "The guide")
}

#[tokio::test]
async fn a_document_is_passed_on_in_pieces_and_becomes_a_task() {
    let mesh = Mesh::start().await;
    let form = form("pro-1").text("session_id", "session-1").part("file", file(3 * MEGABYTE));
    let accepted = answer(upload(&mesh, "pro-1").multipart(form)).await;
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    assert_eq!(accepted.body["document_id"], "doc-1");
    assert_eq!(accepted.body["status"], "pending");
    assert_eq!(accepted.header("x-ratelimit-remaining"), "199");
    let state = mesh.ingestion.state();
    let (header, size) = &state.whole[0];
    assert_eq!((header.title.as_str(), header.file_name.as_str()), ("The guide", "guide.md"));
    assert_eq!((header.media_type.as_str(), header.session_id.as_str()), ("text/markdown", "session-1"));
    assert_eq!(*size, 3 * MEGABYTE as u64);
    assert!(state.largest <= 256 * 1024, "{}", state.largest);
    let id = accepted.body["task_id"].as_str().unwrap();
    assert_eq!(mesh.get(&format!("/api/v1/tasks/{id}"), "pro-1").await.status, 200);
}

#[tokio::test]
async fn a_document_arrives_before_its_sender_has_finished() {
    let mesh = Mesh::start().await;
    let (sender, receiver) = tokio::sync::mpsc::channel::<Vec<u8>>(1);
    let stream = futures::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (Ok::<_, std::io::Error>(chunk), receiver))
    });
    let part = Part::stream(reqwest::Body::wrap_stream(stream.boxed())).file_name("guide.md");
    let sending = tokio::spawn(answer(upload(&mesh, "pro-1").multipart(form("pro-1").part("file", part))));
    sender.send(vec![b'x'; MEGABYTE]).await.unwrap();
    eventually(Duration::from_secs(5), || async { mesh.ingestion.state().arrived > 0 }).await;
    assert!(mesh.ingestion.state().whole.is_empty());
    sender.send(vec![b'x'; 10]).await.unwrap();
    drop(sender);
    assert_eq!(sending.await.unwrap().status, 202);
    assert_eq!(mesh.ingestion.state().whole[0].1, MEGABYTE as u64 + 10);
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_named_and_charged_nothing() {
    let mesh = Mesh::start().await;
    let send = |form: Form| async { answer(upload(&mesh, "pro-1").multipart(form)).await };
    let nothing = Form::new().text("collection_id", "coll-pro-1");
    send(nothing).await.problem(422, "INVALID_FIELD", Some("file"));
    send(Form::new().part("file", file(10))).await.problem(422, "INVALID_FIELD", Some("collection_id"));
    let late = Form::new().part("file", file(10)).text("collection_id", "coll-pro-1");
    send(late).await.problem(422, "INVALID_FIELD", Some("collection_id"));
    let after = form("pro-1").part("file", file(10)).text("title", "late");
    send(after).await.problem(422, "INVALID_FIELD", Some("title"));
    let twice = form("pro-1").part("file", file(10)).part("file", file(10));
    send(twice).await.problem(422, "INVALID_FIELD", Some("file"));
    let id = Form::new().text("collection_id", "a b").part("file", file(10));
    send(id).await.problem(422, "INVALID_FIELD", Some("collection_id"));
    let title = Form::new().text("title", "x".repeat(301)).part("file", file(10));
    send(title).await.problem(422, "INVALID_FIELD", Some("title"));
    send(form("other-1").part("file", file(10))).await.problem(404, "COLLECTION_NOT_FOUND", Some("collection_id"));
    let image = Part::bytes(vec![1; 10]).file_name("a.png").mime_str("image/png").unwrap();
    send(form("pro-1").part("file", image)).await.problem(415, "UNSUPPORTED_DOCUMENT_TYPE", Some("file"));
    answer(upload(&mesh, "pro-1").body("plain")).await.problem(400, "INVALID_REQUEST", Some("Content-Type"));
    let asserted =
        upload(&mesh, "pro-1").header("x-tenant-id", "other-1").multipart(form("pro-1").part("file", file(1)));
    answer(asserted).await.problem(403, "TENANT_MISMATCH", Some("X-Tenant-ID"));
    assert!(mesh.ingestion.state().whole.is_empty(), "nothing was taken for whole");
    let accepted = send(form("pro-1").part("file", file(10))).await;
    assert_eq!((accepted.status, accepted.header("x-ratelimit-remaining")), (202, "199"));
}

#[tokio::test]
async fn the_collection_may_stand_in_a_header() {
    let mesh = Mesh::start().await;
    let request = upload(&mesh, "pro-1").header("x-collection-id", "coll-pro-1");
    let accepted = answer(request.multipart(Form::new().part("file", file(10)))).await;
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    assert_eq!(mesh.ingestion.state().whole[0].0.collection_id, "coll-pro-1");
}

#[tokio::test]
async fn a_document_larger_than_the_tier_allows_is_413_announced_or_not() {
    let mesh = Mesh::start().await;
    let announced = form("free-1").part("file", file(6 * MEGABYTE));
    let refused = answer(upload(&mesh, "free-1").multipart(announced)).await;
    refused.problem(413, "BODY_TOO_LARGE", Some("file"));
    assert_eq!(refused.body["limit"], (5 * MEGABYTE).to_string());
    let chunks = futures::stream::iter((0..6).map(|_| Ok::<_, std::io::Error>(vec![b'x'; MEGABYTE])));
    let part = Part::stream(reqwest::Body::wrap_stream(chunks)).file_name("guide.md");
    let unannounced = form("free-1").part("file", part);
    answer(upload(&mesh, "free-1").multipart(unannounced)).await.problem(413, "BODY_TOO_LARGE", Some("file"));
    assert!(mesh.ingestion.state().whole.is_empty());
}

#[tokio::test]
async fn a_document_that_broke_off_is_not_taken_for_whole() {
    let mesh = Mesh::start().await;
    let mut socket = TcpStream::connect(mesh.http).await.unwrap();
    let head = "POST /api/v1/documents HTTP/1.1\r\nhost: localhost\r\nx-api-key: nbl_pro-1_key\r\n\
                content-type: multipart/form-data; boundary=B\r\ncontent-length: 100000\r\n\r\n\
                --B\r\ncontent-disposition: form-data; name=\"collection_id\"\r\n\r\ncoll-pro-1\r\n\
                --B\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.md\"\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&vec![b'x'; 20_000]).await.unwrap();
    eventually(Duration::from_secs(5), || async { mesh.ingestion.state().arrived > 0 }).await;
    drop(socket);
    eventually(Duration::from_secs(5), || async { mesh.ingestion.state().broken == 1 }).await;
    assert!(mesh.ingestion.state().whole.is_empty());
}

#[tokio::test]
async fn a_document_that_comes_too_slowly_is_refused_and_not_taken_for_whole() {
    let mesh = Mesh::with(gateway::Config { upload_timeout: Duration::from_millis(700), ..quick() }).await;
    let (sender, receiver) = tokio::sync::mpsc::channel::<Vec<u8>>(1);
    let stream = futures::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (Ok::<_, std::io::Error>(chunk), receiver))
    });
    let part = Part::stream(reqwest::Body::wrap_stream(stream.boxed())).file_name("guide.md");
    let sending = tokio::spawn(answer(upload(&mesh, "pro-1").multipart(form("pro-1").part("file", part))));
    // Never silent for long, and never done.
    let dripping = tokio::spawn(async move {
        while sender.send(vec![b'x'; 1000]).await.is_ok() {
            tick().await;
        }
    });
    let refused = tokio::time::timeout(Duration::from_secs(5), sending).await.expect("an answer in time").unwrap();
    refused.problem(400, "INVALID_REQUEST", None);
    dripping.abort();
    eventually(Duration::from_secs(5), || async { mesh.ingestion.state().broken == 1 }).await;
    assert!(mesh.ingestion.state().whole.is_empty());
    // A quick one is taken as before.
    assert_eq!(answer(upload(&mesh, "pro-1").multipart(form("pro-1").part("file", file(10)))).await.status, 202);
}

/// Between two drops of a body that drips.
async fn tick() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}
