//! Models of somebody else: slow, failing, cut off.

use e2e::{Client, Nooble};
use testkit::openai::{Mode, OpenAi};

use crate::{PATIENCE, QUESTION, WORDS};

async fn demo(folder: &std::path::Path, provider: &OpenAi) -> Nooble {
    let url = provider.base_url();
    let settings =
        [WORDS, ("LLM_BASE_URL", url.as_str()), ("LLM_API_KEY", "canary-key-1234"), ("QUEUE_RETRY_BASE", "50ms")];
    Nooble::up(folder, &["--demo"], &settings).await
}

#[tokio::test]
async fn the_first_delta_reaches_the_socket_before_a_slow_provider_has_finished() {
    let provider = OpenAi::start().await;
    provider.say("One two three four five six seven eight nine ten.");
    provider.set_mode(Mode::Gated);
    let folder = tempfile::tempdir().expect("a folder");
    let _nooble = demo(folder.path(), &provider).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    let mut socket = client.socket("session-1", None).await;
    client.send("session-1", QUESTION).await;
    provider.release(2);
    // The provider holds the rest back until it is released below.
    socket.until("agent_delta", PATIENCE).await;
    assert!(socket.seen.iter().all(|frame| frame["type"] != "agent_response"));
    provider.release(100);
    let response = socket.until("agent_response", PATIENCE).await;
    assert_eq!(response["data"]["response"], "One two three four five six seven eight nine ten.");
    assert!(response["data"]["tokens_used"]["total"].as_u64().is_some_and(|total| total > 0), "{response}");
}

#[tokio::test]
async fn a_provider_that_fails_for_a_while_is_asked_again() {
    let provider = OpenAi::start().await;
    provider.say("It works in the end.");
    provider.set_mode(Mode::Status { code: 503, retry_after: None, times: 2 });
    let folder = tempfile::tempdir().expect("a folder");
    let _nooble = demo(folder.path(), &provider).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    let mut socket = client.socket("session-1", None).await;
    client.send("session-1", QUESTION).await;
    let response = socket.until("agent_response", PATIENCE).await;
    assert_eq!(response["data"]["response"], "It works in the end.");
}

#[tokio::test]
async fn a_provider_that_refuses_for_good_ends_in_an_error_frame_that_says_so() {
    let provider = OpenAi::start().await;
    provider.set_mode(Mode::Status { code: 401, retry_after: None, times: 1_000 });
    let folder = tempfile::tempdir().expect("a folder");
    let _nooble = demo(folder.path(), &provider).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    let mut socket = client.socket("session-1", None).await;
    let sent = client.send("session-1", QUESTION).await;
    let error = socket.until("error", PATIENCE).await;
    assert_eq!(error["task_id"], sent["task_id"]);
    assert_eq!(error["data"]["status"], "failed");
    assert!(!error.to_string().contains("canary-key-1234"), "the key never leaves: {error}");
    let task = client.task(sent["task_id"].as_str().expect("an id")).await;
    assert_eq!(task["status"], "failed");
    assert_eq!(task["error"]["reason"], "PROVIDER_REJECTED", "{task}");
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_begun_again_and_the_client_is_told() {
    let provider = OpenAi::start().await;
    provider.say("This answer breaks off and comes again.");
    provider.set_mode(Mode::Cut { after: 2 });
    let folder = tempfile::tempdir().expect("a folder");
    let _nooble = demo(folder.path(), &provider).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    let mut socket = client.socket("session-1", None).await;
    client.send("session-1", QUESTION).await;
    socket.until("agent_delta", PATIENCE).await;
    provider.set_mode(Mode::Normal);
    let response = socket.until("agent_response", PATIENCE).await;
    assert!(!response["data"]["response"].as_str().expect("text").is_empty());
    assert_eq!(socket.seen.iter().filter(|frame| frame["type"] == "agent_response").count(), 1);
}
