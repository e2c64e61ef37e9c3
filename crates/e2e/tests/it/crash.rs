//! What dies is done again, and shown once.

use std::path::Path;
use std::time::Duration;

use e2e::{Client, Nooble};
use testkit::openai::{Mode, OpenAi};

use crate::{PATIENCE, QUESTION, WORDS};

/// The mesh with its execution workers as processes of their own, over a Redis of the test's.
struct Mesh {
    redis: testkit::Redis,
    front: Nooble,
    settings: Vec<(String, String)>,
    folder: tempfile::TempDir,
}

impl Mesh {
    async fn start(provider: &OpenAi) -> Self {
        let redis = testkit::Redis::start_durable().await;
        let folder = tempfile::tempdir().expect("a folder");
        let mut settings = vec![
            (WORDS.0.to_owned(), WORDS.1.to_owned()),
            ("REDIS_URL".to_owned(), redis.url()),
            ("LLM_BASE_URL".to_owned(), provider.base_url()),
            ("QUEUE_LEASE".to_owned(), "2s".to_owned()),
        ];
        // The front has everything but the workers of execution; those run apart.
        let roles = ["--without-worker", "execution", "--demo"];
        let front = Nooble::up(folder.path(), &roles, &borrowed(&settings)).await;
        let peer = format!("http://{}", front.ready.grpc);
        for service in
            ["ORCHESTRATOR", "EXECUTION", "AGENT_MANAGEMENT", "CONVERSATION", "EMBEDDING", "QUERY", "INGESTION"]
        {
            settings.push((format!("{service}_URL"), peer.clone()));
        }
        settings
            .push(("IDENTITY_KEY_FILE".to_owned(), folder.path().join("identity.key").to_string_lossy().into_owned()));
        Self { redis, front, settings, folder }
    }

    async fn worker(&self) -> Nooble {
        let data_dir = self.folder.path().join("worker");
        let arguments = ["serve", "execution", "--part", "worker", "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let data_dir = ["--data-dir", data_dir.to_str().expect("a plain name")];
        Nooble::start(&[&arguments[..], &data_dir[..]].concat(), &borrowed(&self.settings)).await
    }

    fn data_dir(&self) -> &Path {
        self.folder.path()
    }
}

fn borrowed(settings: &[(String, String)]) -> Vec<(&str, &str)> {
    settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[tokio::test]
async fn a_run_whose_worker_is_killed_is_done_again_and_the_client_sees_one_final() {
    let provider = OpenAi::start().await;
    provider.say("The answer has four parts and comes slowly, piece by piece, until it is whole.");
    provider.set_mode(Mode::Gated);
    let mesh = Mesh::start(&provider).await;
    let client = Client::of_demo(mesh.data_dir(), "enterprise");
    let collection = client.fact("agent_id").to_owned();
    let first = mesh.worker().await;
    let mut socket = client.socket("session-1", None).await;
    socket.until("connection_ack", PATIENCE).await;
    let sent = client.send("session-1", QUESTION).await;
    provider.release(2);
    socket.until("agent_delta", PATIENCE).await;
    let second = mesh.worker().await;
    first.kill().await;
    provider.set_mode(Mode::Normal);
    provider.release(1_000);
    let response = socket.until("agent_response", PATIENCE).await;
    assert_eq!(response["task_id"], sent["task_id"], "{collection}");
    while socket.next(Duration::from_secs(3)).await.is_some() {}
    let finals =
        socket.seen.iter().filter(|frame| frame["type"] == "agent_response" || frame["type"] == "error").count();
    assert_eq!(finals, 1, "{:#?}", socket.seen);
    let restarts: Vec<_> = socket.seen.iter().filter(|frame| frame["data"]["stage"] == "restarted").collect();
    assert_eq!(restarts.len(), 1, "the client was told to drop the partial text: {:#?}", socket.seen);
    let task = client.task(sent["task_id"].as_str().expect("an id")).await;
    assert_eq!((&task["status"], task["attempts"].as_u64()), (&"completed".into(), Some(2)));
    second.stop(Duration::from_secs(30)).await;
    mesh.front.stop(Duration::from_secs(30)).await;
    drop(mesh.redis);
}

#[tokio::test]
async fn a_second_start_on_the_same_folder_finishes_what_was_in_flight() {
    let provider = OpenAi::start().await;
    provider.say("It is finished by the process that came after.");
    provider.set_mode(Mode::Gated);
    let folder = tempfile::tempdir().expect("a folder");
    let url = provider.base_url();
    let settings = [WORDS, ("LLM_BASE_URL", url.as_str()), ("QUEUE_LEASE", "2s")];
    let first = Nooble::up(folder.path(), &["--demo"], &settings).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    let sent = client.send("session-1", QUESTION).await;
    let task_id = sent["task_id"].as_str().expect("an id").to_owned();
    testkit::eventually(PATIENCE, || async { client.task(&task_id).await["status"] == "running" }).await;
    first.kill().await;
    provider.set_mode(Mode::Normal);
    provider.release(1_000);
    let _second = Nooble::up(folder.path(), &["--demo"], &settings).await;
    let client_after = Client::of_demo(folder.path(), "enterprise");
    assert_eq!(client_after.fact("api_key"), client.fact("api_key"), "the demo was found again, not made anew");
    testkit::eventually(PATIENCE, || async { client_after.task(&task_id).await["status"] == "completed" }).await;
    let mut socket = client_after.socket("session-1", None).await;
    let response = socket.until("agent_response", PATIENCE).await;
    assert_eq!(response["task_id"], sent["task_id"]);
}
