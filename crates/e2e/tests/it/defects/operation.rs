//! Limits, numbers and sockets, as operators rely on them.

use std::path::Path;
use std::time::{Duration, Instant};

use e2e::{Answer, Client, Nooble};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{PATIENCE, QUESTION, WORDS, root};

/// The mission's bound for noticing that a peer is dead.
const DEAD: Duration = Duration::from_secs(45);
/// What a server waits for the answer to its close at most.
const FAREWELL: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_limit_is_exact_when_all_come_at_once_and_exceeding_it_is_a_429_that_says_when_to_come_back() {
    let redis = testkit::Redis::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let url = redis.url();
    // By the day, which ends at a known time, and not by the minute.
    let settings = [WORDS, ("REDIS_URL", url.as_str()), ("RATE_LIMIT_FREE_PER_DAY", "5")];
    let _nooble = Nooble::up(folder.path(), &["--demo"], &settings).await;
    let free = Client::of_demo(folder.path(), "free");
    let sending = (0..20).map(|_| Answer::of(free.message("session-1", QUESTION)));
    let answers = futures::future::join_all(sending).await;
    let (accepted, refused): (Vec<&Answer>, Vec<&Answer>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!((accepted.len(), refused.len()), (5, 15));
    for answer in refused {
        answer.problem(429, "rate-limit-exceeded", None);
        assert_eq!(answer.body["violated-policies"], json!(["day"]), "{}", answer.body);
        let seconds: u64 = answer.header("retry-after").parse().expect("seconds");
        assert!((1..=86_400).contains(&seconds) && answer.body["retry_after"] == seconds, "{}", answer.body);
        assert!(answer.header("ratelimit").contains("\"day\";r=0"), "{}", answer.header("ratelimit"));
        assert!(answer.header("ratelimit-policy").contains("\"day\";q=5;w=86400"));
        assert_eq!((answer.header("x-ratelimit-limit"), answer.header("x-ratelimit-remaining")), ("5", "0"));
        assert_eq!(answer.header("x-ratelimit-reset"), answer.header("retry-after"));
    }
    assert_eq!(free.get("/api/v1/rate-limit/status").await.body["usage"]["day"], 5, "refusals cost nothing");
    // A count without an end would lock its tenant out for good.
    let counts = redis.command(&["KEYS", "rate_limit:*"]);
    assert!(counts.lines().count() > 0);
    for count in counts.lines() {
        let left: i64 = redis.command(&["TTL", count]).trim().parse().expect("seconds");
        assert!((0..=2 * 86_400).contains(&left), "{count} lasts {left} s");
    }
}

#[tokio::test]
async fn no_route_of_statistics_and_no_command_of_operators_goes_through_all_keys() {
    let redis = testkit::Redis::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let url = redis.url();
    let nooble = Nooble::up(folder.path(), &["--demo"], &[WORDS, ("REDIS_URL", &url)]).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    let operator = operator(folder.path());
    let mut socket = client.socket("session-1", None).await;
    client.send("session-1", QUESTION).await;
    socket.until("agent_response", PATIENCE).await;
    let own = ["/api/v1/usage", "/api/v1/rate-limit/status", "/api/v1/tasks", "/api/v1/agents", "/v1/models"];
    let agent = format!("/api/v1/rate-limit/status?agent_id={}", client.fact("agent_id"));
    for path in own.into_iter().chain([agent.as_str()]) {
        assert_eq!(client.get(path).await.status, 200, "{path}");
    }
    let all = ["/metrics/overview", "/metrics/queues", "/metrics/system", "/api/chat/stats", "/ws/stats"];
    for path in all.into_iter().chain(["/api/chat/health", "/ws/health", "/health", "/health/detailed"]) {
        for key in [client.fact("api_key"), &operator] {
            assert_eq!(client.ask_with(key, Method::GET, path, None).await.status, 200, "{path}");
        }
    }
    for path in ["/metrics", "/metrics/overview", "/metrics/queues", "/metrics/system", "/readyz"] {
        let url = format!("http://{}{path}", nooble.ready.admin);
        assert_eq!(client.http.get(url).send().await.expect("an answer").status(), 200, "{path}");
    }
    // A change empties the memory of who may use what.
    let path = format!("/api/v1/agents/{}", client.fact("agent_id"));
    assert_eq!(client.ask(Method::PATCH, &path, Some(json!({ "name": "Another name" }))).await.status, 200);
    let place = ["--grpc", &nooble.ready.grpc, "--data-dir", folder.path().to_str().expect("plain")];
    for command in [
        &["queue", "stats"][..],
        &["queue", "overview"],
        &["queue", "tenants", "execution"],
        &["queue", "check"],
        &["dlq", "list", "execution"],
        &["doctor", "--no-measure"],
    ] {
        // The doctor asks Redis itself.
        let place = if command[0] == "doctor" { &place[2..] } else { &place[..] };
        let output = Nooble::command(&[command, place].concat()).env("REDIS_URL", &url).output().await;
        let output = output.expect("it ran");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let commands = redis.command(&["INFO", "commandstats"]);
    assert!(commands.contains("cmdstat_fcall"), "this is where the queues are: {commands}");
    assert!(!commands.contains("cmdstat_keys"), "{commands}");
}

#[tokio::test]
async fn who_is_connected_is_told_to_a_tenant_of_itself_to_an_operator_of_all_and_to_nobody_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let _nooble = Nooble::up(folder.path(), &["--demo"], &[WORDS]).await;
    let (one, other) = (Client::of_demo(folder.path(), "free"), Client::of_demo(folder.path(), "enterprise"));
    let key = format!("Bearer {}", other.fact("api_key"));
    let path = format!("{}&user_id=private-user", other.socket_path("private-session"));
    let mut socket = other.upgrade(&path, &[("authorization", &key)]).await.expect("a socket");
    socket.until("connection_ack", PATIENCE).await;

    Answer::of(one.http.get(one.url("/ws/stats"))).await.problem(401, "credential-required", None);
    let wrong = one.ask_with("nbl_no_key", Method::GET, "/ws/stats", None).await;
    wrong.problem(401, "credential-invalid", None);
    let own = one.get("/ws/stats").await;
    assert_eq!((own.status, &own.body["connections"]), (200, &json!(0)));
    assert_eq!(other.get("/ws/stats").await.body["connections"], 1);
    let count = || async { all(&one, folder.path()).await["connections"] == 1 };
    testkit::eventually(PATIENCE, count).await;
    let all = all(&one, folder.path()).await;
    assert_eq!(all["tenants"][0]["tenant_id"], other.fact("tenant_id"), "{all}");
    for (told, of) in [(&own.body, "another tenant"), (&all, "the operator")] {
        for inside in ["private-session", "private-user"] {
            assert!(!told.to_string().contains(inside), "{of} reads `{inside}`: {told}");
        }
    }
    assert!(!own.body.to_string().contains(other.fact("tenant_id")), "{}", own.body);
}

async fn all(client: &Client, folder: &Path) -> Value {
    client.ask_with(&operator(folder), Method::GET, "/ws/stats", None).await.body
}

fn operator(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("admin.key")).expect("an operator's key").trim().to_owned()
}

#[tokio::test]
async fn a_peer_that_is_dead_is_given_up_after_a_ping_and_its_timeout_and_one_that_lives_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let pings = [("ORCHESTRATOR_WEBSOCKET_PING_INTERVAL", "1s"), ("ORCHESTRATOR_WEBSOCKET_PING_TIMEOUT", "1s")];
    let _nooble = Nooble::up(folder.path(), &["--demo"], &[WORDS, pings[0], pings[1]]).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    let connections = || async { client.get("/ws/stats").await.body["connections"].as_u64() };
    let mut alive = client.socket("session-1", None).await;
    alive.until("connection_ack", PATIENCE).await;

    let dead = dead_peer(&client).await;
    let begun = Instant::now();
    let reaped = async {
        testkit::eventually(PATIENCE, || async { connections().await == Some(2) }).await;
        testkit::eventually(PATIENCE, || async { connections().await == Some(1) }).await;
        begun.elapsed()
    };
    let elapsed = tokio::select! {
        elapsed = reaped => elapsed,
        // It answers pings while it is read.
        heard = alive.next(PATIENCE) => panic!("the one that lives stays: {heard:?}"),
    };
    assert!(elapsed >= Duration::from_secs(1), "{elapsed:?}");
    assert!(elapsed <= Duration::from_secs(2) + FAREWELL, "{elapsed:?}");
    alive.send(&json!({ "type": "ping" })).await;
    alive.until("pong", PATIENCE).await;
    drop(dead);
}

/// Opens a socket and never reads nor writes again, as a peer does whose network is gone.
async fn dead_peer(client: &Client) -> TcpStream {
    let mut stream = TcpStream::connect(&client.address).await.expect("reached");
    let request = format!(
        "GET {} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\nconnection: upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        client.socket_path("session-1"),
        client.fact("api_key")
    );
    stream.write_all(request.as_bytes()).await.expect("taken");
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 101", "the socket is open");
    stream
}

#[test]
fn a_peer_that_is_dead_is_given_up_within_45_seconds_as_the_product_comes() {
    let file = root().join("deploy/config/gateway.toml");
    // A test of the gateway compares this file with the defaults in the code.
    let reference = std::fs::read_to_string(file).expect("the reference of the settings");
    let seconds = |name: &str| {
        let value = reference.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_prefix("= "));
        Duration::from_secs(value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name} in seconds")))
    };
    // A peer that takes nothing more is held up by a write before its pong is missed.
    let silence = seconds("websocket_ping_timeout").max(seconds("websocket_write_timeout"));
    assert!(seconds("websocket_ping_interval") + silence + FAREWELL <= DEAD);
}
