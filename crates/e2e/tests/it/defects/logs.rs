//! Nothing that is a secret, or that somebody wrote, stands in a log, a trace or the metadata of a frame.

use std::time::Duration;

use e2e::{Client, Conversation, Nooble};
use futures::{SinkExt as _, StreamExt as _};
use proto::execution::v1::AgentRun;
use proto::orchestrator::v1::SendMessageRequest;
use proto::orchestrator::v1::orchestrator_service_client::OrchestratorServiceClient;
use reqwest::multipart::{Form, Part};
use serde_json::json;
use testkit::openai::{Mode, OpenAi};
use testkit::otlp::Collector;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::{PATIENCE, WORDS, channel};

/// What is sent along every path; none of it may be found afterwards.
const KEY: &str = "nbl_canaryid_canary-wrong-key-5f1d";
const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJjYW5hcnkiOiJqd3QtNWYxZCJ9.Y2FuYXJ5LWp3dC01ZjFk";
const TICKET: &str = "canary-ticket-5f1d";
const MESSAGE: &str = "canary-message-5f1d";
const DOCUMENT: &str = "canary-document-5f1d";
const FACT: &str = "canary-fact-5f1d";
const ANSWER: &str = "canary-answer-5f1d";
const REDIS: &str = "canary-redis-5f1d";
const MODEL: &str = "canary-model-key-5f1d";
const CANARIES: [&str; 9] = [KEY, JWT, TICKET, MESSAGE, DOCUMENT, FACT, ANSWER, REDIS, MODEL];

#[tokio::test]
async fn what_is_secret_or_written_by_somebody_stands_in_no_log_no_trace_and_no_metadata() {
    let (provider, collector) = (OpenAi::start().await, Collector::start().await);
    provider.say(format!("The answer is {ANSWER}."));
    let mut redis = testkit::Redis::start_on_port(&["--save", "", "--appendonly", "no"]).await;
    let url = format!("redis://:{REDIS}@127.0.0.1:{}/0", redis.port());
    redis.command(&["CONFIG", "SET", "requirepass", REDIS]);
    let folder = tempfile::tempdir().expect("a folder");
    let (model, endpoint) = (provider.base_url(), collector.endpoint().to_owned());
    let settings = [
        WORDS,
        ("REDIS_URL", url.as_str()),
        ("LLM_BASE_URL", model.as_str()),
        ("LLM_API_KEY", MODEL),
        ("LOG_LEVEL", "debug,h2=debug,hyper=debug,tonic=debug,tower=debug,rustls=debug"),
        ("LOG_FORMAT", "json"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
    ];
    let nooble = Nooble::up(folder.path(), &["--demo"], &settings).await;
    let client = Client::of_demo(folder.path(), "enterprise");

    rest(&client).await;
    sockets(&client).await;
    documents(&client).await;
    grpc(&client, &nooble.ready.grpc).await;
    for mode in [Mode::Garbage, Mode::Cut { after: 1 }, Mode::Without("messages")] {
        provider.set_mode(mode);
        let before = provider.received().len();
        let _sent = client.message("session-1", MESSAGE).send().await.expect("the edge answers");
        testkit::eventually(PATIENCE, || async { provider.received().len() > before }).await;
    }
    // Errors about what is away name it.
    redis.kill();
    let away =
        || async { client.message("session-1", MESSAGE).send().await.is_ok_and(|answer| answer.status() == 503) };
    testkit::eventually(Duration::from_secs(10), away).await;
    redis.restart().await;
    let own: Vec<String> = ["admin.key", "identity.key"]
        .iter()
        .map(|file| std::fs::read_to_string(folder.path().join(file)).expect("kept").trim().to_owned())
        .chain([client.fact("api_key").to_owned()])
        .collect();
    let said = nooble.said();
    let spans = format!("{:?}", collector.spans());
    for (place, text) in [("log", &said), ("trace", &spans)] {
        assert!(text.len() > 10_000, "there is something to look at");
        for canary in CANARIES.iter().copied().chain(own.iter().map(|key| secret_part(key))) {
            let found = text.lines().find(|line| line.contains(canary));
            assert!(found.is_none(), "`{canary}` stands in the {place}: {found:?}");
        }
    }
    assert!(said.contains("\"level\":\"DEBUG\""), "all levels were looked at");
    nooble.kill().await;
}

/// The part of a key that proves something; what stands before it is its name. It may have an underscore in it.
fn secret_part(key: &str) -> &str {
    let named = key.strip_prefix("nbl_").and_then(|key| key.split_once('_'));
    named.map_or(key, |(_, secret)| secret)
}

async fn rest(client: &Client) {
    let mut socket = client.socket("session-1", None).await;
    client.send("session-1", MESSAGE).await;
    answered(&mut socket).await;
    let facts = json!({ "message": MESSAGE, "user_info": { "name": FACT } });
    let _sent = client.message("session-1", "").json(&facts).send().await.expect("an answer");
    for credential in [KEY, JWT] {
        for bearer in [true, false] {
            let request = client.http.post(client.url("/api/chat/send")).header("X-Session-ID", "session-1");
            let request =
                if bearer { request.bearer_auth(credential) } else { request.header("X-API-Key", credential) };
            let _refused = request.json(&json!({ "message": MESSAGE })).send().await.expect("an answer");
            let task = client.http.get(client.url(&format!("/api/v1/tasks/none?ticket={TICKET}&token={KEY}")));
            let _refused = task.bearer_auth(credential).send().await.expect("an answer");
        }
    }
    for body in [
        format!("{{\"message\": \"{MESSAGE}"),
        format!("[\"{MESSAGE}\"]"),
        format!("{{\"message\": {{\"{MESSAGE}\": 1}}}}"),
    ] {
        let request = client.message("session-1", "").header("content-type", "application/json").body(body);
        let _refused = request.send().await.expect("an answer");
    }
    let basic = client.http.get(client.url("/api/v1/tasks/none")).basic_auth("user", Some(KEY));
    let _refused = basic.send().await.expect("an answer");
    let nowhere = client.http.get(client.url(&format!("/nowhere?api_key={KEY}&ticket={TICKET}")));
    let _refused = nowhere.header("cookie", KEY).send().await.expect("an answer");
}

async fn answered(socket: &mut Conversation) {
    socket.until("agent_response", PATIENCE).await;
    for frame in &socket.seen {
        let metadata = frame["metadata"].to_string();
        assert!(!metadata.contains(MESSAGE) && !metadata.to_lowercase().contains("x-tenant"), "{frame}");
    }
}

async fn sockets(client: &Client) {
    let tenant = client.fact("tenant_id");
    let path = format!("ws://{}/ws/session-2?tenant_id={tenant}&tier=enterprise", client.address);
    for (query, header) in [
        (format!("&ticket={TICKET}"), None),
        (format!("&token={KEY}&api_key={KEY}"), None),
        (String::new(), Some(("authorization", format!("Bearer {JWT}")))),
        (String::new(), Some(("sec-websocket-protocol", format!("nooble.v1, bearer.{KEY}")))),
    ] {
        let mut request = format!("{path}{query}").into_client_request().expect("a URL");
        if let Some((name, value)) = header {
            request.headers_mut().insert(name, value.parse().expect("plain"));
        }
        let Ok((mut socket, _)) = tokio_tungstenite::connect_async(request).await else { continue };
        let frames = [
            json!({ "type": "auth", "token": KEY }).to_string(),
            json!({ "type": MESSAGE }).to_string(),
            format!("{{\"type\": \"{MESSAGE}"),
        ];
        for frame in frames {
            let _closed = socket.send(Message::text(frame)).await;
        }
        while let Ok(Some(Ok(_))) = tokio::time::timeout(Duration::from_millis(500), socket.next()).await {}
    }
    let mut proved = client.socket("session-2", None).await;
    for frame in [
        json!({ "type": "send", "data": { "message": MESSAGE, "user_info": { "name": FACT } } }),
        json!({ "type": MESSAGE }),
        json!({ "type": "auth", "token": JWT }),
    ] {
        proved.send(&frame).await;
    }
    while proved.next(Duration::from_millis(500)).await.is_some() {}
}

async fn documents(client: &Client) {
    for (name, kind) in [("notes.txt", "text/plain"), ("notes.pdf", "application/pdf"), ("notes.bin", "image/png")] {
        let text = format!("The word is {DOCUMENT}. {}", "It says more. ".repeat(50));
        let file = Part::bytes(text.into_bytes()).file_name(name).mime_str(kind).expect("a type");
        let form = Form::new().text("collection_id", client.fact("collection_id").to_owned()).text("title", "Notes");
        let request = client.http.post(client.url("/api/v1/documents")).bearer_auth(client.fact("api_key"));
        let answer = request.multipart(form.part("file", file)).send().await.expect("an answer");
        let body: serde_json::Value = answer.json().await.unwrap_or_default();
        if let Some(task_id) = body["task_id"].as_str().map(str::to_owned) {
            let ended = || async {
                let task = client.task(&task_id).await;
                ["completed", "failed"].contains(&task["status"].as_str().unwrap_or_default())
            };
            testkit::eventually(PATIENCE, ended).await;
        }
    }
}

async fn grpc(client: &Client, address: &str) {
    let mut service = OrchestratorServiceClient::new(channel(address));
    let key = client.fact("api_key").to_owned();
    for (name, value) in [
        ("authorization", format!("Bearer {key}")),
        ("authorization", format!("Bearer {JWT}")),
        ("x-api-key", KEY.to_owned()),
        ("x-nooble-identity", JWT.to_owned()),
    ] {
        let run = AgentRun { message: MESSAGE.to_owned(), ..AgentRun::default() };
        let (agent_id, session_id) = (client.fact("agent_id").to_owned(), "session-3".to_owned());
        let message = SendMessageRequest { agent_id, session_id, run: Some(run), ..SendMessageRequest::default() };
        let mut request = tonic::Request::new(message);
        request.metadata_mut().insert(name, value.parse().expect("plain"));
        let _answer = service.send_message(request).await;
    }
}
