//! Clients that take their time, say too much, or say it twice.

use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use testkit::eventually;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::client::answer;
use crate::mesh::{Mesh, ms, quick};
use crate::raw::{exchange, from, one_answer, rest};

const GET: &[u8] = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n";

async fn healthy(mesh: &Mesh) -> bool {
    answer(mesh.request(Method::GET, "/health")).await.status == 200
}

#[tokio::test]
async fn a_kept_connection_may_rest_longer_than_a_head_may_take() {
    let config = gateway::Config { header_timeout: ms(400), idle_timeout: ms(2500), ..quick() };
    let mesh = Mesh::with(config).await;
    let mut kept = TcpStream::connect(mesh.http).await.unwrap();
    for _ in 0..2 {
        kept.write_all(GET).await.unwrap();
        assert!(one_answer(&mut kept).await.starts_with("HTTP/1.1 200"));
        tokio::time::sleep(ms(1000)).await;
    }
    // The head that has begun has the short time again.
    let begun = Instant::now();
    kept.write_all(b"GET /hea").await.unwrap();
    assert_eq!(rest(&mut kept).await, "");
    assert!(begun.elapsed() < ms(1500), "{:?}", begun.elapsed());
    let mut resting = TcpStream::connect(mesh.http).await.unwrap();
    resting.write_all(GET).await.unwrap();
    one_answer(&mut resting).await;
    assert_eq!(rest(&mut resting).await, "", "closed in the end");
}

#[tokio::test]
async fn a_head_that_was_begun_behind_another_request_does_not_hold_a_connection() {
    let mesh = Mesh::with(gateway::Config { header_timeout: ms(400), idle_timeout: ms(800), ..quick() }).await;
    let mut kept = TcpStream::connect(mesh.http).await.unwrap();
    let begun = Instant::now();
    kept.write_all(&[GET, b"GET /hea"].concat()).await.unwrap();
    assert!(one_answer(&mut kept).await.starts_with("HTTP/1.1 200"));
    assert_eq!(rest(&mut kept).await, "");
    assert!(begun.elapsed() < ms(3000), "as if it rested: {:?}", begun.elapsed());
}

#[tokio::test]
async fn two_thousand_half_open_connections_hold_up_nobody_and_are_reclaimed() {
    let config = gateway::Config {
        header_timeout: ms(2000),
        max_connections: 2200,
        max_connections_per_address: 2000,
        ..quick()
    };
    let mesh = Mesh::with(config).await;
    let half = b"POST /api/chat/send HTTP/1.1\r\nhost: x\r\nx-slow: ";
    let mut lorises = Vec::new();
    for _ in 0..2000 {
        let mut stream = from("127.0.0.2", mesh.http).await;
        stream.write_all(half).await.unwrap();
        lorises.push(stream);
    }
    // One more letter every now and then buys no time.
    let begun = Instant::now();
    while begun.elapsed() < ms(500) {
        for stream in &mut lorises {
            let _closed = stream.write_all(b"a").await;
        }
        assert!(healthy(&mesh).await);
    }
    let more = from("127.0.0.2", mesh.http).await;
    let one_too_many = rest(&mut { more }).await;
    assert!(one_too_many.is_empty() || one_too_many.starts_with("HTTP/1.1 503"), "{one_too_many}");
    assert!(healthy(&mesh).await, "another address has its own share");
    join_all(lorises.iter_mut().map(rest)).await;
    let mut again = from("127.0.0.2", mesh.http).await;
    again.write_all(GET).await.unwrap();
    assert!(one_answer(&mut again).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn all_connections_together_are_bounded_and_a_refusal_says_so() {
    let mesh = Mesh::with(gateway::Config { max_connections: 3, header_timeout: ms(1500), ..quick() }).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(TcpStream::connect(mesh.http).await.unwrap());
    }
    eventually(Duration::from_secs(1), || async {
        let mut refused = TcpStream::connect(mesh.http).await.unwrap();
        let said = rest(&mut refused).await;
        said.contains("503") && said.contains("application/problem+json") && said.contains("OVERLOADED")
    })
    .await;
    eventually(Duration::from_secs(5), || async {
        mesh.request(Method::GET, "/health").send().await.is_ok_and(|answer| answer.status() == 200)
    })
    .await;
}

#[tokio::test]
async fn a_trusted_proxy_has_no_share_of_its_own() {
    let trusted_proxies = vec!["127.0.0.3/32".parse().unwrap()];
    let mesh = Mesh::with(gateway::Config { max_connections_per_address: 1, trusted_proxies, ..quick() }).await;
    let mut first = from("127.0.0.2", mesh.http).await;
    first.write_all(GET).await.unwrap();
    one_answer(&mut first).await;
    assert!(rest(&mut from("127.0.0.2", mesh.http).await).await.contains("503"));
    for _ in 0..3 {
        let mut proxied = from("127.0.0.3", mesh.http).await;
        proxied.write_all(GET).await.unwrap();
        assert!(one_answer(&mut proxied).await.starts_with("HTTP/1.1 200"));
        std::mem::forget(proxied);
    }
}

#[tokio::test]
async fn a_body_that_trickles_is_given_up() {
    let mesh = Mesh::with(gateway::Config { body_timeout: ms(500), ..quick() }).await;
    let mut slow = TcpStream::connect(mesh.http).await.unwrap();
    let head = "POST /api/chat/send HTTP/1.1\r\nhost: x\r\nx-api-key: nbl_pro-1_key\r\nx-tenant-id: pro-1\r\n\
        x-tenant-tier: professional\r\nx-agent-id: agent-pro-1\r\nx-session-id: session-1\r\n\
        content-type: application/json\r\ncontent-length: 1000\r\n\r\n{";
    slow.write_all(head.as_bytes()).await.unwrap();
    let (mut reading, mut writing) = slow.into_split();
    let trickle = tokio::spawn(async move {
        while writing.write_all(b" ").await.is_ok() {
            tokio::time::sleep(ms(50)).await;
        }
    });
    let begun = Instant::now();
    let mut said = String::new();
    let _reset = tokio::io::AsyncReadExt::read_to_string(&mut reading, &mut said).await;
    assert!(said.starts_with("HTTP/1.1 400") && said.contains("did not arrive"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    trickle.abort();
}

#[tokio::test]
async fn heads_that_are_too_large_are_told_so() {
    let mesh = Mesh::start().await;
    let mut many = mesh.request(Method::GET, "/health");
    for number in 0..70 {
        many = many.header(format!("x-{number}"), "1");
    }
    answer(many).await.problem(431, "HEADERS_TOO_LARGE", None);
    let long = mesh.request(Method::GET, "/health").header("x-long", "x".repeat(17 * 1024));
    answer(long).await.problem(431, "HEADERS_TOO_LARGE", None);
    let path = format!("/{}", "x".repeat(17 * 1024));
    answer(mesh.request(Method::GET, &path)).await.problem(431, "HEADERS_TOO_LARGE", None);
    // More than is read at all.
    for head in [format!("x: {}\r\n", "x".repeat(100_000)), "x: y\r\n".repeat(500)] {
        let said = exchange(mesh.http, format!("GET /health HTTP/1.1\r\nhost: x\r\n{head}\r\n").as_bytes()).await;
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 431"), "{said}");
    }
    assert!(healthy(&mesh).await);
}

#[tokio::test]
async fn a_body_that_would_have_to_be_unpacked_is_refused_on_every_route_and_stays_packed() {
    let mesh = Mesh::start().await;
    // The beginning of a gzip member of ten million spaces.
    let packed = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xed\xc1\x01\x0d\x00\x00\x00\xc2\xa0".to_vec();
    for coding in ["gzip", "deflate", "br", "zstd", "gzip, gzip", "identity, gzip", "unknown"] {
        for path in
            ["/api/chat/send", "/api/v1/agents", "/api/v1/documents", "/v1/chat/completions", "/api/v1/ws-tickets"]
        {
            let request = mesh.request(Method::POST, path).header("x-api-key", "nbl_pro-1_key").body(packed.clone());
            let request = request.header("content-type", "application/json").header("content-encoding", coding);
            let refused = answer(request).await;
            assert_eq!(refused.status, 400, "{coding} at {path}: {}", refused.body);
            let field = refused.body["field"].as_str().or(refused.body["error"]["param"].as_str());
            assert_eq!(field, Some("Content-Encoding"), "{coding} at {path}: {}", refused.body);
        }
    }
    let unsaid = mesh.chat("pro-1", "professional").header("content-type", "application/json").body(packed);
    answer(unsaid).await.problem(400, "INVALID_JSON", None);
    let plain = mesh.chat("pro-1", "professional").header("content-encoding", "identity");
    assert_eq!(answer(plain.json(&json!({ "message": "hello" }))).await.status, 200);
}

#[tokio::test]
async fn what_is_not_utf_8_is_refused_wherever_it_stands() {
    let mesh = Mesh::start().await;
    let body = mesh.chat("pro-1", "professional").header("content-type", "application/json");
    answer(body.body(b"{\"message\":\"\xff\xfe\xc3\"}".to_vec())).await.problem(400, "INVALID_JSON", None);
    let header = http::HeaderValue::from_bytes(b"user-\xff").unwrap();
    let header = mesh.chat("pro-1", "professional").header("x-user-id", header).json(&json!({ "message": "hello" }));
    answer(header).await.problem(400, "INVALID_HEADER", Some("X-User-ID"));
    let key = |path| mesh.request(Method::GET, path).header("x-api-key", "nbl_pro-1_key");
    answer(key("/api/v1/tasks/%FF%FE")).await.problem(400, "INVALID_REQUEST", None);
    assert_eq!(answer(key("/api/v1/tasks?page_token=%FF")).await.status, 422);
    let bare = exchange(mesh.http, b"GET /\xff\xfe HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(bare.starts_with("HTTP/1.1 4"), "{bare}");
    assert!(mesh.orchestrator.sent().is_empty());
}

#[tokio::test]
async fn no_request_hides_in_another() {
    let mesh = Mesh::with(gateway::Config { header_timeout: ms(500), idle_timeout: ms(500), ..quick() }).await;
    let hidden = "0\r\n\r\nGET /errors/nope HTTP/1.1\r\nhost: x\r\n\r\n";
    let length = hidden.len();
    let heads = [
        format!("content-length: {length}\r\ntransfer-encoding: chunked"),
        format!("transfer-encoding: chunked\r\ncontent-length: {length}"),
        format!("content-length: {length}\r\ncontent-length: 5"),
        format!("content-length: 5\r\ncontent-length: {length}"),
        format!("content-length: {length}, 5"),
        format!("content-length: +{length}"),
        format!("CONTENT-Length: {length}\r\nTransfer-ENCODING: Chunked"),
        format!("content-length: {length}\r\ntransfer-encoding : chunked"),
        format!("content-length: {length}\r\ntransfer-encoding:\u{b}chunked"),
        "transfer-encoding: chunked\r\ntransfer-encoding: identity".to_owned(),
        "transfer-encoding: identity".to_owned(),
        "transfer-encoding: xchunked".to_owned(),
        "transfer-encoding: gzip, chunked".to_owned(),
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked".to_owned(),
        "transfer-encoding: chunked\r\ncontent-length: abc".to_owned(),
        format!("x: y\r\n content-length: {length}\r\ntransfer-encoding: chunked"),
    ];
    for head in heads {
        // Somebody who would be let in otherwise.
        let line = "POST /api/v1/ws-tickets HTTP/1.1\r\nhost: x\r\nx-api-key: nbl_pro-1_key";
        let request = format!("{line}\r\n{head}\r\n\r\n{hidden}");
        let said = exchange(mesh.http, request.as_bytes()).await;
        assert_eq!(said.matches("HTTP/1.1 ").count(), 1, "{head:?}: {said}");
        assert!(said.starts_with("HTTP/1.1 400"), "{head:?}: {said}");
        assert!(!said.contains("NOT_FOUND"), "{head:?}: {said}");
    }
}

#[tokio::test]
async fn limits_are_shown_to_a_tenant_wherever_it_knocks() {
    let mesh = Mesh::start().await;
    let nowhere = mesh.get("/api/v1/nope", "pro-1").await;
    nowhere.problem(404, "NOT_FOUND", None);
    let wrong = answer(mesh.request(Method::PUT, "/api/v1/agents").header("x-api-key", "nbl_pro-1_key")).await;
    wrong.problem(405, "METHOD_NOT_ALLOWED", None);
    let no_socket = mesh.get("/ws/session-1?tenant_id=pro-1&tier=professional", "pro-1").await;
    no_socket.problem(400, "INVALID_REQUEST", Some("Upgrade"));
    for answer in [&nowhere, &wrong, &no_socket] {
        assert!(answer.header("ratelimit").contains("\"day\""), "{}", answer.header("ratelimit"));
    }
    let upgrade = format!(
        "GET /ws/session-1?tenant_id=pro-1&tier=professional HTTP/1.1\r\nhost: x\r\nx-api-key: nbl_pro-1_key\r\n\
         connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: {}\r\n\r\n",
        "dGhlIHNhbXBsZSBub25jZQ=="
    );
    let mut stream = TcpStream::connect(mesh.http).await.unwrap();
    stream.write_all(upgrade.as_bytes()).await.unwrap();
    let mut said = vec![0; 4096];
    let read = tokio::io::AsyncReadExt::read(&mut stream, &mut said).await.unwrap();
    let said = String::from_utf8_lossy(&said[..read]).to_lowercase();
    assert!(said.starts_with("http/1.1 101") && said.contains("\r\nratelimit: "), "{said}");
    // Nobody is told anything without proof.
    assert!(answer(mesh.request(Method::GET, "/api/v1/nope")).await.header("ratelimit").is_empty());
}

#[tokio::test]
async fn a_request_has_one_host() {
    let mesh = Mesh::with(gateway::Config { idle_timeout: ms(500), ..quick() }).await;
    for (hosts, status) in
        [("host: x\r\n", 200), ("", 400), ("host: x\r\nhost: y\r\n", 400), ("host: x\r\nHost: x\r\n", 400)]
    {
        let request = format!("GET /health HTTP/1.1\r\n{hosts}connection: close\r\n\r\n");
        let said = exchange(mesh.http, request.as_bytes()).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{hosts:?}: {said}");
    }
}

#[tokio::test]
async fn garbage_behind_a_request_ends_its_connection_alone() {
    let mesh = Mesh::start().await;
    let mut other = TcpStream::connect(mesh.http).await.unwrap();
    other.write_all(GET).await.unwrap();
    one_answer(&mut other).await;
    for garbage in [
        &b"\x00\xff\xfe garbage\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
    ] {
        let mut bytes = GET.to_vec();
        bytes.extend_from_slice(garbage);
        bytes.extend_from_slice(b"\r\n\r\n");
        let said = exchange(mesh.http, &bytes).await;
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        assert!(said.matches("HTTP/1.1 200").count() == 1, "{said}");
    }
    other.write_all(GET).await.unwrap();
    assert!(one_answer(&mut other).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_client_that_asks_and_never_reads_is_given_up() {
    let mesh = Mesh::with(gateway::Config { write_timeout: ms(300), ..quick() }).await;
    let mut deaf = TcpStream::connect(mesh.http).await.unwrap();
    let asked = 3000;
    deaf.write_all("GET /errors HTTP/1.1\r\nhost: x\r\n\r\n".repeat(asked).as_bytes()).await.unwrap();
    tokio::time::sleep(ms(3000)).await;
    let said = rest(&mut deaf).await;
    assert!(said.matches("HTTP/1.1 200").count() < asked, "it was closed before all was answered");
    assert!(healthy(&mesh).await);
}
