use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Socket, answer};
use crate::mesh::{Mesh, ms, quick};

#[tokio::test]
async fn sockets_are_told_to_come_back_and_the_process_ends() {
    let mesh = Mesh::start().await;
    let mut sockets = Vec::new();
    for _ in 0..5 {
        let mut socket = Socket::open(&mesh, "pro-1", "").await;
        socket.expect("connection_ack").await;
        sockets.push(socket);
    }
    mesh.stop.cancel();
    let mut hints = HashSet::new();
    for mut socket in sockets {
        let farewell = loop {
            match socket.0.next().await {
                Some(Ok(Message::Close(Some(farewell)))) => break farewell,
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(u16::from(farewell.code), 4001);
        let hint = farewell.reason.strip_prefix("draining retry_after_ms=").and_then(|hint| hint.parse::<u32>().ok());
        assert!(hint.is_some_and(|hint| hint <= 2000), "{}", farewell.reason);
        hints.insert(hint);
    }
    assert!(hints.len() > 1, "they do not come back together: {hints:?}");
    mesh.served.await.unwrap().unwrap();
    assert!(TcpStream::connect(mesh.http).await.is_err());
}

#[tokio::test]
async fn new_work_is_refused_while_the_process_ends() {
    let mesh = Mesh::with(gateway::Config { drain_delay: ms(1500), ..quick() }).await;
    mesh.stop.cancel();
    testkit::eventually(Duration::from_secs(1), || async {
        mesh.send("pro-1", "professional").await.body["reason"] == "DRAINING"
    })
    .await;
    let refused = mesh.send("pro-1", "professional").await;
    refused.problem(503, "DRAINING", None);
    assert_eq!(refused.header("retry-after"), "1");
    let path = "/ws/session-1?tenant_id=pro-1&tier=professional";
    let (status, _) = Socket::upgrade(&mesh, path, &[("x-api-key", "nbl_pro-1_key")]).await.err().unwrap();
    assert_eq!(status, 503);
    let health = answer(mesh.request(Method::GET, "/health")).await;
    assert_eq!((health.status, health.body["status"].as_str()), (503, Some("draining")));
    mesh.served.await.unwrap().unwrap();
}

#[tokio::test]
async fn who_comes_while_others_are_waited_for_is_told_that_the_process_ends() {
    let mesh = Mesh::with(gateway::Config { drain_grace: Duration::from_secs(8), ..quick() }).await;
    let mut going = Socket::open(&mesh, "pro-1", "").await;
    going.expect("connection_ack").await;
    // Its client reads nothing, so it is waited for until its write has lasted too long.
    mesh.stop.cancel();
    let refused = || async { mesh.send("pro-1", "professional").await };
    // The next try shall reach another process, so the connection ends.
    testkit::eventually(Duration::from_secs(2), || async { refused().await.header("connection") == "close" }).await;
    refused().await.problem(503, "DRAINING", None);
    assert_eq!(going.closed().await, 4001);
    mesh.served.await.unwrap().unwrap();
    assert!(TcpStream::connect(mesh.http).await.is_err());
}

#[tokio::test]
async fn who_is_connected_already_may_ask_and_who_says_nothing_holds_up_nothing() {
    let mesh = Mesh::with(gateway::Config { drain_grace: Duration::from_secs(8), ..quick() }).await;
    let mut asking = TcpStream::connect(mesh.http).await.unwrap();
    let _silent = TcpStream::connect(mesh.http).await.unwrap();
    // They are accepted in their order, so both are there when this is answered.
    assert_eq!(mesh.get("/health", "pro-1").await.status, 200);
    let begun = Instant::now();
    mesh.stop.cancel();
    let is_draining = || async { mesh.get("/health", "pro-1").await.status == 503 };
    testkit::eventually(Duration::from_secs(1), is_draining).await;
    asking.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    asking.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("connection: close\r\n"), "{answer}");
    mesh.served.await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn the_drain_ends_within_its_grace_whatever_hangs() {
    let mesh = Mesh::with(gateway::Config { drain_grace: ms(500), ..quick() }).await;
    // A socket whose client neither reads nor leaves.
    let mut stuck = Socket::open(&mesh, "pro-1", "").await;
    stuck.expect("connection_ack").await;
    // A request whose body never comes.
    let hanging = mesh.chat("pro-1", "professional").header("content-type", "application/json");
    let body = futures::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let hanging = tokio::spawn(hanging.body(reqwest::Body::wrap_stream(body)).send());
    testkit::eventually(Duration::from_secs(5), || async { mesh.get("/health", "pro-1").await.status == 200 }).await;
    let begun = Instant::now();
    mesh.stop.cancel();
    mesh.served.await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(hanging.await.unwrap().is_err(), "cut off");
}
