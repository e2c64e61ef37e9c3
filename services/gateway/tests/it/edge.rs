use std::time::Duration;

use reqwest::Method;
use testkit::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::answer;
use crate::mesh::{Mesh, ms, quick};

#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_problems() {
    let mesh = Mesh::start().await;
    answer(mesh.request(Method::GET, "/nope")).await.problem(404, "NOT_FOUND", None);
    let wrong = answer(mesh.request(Method::GET, "/api/chat/send")).await;
    wrong.problem(405, "METHOD_NOT_ALLOWED", None);
    assert_eq!(wrong.header("allow"), "POST");
    assert!(!wrong.header("x-request-id").is_empty());
    answer(mesh.request(Method::GET, "/ws/session-1?tenant_id=pro-1&tier=professional")).await.problem(
        400,
        "INVALID_REQUEST",
        Some("Upgrade"),
    );
}

#[tokio::test]
async fn every_problem_type_has_a_page() {
    let mesh = Mesh::start().await;
    for reason in fault::reason::ALL {
        let path = format!("/errors/{}", reason.slug);
        let page = mesh.request(Method::GET, &path).send().await.unwrap();
        assert_eq!(page.status(), 200);
        assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
        let text = page.text().await.unwrap();
        assert!(text.contains(reason.id) && text.contains(&format!("<h1>{}</h1>", reason.title)), "{text}");
        let json = answer(mesh.request(Method::GET, &path).header("accept", "application/json")).await;
        assert_eq!((json.body["reason"].as_str(), json.body["check"].as_str()), (Some(reason.id), Some(reason.check)));
    }
    answer(mesh.request(Method::GET, "/errors/nope")).await.problem(404, "NOT_FOUND", None);
    let all = answer(mesh.request(Method::GET, "/errors").header("accept", "application/json")).await;
    assert_eq!(all.body.as_array().unwrap().len(), fault::reason::ALL.len());
}

#[tokio::test]
async fn health_needs_no_credential() {
    let mesh = Mesh::start().await;
    let health = answer(mesh.request(Method::GET, "/health")).await;
    assert_eq!(health.status, 200);
    assert_eq!((health.body["status"].as_str(), health.body["service"].as_str()), (Some("ok"), Some("gateway")));
    assert_eq!(health.body["details"]["websocket"]["max_connections"], 1000);
}

#[tokio::test]
async fn a_connection_that_says_nothing_or_half_is_closed() {
    let mesh = Mesh::with(gateway::Config { header_timeout: ms(200), ..quick() }).await;
    for said in ["", "P", "POST /api/chat/send HTTP/1.1\r\nhost: x\r\n"] {
        let mut socket = TcpStream::connect(mesh.http).await.unwrap();
        socket.write_all(said.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(5), socket.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "{said:?}");
    }
}

#[tokio::test]
async fn headers_that_are_too_large_are_refused() {
    let mesh = Mesh::start().await;
    let huge = "x".repeat(64 * 1024);
    let response = mesh.request(Method::GET, "/health").header("x-huge", huge).send().await;
    assert!(response.is_err() || response.unwrap().status() == 431);
    eventually(Duration::from_secs(5), || async { answer(mesh.request(Method::GET, "/health")).await.status == 200 })
        .await;
}
