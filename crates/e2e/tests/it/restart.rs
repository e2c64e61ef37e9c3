//! A process that comes after one that was killed.

use e2e::{Client, Nooble};
use testkit::openai::{Mode, OpenAi};

use crate::{PATIENCE, QUESTION, WORDS};

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
