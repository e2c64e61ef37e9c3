//! HTTP/2 without TLS, for clients that begin with it, and those that abuse it.

use std::time::{Duration, Instant};

use http::{Request, Version};
use reqwest::Method;
use testkit::http2::{CONTINUATION, GET, HEADERS, PREFACE, abuse, frame, taken_back};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::client::answer;
use crate::mesh::{Mesh, ms, quick};

async fn mesh() -> Mesh {
    Mesh::with(gateway::Config { h2c: true, header_timeout: ms(1000), idle_timeout: ms(1500), ..quick() }).await
}

#[tokio::test]
async fn both_versions_are_spoken_and_the_answers_are_the_same() {
    let mesh = mesh().await;
    assert_eq!(answer(mesh.request(Method::GET, "/health")).await.status, 200);
    let h2 = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let health = h2.get(format!("http://{}/health", mesh.http)).send().await.unwrap();
    assert_eq!((health.status().as_u16(), health.version()), (200, Version::HTTP_2));
    let missing = h2.get(format!("http://{}/nope", mesh.http)).send().await.unwrap();
    assert_eq!(missing.status(), 404);
    assert_eq!(missing.headers()["content-type"], "application/problem+json");
    let sent = h2.post(format!("http://{}/api/chat/send", mesh.http)).header("x-api-key", "nbl_pro-1_key");
    assert_eq!(sent.send().await.unwrap().status(), 422, "headers are missing, as in the other version");
}

#[tokio::test]
async fn without_being_asked_for_it_is_not_spoken() {
    let mesh = Mesh::start().await;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let h2 = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    assert!(h2.get(format!("http://{}/health", mesh.http)).send().await.is_err());
}

#[tokio::test]
async fn a_body_that_need_not_be_there_is_read_without_a_length() {
    let mesh = mesh().await;
    for (body, status) in [(r#"{"session_id":"session-1"}"#, 201), (r#"{"session_id":5}"#, 422), ("{", 400), ("", 201)]
    {
        let stream = TcpStream::connect(mesh.http).await.unwrap();
        let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let request = Request::post("http://x/api/v1/ws-tickets").header("x-api-key", "nbl_pro-1_key");
        let request = request.header("content-type", "application/json").body(()).unwrap();
        let (answer, mut sending) = sender.send_request(request, false).unwrap();
        sending.send_data(bytes::Bytes::from(body), true).unwrap();
        assert_eq!(answer.await.unwrap().status(), status, "{body}");
    }
}

#[tokio::test]
async fn a_client_that_takes_everything_back_is_sent_away() {
    let mesh = mesh().await;
    let begun = Instant::now();
    // 11: enhance your calm.
    assert_eq!(abuse(mesh.http, &taken_back(2000)).await, Some(11));
    assert!(begun.elapsed() < Duration::from_secs(1), "at once, not when it was idle: {:?}", begun.elapsed());
    assert_eq!(answer(mesh.request(Method::GET, "/health")).await.status, 200);
}

#[tokio::test]
async fn headers_without_end_are_cut_off() {
    let mesh = mesh().await;
    let mut frames = frame(HEADERS, 0x1, 1, GET);
    for _ in 0..5000 {
        // An indexed field that costs nothing to send.
        frames.extend(frame(CONTINUATION, 0, 1, &[0x90; 64]));
    }
    let begun = Instant::now();
    assert!(abuse(mesh.http, &frames).await.is_some());
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    // Begun and left so.
    abuse(mesh.http, &frame(HEADERS, 0x1, 1, GET)).await;
    assert_eq!(answer(mesh.request(Method::GET, "/health")).await.status, 200);
}

#[tokio::test]
async fn headers_that_are_too_large_are_told_so() {
    let mesh = mesh().await;
    let stream = TcpStream::connect(mesh.http).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://x/health").header("x-long", "x".repeat(20 * 1024)).body(()).unwrap();
    let (answer, _) = sender.send_request(request, true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 431);
    let mut many = Request::get("http://x/health");
    for number in 0..70 {
        many = many.header(format!("x-{number}"), "1");
    }
    let mut sender = sender.ready().await.unwrap();
    let (answer, _) = sender.send_request(many.body(()).unwrap(), true).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (431, &"application/problem+json".parse().unwrap())
    );
}

#[tokio::test]
async fn a_connection_that_does_nothing_is_closed_and_one_that_works_is_not() {
    let mesh = mesh().await;
    let begun = Instant::now();
    abuse(mesh.http, &[]).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    // Half of what it should begin with.
    let mut stream = TcpStream::connect(mesh.http).await.unwrap();
    stream.write_all(&PREFACE[..10]).await.unwrap();
    assert!(testkit::rest(&mut stream).await.is_empty());
    let stream = TcpStream::connect(mesh.http).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    let ended = tokio::spawn(connection);
    for _ in 0..5 {
        sender = sender.ready().await.unwrap();
        let request = Request::get("http://x/health").body(()).unwrap();
        let (answer, _) = sender.send_request(request, true).unwrap();
        let mut body = answer.await.unwrap().into_body();
        while body.data().await.is_some() {}
        tokio::time::sleep(ms(700)).await;
    }
    assert!(!ended.is_finished());
    let _closed = tokio::time::timeout(Duration::from_secs(5), ended).await.expect("closed when idle");
}

#[tokio::test]
async fn a_client_that_grants_no_room_for_its_answer_is_given_up() {
    let config = gateway::Config { h2c: true, write_timeout: ms(300), ..quick() };
    let mesh = Mesh::with(config).await;
    let stream = TcpStream::connect(mesh.http).await.unwrap();
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(0);
    let (mut sender, connection) = builder.handshake::<_, bytes::Bytes>(stream).await.unwrap();
    let begun = Instant::now();
    let ended = tokio::spawn(connection);
    let mut held = Vec::new();
    for _ in 0..50 {
        sender = sender.ready().await.unwrap();
        let (answer, _) = sender.send_request(Request::get("http://x/errors").body(()).unwrap(), true).unwrap();
        held.push(answer.await.unwrap());
    }
    let _ended = tokio::time::timeout(Duration::from_secs(5), ended).await.expect("closed");
    assert!(begun.elapsed() >= ms(900), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn idle_connections_end_with_the_process() {
    let mesh = Mesh::with(gateway::Config { h2c: true, ..quick() }).await;
    let stream = TcpStream::connect(mesh.http).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    let ended = tokio::spawn(connection);
    let (answer, _) = sender.send_request(Request::get("http://x/health").body(()).unwrap(), true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
    let begun = Instant::now();
    mesh.stop.cancel();
    let _goaway = ended.await.unwrap();
    mesh.served.await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_answer_that_takes_longer_than_a_pause_may_is_waited_for() {
    let config = gateway::Config { h2c: true, idle_timeout: ms(800), body_timeout: ms(2500), ..quick() };
    let mesh = Mesh::with(config).await;
    let stream = TcpStream::connect(mesh.http).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let (answer, _) = sender.send_request(Request::get("http://x/health").body(()).unwrap(), true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
    let request = Request::post("http://x/api/chat/send")
        .header("x-api-key", "nbl_pro-1_key")
        .header("x-tenant-id", "pro-1")
        .header("x-tenant-tier", "professional")
        .header("x-agent-id", "agent-pro-1")
        .header("x-session-id", "session-1")
        .header("content-type", "application/json");
    let mut sender = sender.ready().await.unwrap();
    // Its body never comes; it is the time of the body that counts.
    let (answer, _body) = sender.send_request(request.body(()).unwrap(), false).unwrap();
    let begun = Instant::now();
    assert_eq!(answer.await.unwrap().status(), 400);
    assert!(begun.elapsed() >= ms(2400), "{:?}", begun.elapsed());
}
