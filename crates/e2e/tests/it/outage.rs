//! Redis goes and comes back; nothing has to be restarted.

use std::time::Duration;

use e2e::{Client, Nooble};
use serde_json::Value;

use crate::{PATIENCE, QUESTION, WORDS};

#[tokio::test]
async fn without_redis_calls_are_refused_health_says_so_and_all_recovers_by_itself() {
    let mut redis = testkit::Redis::start_durable().await;
    let folder = tempfile::tempdir().expect("a folder");
    let url = redis.url();
    let _nooble = Nooble::up(folder.path(), &["--demo"], &[WORDS, ("REDIS_URL", &url)]).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    let healthy = || async {
        let response = client.http.get(client.url("/health")).send().await.expect("the edge answers");
        response.status().is_success()
    };
    assert!(healthy().await);
    redis.kill();
    testkit::eventually(Duration::from_secs(5), || async { !healthy().await }).await;
    let refused = client.message("session-1", QUESTION).send().await.expect("the edge answers");
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    let problem: Value = refused.json().await.expect("a problem");
    assert_eq!(problem["type"], "/errors/broker-unavailable", "{problem}");
    redis.restart().await;
    testkit::eventually(Duration::from_secs(10), healthy).await;
    let mut socket = client.socket("session-2", None).await;
    client.send("session-2", QUESTION).await;
    socket.until("agent_response", PATIENCE).await;
}
