//! Tokens and keys, through the whole product, as an operator and a user handle them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use e2e::{Client, Nooble};
use futures::StreamExt as _;
use proto::orchestrator::v1::connect_request::Command;
use proto::orchestrator::v1::connect_response::Event;
use proto::orchestrator::v1::orchestrator_service_client::OrchestratorServiceClient;
use proto::orchestrator::v1::{Attach, ConnectRequest};
use proto::query::v1::IndexChunksRequest;
use proto::query::v1::query_service_client::QueryServiceClient;
use serde_json::{Value, json};
use testkit::openai::{Mode, OpenAi};

use crate::{PATIENCE, QUESTION, WORDS, channel};

/// Within this time a change holds everywhere; what is measured has the time of a request on top.
const SOON: Duration = Duration::from_millis(1500);

async fn run(nooble: &Nooble, folder: &Path, command: &[&str]) -> (bool, String) {
    let mut arguments = command.to_vec();
    arguments.extend(["--data-dir", folder.to_str().expect("a plain name")]);
    if command.first() != Some(&"token") {
        arguments.extend(["--grpc", &nooble.ready.grpc]);
    }
    let output = Nooble::command(&arguments).output().await.expect("the command runs");
    let text = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8(text).expect("it prints text"))
}

async fn said(nooble: &Nooble, folder: &Path, command: &[&str]) -> String {
    let (success, said) = run(nooble, folder, command).await;
    assert!(success, "{command:?}: {said}");
    said
}

fn fact(lines: &str, name: &str) -> String {
    let found = lines.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {name} in {lines}")).to_owned()
}

/// A client of `acme-1` with a credential.
fn client(nooble: &Nooble, credential: &str, agent: &str) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client {
        http: reqwest::Client::new(),
        address: nooble.ready.http.clone(),
        tier: "professional".to_owned(),
        tenant: json!({ "tenant_id": "acme-1", "api_key": credential, "agent_id": agent }),
    }
}

/// Sends a message; returns the status and the reason of a refusal.
async fn send(client: &Client) -> (u16, String) {
    let answer = client.message("session-1", "Hello").send().await.expect("the edge answers");
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.expect("the answer is JSON");
    (status, body["reason"].as_str().unwrap_or_default().to_owned())
}

async fn tenant_and_agent(nooble: &Nooble, folder: &Path) -> String {
    said(nooble, folder, &["tenant-create", "Acme", "--id", "acme-1", "--plan", "professional"]).await;
    fact(&said(nooble, folder, &["agent-create", "acme-1", "An agent"]).await, "agent_id")
}

#[tokio::test]
async fn a_token_that_is_minted_on_a_laptop_sends_a_message_and_follows_its_session() {
    let folder = tempfile::tempdir().expect("a folder");
    let nooble = Nooble::up(folder.path(), &[], &[WORDS]).await;
    let mode = std::fs::metadata(folder.path().join("jwt.key")).expect("it was made").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let agent = tenant_and_agent(&nooble, folder.path()).await;
    let mint =
        ["token", "mint", "--tenant", "acme-1", "--user", "user-7", "--agents", &agent, "--tier", "professional"];
    let token = said(&nooble, folder.path(), &mint).await.trim().to_owned();
    let shown = said(&nooble, folder.path(), &["token", "check", &token, "--json"]).await;
    let shown: Value = serde_json::from_str(&shown).expect("it prints JSON");
    assert_eq!((shown["tenant_id"].as_str(), shown["agents"][0].as_str()), (Some("acme-1"), Some(agent.as_str())));
    let key = said(&nooble, folder.path(), &["key-create", "acme-1", "--json"]).await;
    let key: Value = serde_json::from_str(&key).expect("one JSON document");
    assert!(key["api_key"].as_str().is_some_and(|key| key.starts_with("nbl_")), "{key}");
    let user = client(&nooble, &token, &agent);
    let mut socket = user.socket("session-1", None).await;
    socket.until("connection_ack", PATIENCE).await;
    assert_eq!(send(&user).await.0, 200);
    socket.until("agent_response", PATIENCE).await;
    assert_eq!(send(&client(&nooble, &token, "agent-other")).await, (403, "ACCESS_DENIED".to_owned()));
    let (signed, signature) = token.rsplit_once('.').expect("three segments");
    let first = if signature.starts_with('A') { "B" } else { "A" };
    let broken = format!("{signed}.{first}{}", &signature[1..]);
    assert_eq!(send(&client(&nooble, &broken, &agent)).await, (401, "CREDENTIAL_INVALID".to_owned()));
    let (fine, why) = run(&nooble, folder.path(), &["token", "check", &broken]).await;
    assert!(!fine && why.contains("signature"), "{why}");
    let stranger = said(&nooble, folder.path(), &["token", "mint", "--tenant", "nobody-1"]).await;
    let stranger = client(&nooble, stranger.trim(), &agent);
    assert_eq!(send(&stranger).await, (401, "CREDENTIAL_INVALID".to_owned()));
}

#[tokio::test]
async fn a_key_is_replaced_and_revoked_and_every_change_holds_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let nooble = Nooble::up(folder.path(), &[], &[WORDS]).await;
    let agent = tenant_and_agent(&nooble, folder.path()).await;
    let made = said(&nooble, folder.path(), &["key-create", "acme-1", "--expires-in", "90d"]).await;
    let old = client(&nooble, &fact(&made, "api_key"), &agent);
    assert_eq!(send(&old).await.0, 200);
    let rotated = said(&nooble, folder.path(), &["key-rotate", &fact(&made, "key_id")]).await;
    let new = client(&nooble, &fact(&rotated, "api_key"), &agent);
    assert_eq!((send(&old).await.0, send(&new).await.0), (200, 200), "both work during the overlap");

    let at_once = ["key-rotate", &fact(&rotated, "key_id"), "--overlap", "0s"];
    let newest = said(&nooble, folder.path(), &at_once).await;
    refused_soon(&new, "CREDENTIAL_EXPIRED").await;
    let newest_client = client(&nooble, &fact(&newest, "api_key"), &agent);
    assert_eq!(send(&newest_client).await.0, 200);
    said(&nooble, folder.path(), &["key-revoke", &fact(&newest, "key_id")]).await;
    refused_soon(&newest_client, "CREDENTIAL_INVALID").await;
    assert_eq!(send(&old).await.0, 200, "another key goes on");

    let listed = said(&nooble, folder.path(), &["key-list", "--tenant", "acme-1", "--json"]).await;
    let listed: Value = serde_json::from_str(&listed).expect("it prints JSON");
    let states: Vec<&str> =
        listed["keys"].as_array().expect("a list").iter().filter_map(|key| key["state"].as_str()).collect();
    assert_eq!(states.len(), 3);
    assert!(states.contains(&"revoked") && states.contains(&"expired"), "{listed}");
    assert!(!listed.to_string().contains("nbl_"), "no secret is listed");
}

#[tokio::test]
async fn streams_end_soon_after_their_key_was_revoked_and_say_why() {
    let provider = OpenAi::start().await;
    provider.set_mode(Mode::Gated);
    let folder = tempfile::tempdir().expect("a folder");
    let url = provider.base_url();
    let nooble = Nooble::up(folder.path(), &[], &[WORDS, ("LLM_BASE_URL", &url)]).await;
    let agent = tenant_and_agent(&nooble, folder.path()).await;
    let made = said(&nooble, folder.path(), &["key-create", "acme-1"]).await;
    let key = fact(&made, "api_key");
    let user = client(&nooble, &key, &agent);
    let sent = user.send("session-1", QUESTION).await;
    let events = format!("/api/v1/tasks/{}/events", sent["task_id"].as_str().expect("an id"));
    let events = user.http.get(user.url(&events)).bearer_auth(&key).send().await.expect("the edge answers");
    let messages = json!([{ "role": "user", "content": QUESTION }]);
    let asked = json!({ "model": format!("agent:{agent}"), "stream": true, "messages": messages });
    let completion = user.http.post(user.url("/v1/chat/completions")).bearer_auth(&key).json(&asked);
    let completion = completion.send().await.expect("the edge answers");
    assert_eq!((events.status().as_u16(), completion.status().as_u16()), (200, 200));

    said(&nooble, folder.path(), &["key-revoke", &fact(&made, "key_id")]).await;
    let both = futures::future::join(events.text(), completion.text());
    let (events, completion) = tokio::time::timeout(SOON, both).await.expect("they end soon");
    let (events, completion) = (events.expect("a whole stream"), completion.expect("a whole stream"));
    let last = events.rsplit("event: ").next().expect("an event");
    assert!(last.starts_with("problem\n") && last.contains("CREDENTIAL_INVALID"), "{events}");
    assert!(completion.contains(r#""type":"authentication_error""#), "{completion}");
    assert!(completion.trim_end().ends_with("[DONE]"), "{completion}");
}

/// Sends a message to a session of its own, and returns its task.
async fn task_of(client: &Client, session: &str) -> String {
    client.send(session, QUESTION).await["task_id"].as_str().expect("an id").to_owned()
}

/// Attaches to something over gRPC, and returns why that is refused; nothing when it is not.
async fn attached(nooble: &Nooble, token: &str, attach: Attach) -> Option<String> {
    let command = ConnectRequest { channel: 1, command: Some(Command::Attach(attach)) };
    let commands = futures::stream::once(async { command }).chain(futures::stream::pending());
    let mut request = tonic::Request::new(commands);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("plain"));
    let mut client = OrchestratorServiceClient::new(channel(&nooble.ready.grpc));
    let mut events = client.connect(request).await.expect("a stream").into_inner();
    match events.message().await.expect("sound").expect("something is told").event.expect("an event") {
        Event::Refused(refused) => Some(refused.reason),
        Event::Attached(_) => None,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_persons_token_sees_nothing_of_another_person_and_one_for_an_agent_nothing_of_another_agent() {
    let folder = tempfile::tempdir().expect("a folder");
    let nooble = Nooble::up(folder.path(), &[], &[WORDS]).await;
    let agent = tenant_and_agent(&nooble, folder.path()).await;
    let other = fact(&said(&nooble, folder.path(), &["agent-create", "acme-1", "Another"]).await, "agent_id");
    let token = async |user: &str, agent: &str| {
        let mint = ["token", "mint", "--tenant", "acme-1", "--user", user, "--agents", agent];
        said(&nooble, folder.path(), &mint).await.trim().to_owned()
    };
    let (anas, bens, others) = (token("ana", &agent).await, token("ben", &agent).await, token("ana", &other).await);
    let ana = client(&nooble, &anas, &agent);
    let ben = client(&nooble, &bens, &agent);
    let of_other = client(&nooble, &others, &other);
    let (own, secret, foreign) =
        (task_of(&ana, "of-ana").await, task_of(&ben, "of-ben").await, task_of(&of_other, "of-other").await);
    let done = async |client: &Client, task: &str| {
        testkit::eventually(PATIENCE, || async { client.task(task).await["status"] == "completed" }).await;
    };
    done(&ana, &own).await;
    done(&ben, &secret).await;

    let listed = ana.get("/api/v1/tasks").await.body;
    let listed: Vec<&str> =
        listed["tasks"].as_array().expect("tasks").iter().filter_map(|task| task["task_id"].as_str()).collect();
    assert_eq!(listed, [own.as_str()]);
    for hidden in [&secret, &foreign] {
        for path in ["", "/events", "/cancel"] {
            let method = if path == "/cancel" { reqwest::Method::POST } else { reqwest::Method::GET };
            let answer = ana.ask(method, &format!("/api/v1/tasks/{hidden}{path}"), None).await;
            assert_eq!((answer.status, &answer.body["reason"]), (404, &json!("TASK_NOT_FOUND")), "{path}");
        }
        let attach = Attach { task_id: hidden.clone(), ..Attach::default() };
        assert_eq!(attached(&nooble, &anas, attach).await.as_deref(), Some("TASK_NOT_FOUND"));
    }
    let attach = |agent: &str| Attach { agent_id: agent.to_owned(), ..Attach::default() };
    assert_eq!(attached(&nooble, &anas, attach(&agent)).await.as_deref(), Some("ACCESS_DENIED"), "others' tasks, too");
    assert_eq!(attached(&nooble, &anas, attach(&other)).await.as_deref(), Some("ACCESS_DENIED"));
    let own_task = Attach { task_id: own.clone(), session_id: "of-ana".to_owned(), ..Attach::default() };
    assert_eq!(attached(&nooble, &anas, own_task).await, None);

    let mut index = tonic::Request::new(IndexChunksRequest::default());
    index.metadata_mut().insert("authorization", format!("Bearer {anas}").parse().expect("plain"));
    let refused = QueryServiceClient::new(channel(&nooble.ready.grpc)).index_chunks(index).await.expect_err("refused");
    assert_eq!(refused.code(), tonic::Code::PermissionDenied, "it adds nothing anywhere: {refused}");

    let conversation = format!("/api/v1/conversations?session_id=of-ben&agent_id={agent}");
    assert_eq!(ben.get(&conversation).await.body["messages"].as_array().map(Vec::len), Some(2));
    assert_eq!(ana.get(&conversation).await.body["messages"], json!([]));
    let denied = of_other.get(&conversation).await;
    assert_eq!((denied.status, &denied.body["reason"]), (403, &json!("ACCESS_DENIED")));
}

async fn refused_soon(client: &Client, reason: &str) {
    let began = Instant::now();
    loop {
        let (status, found) = send(client).await;
        if status == 401 {
            assert_eq!(found, reason);
            return;
        }
        assert!(began.elapsed() < SOON, "still accepted");
    }
}
