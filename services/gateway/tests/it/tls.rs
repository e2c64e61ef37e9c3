//! HTTPS at the edge.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway::Config;
use http::Version;
use reqwest::Client;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use service_kit::Settings;
use service_kit::tls::TlsFiles;
use testkit::{Authority, Issued, eventually};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::mesh::{Mesh, ms, quick};

fn config(issued: &Issued) -> Config {
    Config { tls: Some(TlsFiles { cert: issued.cert.clone(), key: issued.key.clone() }), ..quick() }
}

fn client(authority: &Authority) -> reqwest::ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let root = reqwest::Certificate::from_pem(&std::fs::read(authority.ca()).unwrap()).unwrap();
    Client::builder().tls_certs_only([root])
}

fn url(mesh: &Mesh, path: &str) -> String {
    format!("https://localhost:{}{path}", mesh.http.port())
}

async fn shake(mesh: &Mesh, authority: &Authority) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.ca()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream = TcpStream::connect(mesh.http).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

#[tokio::test]
async fn both_versions_of_http_and_sockets_are_spoken_over_tls_and_nothing_else() {
    let (authority, other) = (Authority::new(), Authority::new());
    let mesh = Mesh::with(config(&authority.issue("edge", &["localhost"]))).await;
    let by_alpn = client(&authority).build().unwrap().get(url(&mesh, "/health")).send().await.unwrap();
    assert_eq!((by_alpn.status().as_u16(), by_alpn.version()), (200, Version::HTTP_2));
    let old = client(&authority).http1_only().build().unwrap().get(url(&mesh, "/health")).send().await.unwrap();
    assert_eq!((old.status().as_u16(), old.version()), (200, Version::HTTP_11));
    assert!(client(&other).build().unwrap().get(url(&mesh, "/health")).send().await.is_err(), "not trusted");
    assert!(Client::new().get(format!("http://{}/health", mesh.http)).send().await.is_err(), "plain");
    let mut upgrade = "wss://localhost/ws/session-1?tenant_id=pro-1&tier=professional".into_client_request().unwrap();
    upgrade.headers_mut().insert("x-api-key", "nbl_pro-1_key".parse().unwrap());
    let stream = shake(&mesh, &authority).await;
    let (mut socket, _) = tokio_tungstenite::client_async(upgrade, stream).await.unwrap();
    let first = futures::StreamExt::next(&mut socket).await.unwrap().unwrap();
    assert!(first.to_text().unwrap().contains("connection_ack"));
}

#[tokio::test]
async fn a_client_that_never_finishes_its_handshake_is_closed() {
    let authority = Authority::new();
    let config = Config { header_timeout: ms(300), ..config(&authority.issue("edge", &["localhost"])) };
    let mesh = Mesh::with(config).await;
    let mut silent = TcpStream::connect(mesh.http).await.unwrap();
    let begun = Instant::now();
    testkit::rest(&mut silent).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_who_comes_next_and_open_connections_stay() {
    let authority = Authority::new();
    let issued = authority.issue("edge", &["localhost"]);
    let mesh = Mesh::with(config(&issued)).await;
    let kept = client(&authority).build().unwrap();
    let ask = || async { kept.get(url(&mesh, "/health")).send().await.unwrap().status().as_u16() };
    assert_eq!(ask().await, 200);
    let shown = || async { shake(&mesh, &authority).await.get_ref().1.peer_certificates().unwrap()[0].to_vec() };
    let before = shown().await;
    let mut open = shake(&mesh, &authority).await;
    authority.issue("edge", &["localhost"]);
    eventually(Duration::from_secs(15), || async { shown().await != before }).await;
    assert_eq!(ask().await, 200);
    tokio::io::AsyncWriteExt::write_all(&mut open, b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.ok();
    let renewed = shown().await;
    std::fs::write(&issued.key, "nonsense").unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(shown().await, renewed, "what cannot be used changes nothing");
    assert_eq!(ask().await, 200);
}

#[test]
fn half_a_setting_and_files_that_cannot_be_used_are_named() {
    let authority = Authority::new();
    let issued = authority.issue("edge", &["localhost"]);
    let (cert, key) = (issued.cert.to_str().unwrap(), issued.key.to_str().unwrap());
    let other = authority.issue("other", &["localhost"]);
    let wrong = |pairs: &[(&str, &str)]| {
        let mut settings = Settings::from_pairs(pairs);
        Config::read(&mut settings);
        settings.finish().err().map(|invalid| invalid.to_string()).unwrap_or_default()
    };
    assert_eq!(wrong(&[("GATEWAY_TLS_CERT", cert), ("GATEWAY_TLS_KEY", key)]), "");
    assert!(wrong(&[("GATEWAY_TLS_KEY", key)]).contains("GATEWAY_TLS_CERT: required, as GATEWAY_TLS_KEY is set"));
    let missing = wrong(&[("GATEWAY_TLS_CERT", "/nowhere"), ("GATEWAY_TLS_KEY", key)]);
    assert!(missing.contains("GATEWAY_TLS_CERT: cannot read /nowhere"), "{missing}");
    let unfit = wrong(&[("GATEWAY_TLS_CERT", cert), ("GATEWAY_TLS_KEY", other.key.to_str().unwrap())]);
    assert!(unfit.contains("certificate and key cannot be used"), "{unfit}");
    let proxies = wrong(&[("GATEWAY_TRUSTED_PROXIES", "10.0.0.0/8, 10.0.0.1, everybody")]);
    assert!(proxies.contains("`everybody` is neither a network"), "{proxies}");
}
