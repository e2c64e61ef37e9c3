//! The end of a process, whatever hangs on it.

use std::time::{Duration, Instant};

use e2e::{Client, Nooble};
use nix::sys::signal::Signal;
use proto::task::v1::WatchTaskRequest;
use proto::task::v1::task_service_client::TaskServiceClient;
use testkit::openai::{Mode, OpenAi};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::{PATIENCE, QUESTION, WORDS, channel};

const GRACE: Duration = Duration::from_secs(6);
/// What the end of telemetry and of the runtime may take beyond.
const REST: Duration = Duration::from_secs(2);
/// What a process has after its grace, for telemetry (docs/operating.md).
const AFTER_GRACE: Duration = Duration::from_secs(6);

#[tokio::test]
async fn nothing_that_is_stuck_holds_a_process_beyond_its_grace_and_its_work_is_given_back() {
    let provider = OpenAi::start().await;
    provider.say("It is finished by the process that came after.");
    provider.set_mode(Mode::Gated);
    let redis = testkit::Redis::start_durable().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (url, model) = (redis.url(), provider.base_url());
    let grace = GRACE.as_secs().to_string();
    let settings = [
        WORDS,
        ("REDIS_URL", url.as_str()),
        ("LLM_BASE_URL", model.as_str()),
        ("DRAIN_GRACE", grace.as_str()),
        // Only what is given back is done again before a minute is over.
        ("QUEUE_LEASE", "60s"),
    ];
    let nooble = Nooble::up(folder.path(), &["--demo"], &settings).await;
    let client = Client::of_demo(folder.path(), "enterprise");

    // A run that waits for a model that never answers.
    let sent = client.send("session-1", QUESTION).await;
    let task_id = sent["task_id"].as_str().expect("an id").to_owned();
    testkit::eventually(PATIENCE, || async { client.task(&task_id).await["status"] == "running" }).await;
    // A request whose body never comes.
    let _request = stuck(&client, &head(&client, "POST /api/chat/send", "content-length: 100\r\n")).await;
    // A socket that never reads, nor answers the close.
    let socket = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                  sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let path = format!("GET /ws/session-1?tenant_id={}&tier=enterprise", client.fact("tenant_id"));
    let mut socket = stuck(&client, &head(&client, &path, socket)).await;
    let mut first = [0; 12];
    socket.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 101", "the socket is open");
    // A stream that nobody reads.
    let mut tasks = TaskServiceClient::new(channel(&nooble.ready.grpc));
    let mut watch = tonic::Request::new(WatchTaskRequest { task_id: task_id.clone(), ..Default::default() });
    let key = format!("Bearer {}", client.fact("api_key"));
    watch.metadata_mut().insert("authorization", key.parse().expect("plain"));
    let _stream = tasks.watch_task(watch).await.expect("a stream").into_inner();

    let begun = Instant::now();
    nooble.signal(Signal::SIGTERM);
    let ready = format!("http://{}/readyz", nooble.ready.admin);
    testkit::eventually(Duration::from_secs(2), || async {
        client.http.get(&ready).send().await.is_ok_and(|answer| answer.status() == 503)
    })
    .await;
    assert_eq!(nooble.stop(GRACE + REST).await, Some(0));
    assert!(begun.elapsed() <= GRACE + REST, "{:?}", begun.elapsed());

    provider.set_mode(Mode::Normal);
    provider.release(1_000);
    let _second = Nooble::up(folder.path(), &["--demo"], &settings).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    let completed = || async { client.task(&task_id).await["status"] == "completed" };
    testkit::eventually(Duration::from_secs(30), completed).await;
}

fn head(client: &Client, line: &str, more: &str) -> String {
    let (tenant, agent, key) = (client.fact("tenant_id"), client.fact("agent_id"), client.fact("api_key"));
    format!(
        "{line} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\nx-tenant-id: {tenant}\r\n\
         x-tenant-tier: enterprise\r\nx-agent-id: {agent}\r\nx-session-id: session-1\r\n\
         content-type: application/json\r\n{more}\r\n"
    )
}

/// Opens a connection, says something, and then nothing more.
async fn stuck(client: &Client, said: &str) -> TcpStream {
    let mut stream = TcpStream::connect(&client.address).await.expect("reached");
    stream.write_all(said.as_bytes()).await.expect("taken");
    stream
}

#[tokio::test]
async fn a_collector_and_a_redis_that_say_nothing_any_more_hold_no_process() {
    // Takes connections, and never says a word.
    let collector = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", collector.local_addr().expect("an address"));
    let redis = testkit::Redis::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (url, grace) = (redis.url(), GRACE.as_secs().to_string());
    let settings = [
        WORDS,
        ("REDIS_URL", url.as_str()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("DRAIN_GRACE", grace.as_str()),
    ];
    let nooble = Nooble::up(folder.path(), &["--demo"], &settings).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    let sent = client.send("session-1", QUESTION).await;
    let task = sent["task_id"].as_str().expect("an id").to_owned();
    testkit::eventually(PATIENCE, || async { client.task(&task).await["status"] == "completed" }).await;
    let socket = client.socket("session-1", None).await;
    redis.pause();
    let begun = Instant::now();
    nooble.signal(Signal::SIGTERM);
    let code = nooble.stop(GRACE + AFTER_GRACE + REST).await;
    redis.resume();
    assert_eq!(code, Some(0), "it ended by itself");
    assert!(begun.elapsed() <= GRACE + AFTER_GRACE, "{:?}", begun.elapsed());
    drop(socket);
}

#[tokio::test]
async fn who_waits_for_an_answer_that_does_not_come_is_told_that_the_process_ends() {
    let provider = OpenAi::start().await;
    provider.set_mode(Mode::Gated);
    let folder = tempfile::tempdir().expect("a folder");
    let (model, grace) = (provider.base_url(), GRACE.as_secs().to_string());
    let settings = [WORDS, ("LLM_BASE_URL", model.as_str()), ("DRAIN_GRACE", grace.as_str())];
    let nooble = Nooble::up(folder.path(), &["--demo"], &settings).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    let body = |stream: bool| {
        let model = format!("agent:{}", client.fact("agent_id"));
        serde_json::json!({ "model": model, "stream": stream, "messages": [{ "role": "user", "content": QUESTION }] })
    };
    let sent = client.send("session-1", QUESTION).await;
    let events = format!("/api/v1/tasks/{}/events", sent["task_id"].as_str().expect("an id"));
    let ask = async |path: &str, body: Option<serde_json::Value>| {
        let url = client.url(path);
        let request = if body.is_some() { client.http.post(url) } else { client.http.get(url) };
        let request = request.bearer_auth(client.fact("api_key"));
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let response = request.send().await.expect("an answer");
        (response.status().as_u16(), response.text().await.expect("a whole body"))
    };
    let ending = async {
        testkit::eventually(PATIENCE, || async { provider.received().len() >= 3 }).await;
        nooble.signal(Signal::SIGTERM);
    };
    let (whole, pieces, events, ()) = tokio::join!(
        ask("/v1/chat/completions", Some(body(false))),
        ask("/v1/chat/completions", Some(body(true))),
        ask(&events, None),
        ending,
    );
    assert_eq!(whole.0, 503, "{}", whole.1);
    assert!(whole.1.contains("DRAINING"), "{}", whole.1);
    assert_eq!(pieces.0, 200);
    assert!(pieces.1.contains("DRAINING") || pieces.1.contains("shutting down"), "{}", pieces.1);
    assert!(events.1.contains("event: problem") && events.1.contains("DRAINING"), "{}", events.1);
    assert_eq!(nooble.stop(GRACE + AFTER_GRACE).await, Some(0));
}
