//! A run that somebody gives up.

use std::time::Duration;

use e2e::{Client, Nooble};

use crate::{PATIENCE, QUESTION, WORDS};

#[tokio::test]
async fn a_cancelled_run_ends_as_cancelled_within_seconds() {
    let provider = testkit::openai::OpenAi::start().await;
    provider.set_mode(testkit::openai::Mode::Gated);
    let folder = tempfile::tempdir().expect("a folder");
    let url = provider.base_url();
    let _nooble = Nooble::up(folder.path(), &["--demo"], &[WORDS, ("LLM_BASE_URL", &url)]).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    let mut socket = client.socket("session-1", None).await;
    let sent = client.send("session-1", QUESTION).await;
    let task_id = sent["task_id"].as_str().expect("an id").to_owned();
    testkit::eventually(PATIENCE, || async { client.task(&task_id).await["status"] == "running" }).await;
    let cancel = client.http.post(client.url(&format!("/api/v1/tasks/{task_id}/cancel")));
    let answer = cancel.bearer_auth(client.fact("api_key")).send().await.expect("the edge answers");
    assert!(answer.status().is_success(), "{}", answer.status());
    let ended = || async { client.task(&task_id).await["status"] == "cancelled" };
    testkit::eventually(Duration::from_secs(5), ended).await;
    let error = socket.until("error", PATIENCE).await;
    assert_eq!(error["data"]["status"], "cancelled", "{error}");
}
