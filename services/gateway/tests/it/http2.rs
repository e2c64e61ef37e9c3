//! HTTP/2 without TLS, for clients that begin with it, and those that abuse it.

use std::time::{Duration, Instant};

use http::{Request, Version};
use reqwest::Method;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::client::answer;
use crate::mesh::{Mesh, ms, quick};
use crate::raw::rest_bytes;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM_AND_HEADERS: u8 = 0x5;
const CANCEL: [u8; 4] = [0, 0, 0, 8];
/// `GET / HTTP/2` of the host `x` over http, by the static table.
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x41, 0x01, b'x'];

async fn mesh() -> Mesh {
    Mesh::with(gateway::Config { h2c: true, header_timeout: ms(1000), idle_timeout: ms(1500), ..quick() }).await
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Returns the code of the first GOAWAY among frames.
fn goaway(mut bytes: &[u8]) -> Option<u32> {
    while bytes.len() >= 9 {
        let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
        let payload = bytes.get(9..9 + length)?;
        if bytes[3] == GOAWAY {
            return Some(u32::from_be_bytes(payload.get(4..8)?.try_into().ok()?));
        }
        bytes = &bytes[9 + length..];
    }
    None
}

/// Begins as a client does and sends frames; returns the code with which the server ends the connection.
async fn abuse(mesh: &Mesh, frames: &[u8]) -> Option<u32> {
    let mut stream = TcpStream::connect(mesh.http).await.unwrap();
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes.extend_from_slice(frames);
    // It may be closed while it still writes.
    let _closed = stream.write_all(&bytes).await;
    goaway(&rest_bytes(&mut stream).await)
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
async fn a_client_that_takes_everything_back_is_sent_away() {
    let mesh = mesh().await;
    let mut frames = Vec::new();
    for stream in (1..4001).step_by(2) {
        frames.extend(frame(HEADERS, END_STREAM_AND_HEADERS, stream, GET));
        frames.extend(frame(RST_STREAM, 0, stream, &CANCEL));
    }
    let begun = Instant::now();
    // 11: enhance your calm.
    assert_eq!(abuse(&mesh, &frames).await, Some(11));
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
    assert!(abuse(&mesh, &frames).await.is_some());
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    // Begun and left so.
    abuse(&mesh, &frame(HEADERS, 0x1, 1, GET)).await;
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
    abuse(&mesh, &[]).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    // Half of what it should begin with.
    let mut stream = TcpStream::connect(mesh.http).await.unwrap();
    stream.write_all(&PREFACE[..10]).await.unwrap();
    assert!(rest_bytes(&mut stream).await.is_empty());
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
