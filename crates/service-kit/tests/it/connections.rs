//! Connections to the gRPC port that are of no use.

use std::time::{Duration, Instant};

use futures::future::join_all;
use proto::management::v1::GetTenantRequest;
use service_kit::HostConfig;
use service_kit::tls::{ClientCertificate, MeshTlsConfig, TlsFiles};
use testkit::http2::{CONTINUATION, GET, HEADERS, abuse, frame, taken_back};
use testkit::{Authority, eventually};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tower::{Service as _, ServiceExt as _};

use crate::mesh::{MANAGEMENT, Mesh, ms, request};

async fn asked(mesh: &Mesh) -> Result<(), tonic::Status> {
    let question = request(GetTenantRequest::default(), &[("x-api-key", "nbl_tenant_key")]);
    mesh.outsider().get_tenant(question).await.map(drop)
}

/// Opens connections that say so much and then nothing.
async fn silent(mesh: &Mesh, count: usize, said: &[u8]) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(mesh.grpc).await.unwrap();
        stream.write_all(said).await.unwrap();
        open.push(stream);
    }
    open
}

async fn all_closed(open: Vec<TcpStream>) {
    let closing = open.into_iter().map(|mut stream| async move { testkit::rest(&mut stream).await });
    tokio::time::timeout(Duration::from_secs(10), join_all(closing)).await.expect("closed in time");
}

#[tokio::test]
async fn connections_that_say_nothing_or_half_are_closed_and_hold_up_nobody() {
    let mesh = Mesh::start().await;
    let mut open = silent(&mesh, 300, b"").await;
    open.extend(silent(&mesh, 300, b"PRI * HTTP/2.0").await);
    let begun = Instant::now();
    asked(&mesh).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    all_closed(open).await;
    asked(&mesh).await.unwrap();
}

#[tokio::test]
async fn handshakes_that_never_end_hold_up_nobody() {
    let authority = Authority::new();
    let own = authority.issue("own", &["127.0.0.1"]);
    let tls = MeshTlsConfig {
        files: TlsFiles { cert: own.cert, key: own.key },
        ca: authority.ca(),
        allowed_names: Vec::new(),
        client: ClientCertificate::Required,
    };
    let mesh = Mesh::adjusted(HostConfig::anywhere(), |config| config.mesh_tls = Some(tls)).await;
    let open = silent(&mesh, 500, b"\x16\x03").await;
    let begun = Instant::now();
    let credential = "nbl_tenant_key".to_owned();
    let question = proto::management::v1::ResolveCredentialRequest { credential };
    mesh.kit.peers.management(service_kit::Identity::service()).resolve_credential(question).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    all_closed(open).await;
}

#[tokio::test]
async fn connections_are_bounded_and_their_places_given_back() {
    let mesh = Mesh::with(HostConfig { max_connections: 20, ..HostConfig::anywhere() }).await;
    let open = silent(&mesh, 20, b"").await;
    eventually(ms(2000), || async { asked(&mesh).await.is_err() }).await;
    drop(open);
    eventually(Duration::from_secs(8), || async { asked(&mesh).await.is_ok() }).await;
}

#[tokio::test]
async fn a_message_that_is_compressed_is_refused_and_not_unpacked() {
    let mesh = Mesh::start().await;
    for coding in ["gzip", "deflate", "zstd", "unknown"] {
        // Flagged as compressed, three bytes long.
        let message = http_body_util::Full::new(bytes::Bytes::from_static(b"\x01\x00\x00\x00\x03\x1f\x8b\x08"));
        let call = http::Request::post(format!("/{MANAGEMENT}/GetTenant"))
            .header("content-type", "application/grpc")
            .header("grpc-encoding", coding)
            .header("x-api-key", "nbl_tenant_key")
            .body(tonic::body::Body::new(message))
            .unwrap();
        let mut channel = mesh.channel();
        let answer = channel.ready().await.unwrap().call(call).await.unwrap();
        let status = tonic::Status::from_header_map(answer.headers()).expect("a refusal has no message");
        assert_eq!(status.code(), tonic::Code::Unimplemented, "{coding}: {status}");
    }
    assert!(asked(&mesh).await.is_ok());
}

#[tokio::test]
async fn a_client_that_takes_everything_back_is_sent_away_and_its_neighbours_are_served() {
    let mesh = Mesh::start().await;
    let begun = Instant::now();
    // 11: enhance your calm.
    assert_eq!(abuse(mesh.grpc, &taken_back(2000)).await, Some(11));
    assert!(begun.elapsed() < Duration::from_secs(2), "at once, not when it was idle: {:?}", begun.elapsed());
    asked(&mesh).await.unwrap();
}

#[tokio::test]
async fn headers_that_are_too_large_are_refused_and_those_without_end_cut_off() {
    let mesh = Mesh::start().await;
    let with = |bytes: usize| {
        let long = "x".repeat(bytes);
        let mut question = request(GetTenantRequest::default(), &[("x-api-key", "nbl_tenant_key")]);
        question.metadata_mut().insert("x-long", long.parse().unwrap());
        let mut client = mesh.outsider();
        async move { client.get_tenant(question).await.map(drop) }
    };
    with(16 * 1024).await.unwrap();
    let refused = with(40 * 1024).await.unwrap_err();
    assert!(!refused.message().contains("xxx"), "{refused}");
    with(16 * 1024).await.unwrap();
    let mut frames = frame(HEADERS, 0x1, 1, GET);
    for _ in 0..5000 {
        // An indexed field that costs nothing to send.
        frames.extend(frame(CONTINUATION, 0, 1, &[0x90; 64]));
    }
    assert!(abuse(mesh.grpc, &frames).await.is_some());
    asked(&mesh).await.unwrap();
}
