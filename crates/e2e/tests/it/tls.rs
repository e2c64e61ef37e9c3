//! Certificates, at the edge and between all processes of a mesh.

use e2e::{Client, Nooble};
use proto::task::v1::GetTaskRequest;
use proto::task::v1::task_service_client::TaskServiceClient;
use testkit::Authority;

use crate::{PATIENCE, QUESTION, WORDS, channel};

#[tokio::test]
async fn a_chat_goes_over_processes_that_show_each_other_certificates() {
    let authority = Authority::new();
    let redis = testkit::Redis::start_durable().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    let common = |name: &str| {
        let issued = authority.issue(name, &["127.0.0.1", &format!("spiffe://nooble/{name}")]);
        vec![
            (WORDS.0, WORDS.1.to_owned()),
            ("REDIS_URL", redis.url()),
            ("MESH_TLS_CERT", path(issued.cert)),
            ("MESH_TLS_KEY", path(issued.key)),
            ("MESH_TLS_CA", path(authority.ca())),
            ("MESH_TLS_ALLOWED_NAMES", "spiffe://nooble/front,spiffe://nooble/worker".to_owned()),
        ]
    };
    let front_settings = common("front");
    let roles = ["--demo", "--without-worker", "execution"];
    let front = Nooble::up(folder.path(), &roles, &borrowed(&front_settings)).await;
    let mut settings = common("worker");
    let urls = ["AGENT_MANAGEMENT_URL", "CONVERSATION_URL", "QUERY_URL", "EMBEDDING_URL", "ORCHESTRATOR_URL"];
    settings.extend(urls.map(|name| (name, format!("https://{}", front.ready.grpc))));
    settings.push(("IDENTITY_KEY_FILE", path(folder.path().join("identity.key"))));
    let data_dir = path(folder.path().join("worker"));
    let arguments = ["serve", "execution", "--part", "worker", "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let worker = Nooble::start(&[&arguments[..], &["--data-dir", &data_dir]].concat(), &borrowed(&settings)).await;

    let client = Client::of_demo(folder.path(), "enterprise");
    let mut socket = client.socket("session-1", None).await;
    let sent = client.send("session-1", QUESTION).await;
    let response = socket.until("agent_response", PATIENCE).await;
    assert_eq!(response["task_id"], sent["task_id"]);

    // Nobody is answered who shows none, not even in words.
    let mut plain = TaskServiceClient::new(channel(&front.ready.grpc));
    let refused = plain.get_task(GetTaskRequest::default()).await.expect_err("no certificate");
    assert_ne!(refused.code(), tonic::Code::Unauthenticated, "{refused}");
    // The command line shows the certificate that its surroundings name.
    let place = ["queue", "stats", "--json", "--grpc", &front.ready.grpc, "--data-dir"];
    let stats = Nooble::command(&[&place[..], &[folder.path().to_str().expect("plain")]].concat())
        .envs(front_settings.iter().map(|(name, value)| (name, value)))
        .output()
        .await
        .expect("it ran");
    assert!(stats.status.success(), "{}", String::from_utf8_lossy(&stats.stderr));
    expires_later(&client.http, &worker, "mesh").await;
}

#[tokio::test]
async fn the_edge_shows_a_certificate_and_says_when_it_ends() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authority = Authority::new();
    let issued = authority.issue("edge", &["localhost"]);
    let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = (path(&issued.cert), path(&issued.key));
    let settings = [WORDS, ("GATEWAY_TLS_CERT", cert.as_str()), ("GATEWAY_TLS_KEY", key.as_str())];
    let nooble = Nooble::up(folder.path(), &["--demo"], &settings).await;
    let root = reqwest::Certificate::from_pem(&std::fs::read(authority.ca()).expect("kept")).expect("PEM");
    let trusting = reqwest::Client::builder().tls_certs_only([root]).build().expect("a client");
    let port = nooble.ready.http.rsplit(':').next().expect("a port");
    let health = trusting.get(format!("https://localhost:{port}/health")).send().await.expect("trusted");
    assert_eq!((health.status().as_u16(), health.version()), (200, reqwest::Version::HTTP_2));
    expires_later(&trusting, &nooble, "edge").await;
    the_command_line_comes_in_where_it_trusts_the_certificate(&authority, folder.path(), port).await;
    assert_eq!(nooble.stop(PATIENCE).await, Some(0));
}

async fn the_command_line_comes_in_where_it_trusts_the_certificate(
    authority: &Authority,
    data_dir: &std::path::Path,
    port: &str,
) {
    let url = format!("https://localhost:{port}");
    let ca = authority.ca();
    let place = ["--data-dir", data_dir.to_str().expect("plain"), "--url", &url];
    let trusting = ["--ca", ca.to_str().expect("plain")];
    let run = async |arguments: &[&[&str]]| Nooble::command(&arguments.concat()).output().await.expect("it ran");
    let chat = run(&[&["chat", QUESTION], &place, &trusting]).await;
    let said = String::from_utf8_lossy(&chat.stdout);
    assert!(chat.status.success() && said.contains("delivered"), "{said}{}", String::from_utf8_lossy(&chat.stderr));
    let bench = run(&[&["bench", "chat", "--json", "--chats", "2", "--warm-up", "0"], &place, &trusting]).await;
    let report: serde_json::Value = serde_json::from_slice(&bench.stdout).expect("a report");
    assert_eq!(report["chats"], 2, "{}", String::from_utf8_lossy(&bench.stderr));
    let doubting = run(&[&["chat", QUESTION], &place]).await;
    assert!(!doubting.status.success(), "an authority that nobody named is not trusted");
}

/// Checks that a process says that a certificate of its is good for a day at least.
async fn expires_later(http: &reqwest::Client, nooble: &Nooble, certificate: &str) {
    let metrics = http.get(format!("http://{}/metrics", nooble.ready.admin)).send().await.expect("an answer");
    let metrics = metrics.text().await.expect("text");
    let expiry = metrics.lines().find(|line| line.starts_with("nooble_tls_certificate_expiry_seconds{"));
    let expiry = expiry.unwrap_or_else(|| panic!("no expiry in\n{metrics}"));
    assert!(expiry.contains(&format!("certificate=\"{certificate}\"")), "{expiry}");
    let left: f64 = expiry.rsplit(' ').next().and_then(|seconds| seconds.parse().ok()).expect("a number");
    assert!(left > 86_400.0, "{expiry}");
}

fn borrowed<'a>(settings: &'a [(&'a str, String)]) -> Vec<(&'a str, &'a str)> {
    settings.iter().map(|(name, value)| (*name, value.as_str())).collect()
}
