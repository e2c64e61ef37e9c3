//! Whoever dies with work in hands loses none of it: it is done again, and shown once.

use std::time::Duration;

use e2e::{Client, Conversation, Nooble};
use serde_json::Value;
use testkit::Proxy;
use testkit::openai::{Mode, OpenAi};

use crate::{PATIENCE, QUESTION, WORDS};

/// Time after which the work of somebody who says nothing is somebody else's.
const LEASE: (&str, &str) = ("QUEUE_LEASE", "2s");

/// Hears what still comes, and returns how many frames ended a task.
async fn finals(socket: &mut Conversation) -> usize {
    while socket.next(Duration::from_secs(3)).await.is_some() {}
    socket.seen.iter().filter(|frame| frame["type"] == "agent_response" || frame["type"] == "error").count()
}

#[tokio::test]
async fn a_run_whose_worker_is_killed_is_done_again_and_the_client_sees_one_final() {
    let provider = OpenAi::start().await;
    provider.say("The answer has four parts and comes slowly, piece by piece, until it is whole.");
    provider.set_mode(Mode::Gated);
    let redis = testkit::Redis::start_durable().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (url, model) = (redis.url(), provider.base_url());
    let settings = [WORDS, LEASE, ("REDIS_URL", url.as_str()), ("LLM_BASE_URL", model.as_str())];
    let front = Nooble::up(folder.path(), &["--without-worker", "execution", "--demo"], &settings).await;
    let worker = || front.beside(folder.path(), &["execution", "--part", "worker"], &settings);
    let client = Client::of_demo(folder.path(), "enterprise");
    let first = worker().await;
    let mut socket = client.socket("session-1", None).await;
    socket.until("connection_ack", PATIENCE).await;
    let sent = client.send("session-1", QUESTION).await;
    provider.release(2);
    socket.until("agent_delta", PATIENCE).await;
    let second = worker().await;
    first.kill().await;
    provider.set_mode(Mode::Normal);
    provider.release(1_000);
    let response = socket.until("agent_response", PATIENCE).await;
    assert_eq!(response["task_id"], sent["task_id"]);
    assert_eq!(finals(&mut socket).await, 1, "{:#?}", socket.seen);
    let restarts: Vec<_> = socket.seen.iter().filter(|frame| frame["data"]["stage"] == "restarted").collect();
    assert_eq!(restarts.len(), 1, "the client was told to drop the partial text: {:#?}", socket.seen);
    let task = client.task(sent["task_id"].as_str().expect("an id")).await;
    assert_eq!((&task["status"], task["attempts"].as_u64()), (&"completed".into(), Some(2)));
    second.stop(Duration::from_secs(30)).await;
    front.stop(Duration::from_secs(30)).await;
}

#[tokio::test]
async fn a_callback_whose_taker_is_killed_before_it_passes_it_on_is_taken_by_the_next_and_shown_once() {
    let redis = testkit::Redis::start_durable().await;
    let folder = tempfile::tempdir().expect("a folder");
    let url = redis.url();
    let settings = [WORDS, LEASE, ("REDIS_URL", url.as_str())];
    let front = Nooble::up(folder.path(), &["--demo", "--without-worker", "orchestrator"], &settings).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    let mut socket = client.socket("session-1", None).await;
    socket.until("connection_ack", PATIENCE).await;

    // A network so slow that whoever has taken the callback cannot have passed it on when it is seen that it was taken.
    let proxy = Proxy::start(&url).await;
    let slow = proxy.url();
    let behind = [WORDS, LEASE, ("REDIS_URL", slow.as_str())];
    let taker = front.beside(folder.path(), &["orchestrator", "--part", "worker"], &behind).await;
    proxy.delay(Duration::from_secs(1));
    let sent = client.send("session-1", QUESTION).await;
    testkit::eventually(PATIENCE, || async { taken(&client, &front).await }).await;
    taker.kill().await;
    drop(proxy);
    while socket.next(Duration::from_secs(1)).await.is_some() {}
    assert!(socket.seen.iter().all(|frame| frame["type"] != "agent_response"), "{:#?}", socket.seen);

    let _next = front.beside(folder.path(), &["orchestrator", "--part", "worker"], &settings).await;
    let response = socket.until("agent_response", PATIENCE).await;
    assert_eq!(response["task_id"], sent["task_id"]);
    assert_eq!(finals(&mut socket).await, 1, "{:#?}", socket.seen);
}

/// Tells whether somebody has taken a callback and has not settled it.
async fn taken(client: &Client, front: &Nooble) -> bool {
    let overview = client.http.get(format!("http://{}/metrics/overview", front.ready.admin)).send().await;
    let overview: Value = overview.expect("the admin port answers").json().await.expect("JSON");
    overview["domains"]["orchestrator"]["in_flight"].as_u64() > Some(0)
}
