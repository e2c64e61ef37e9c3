//! Every answer reaches the session that it belongs to, wherever its socket is, and no other.

use std::time::Duration;

use e2e::{Client, Conversation, Nooble};
use serde_json::{Value, json};

use crate::{PATIENCE, QUESTION, WORDS};

/// Waits for the answer to a message that was sent; everything that was seen must be of the tenant.
async fn answered(socket: &mut Conversation, client: &Client, sent: &Value) {
    let response = socket.until("agent_response", PATIENCE).await;
    assert_eq!(response["task_id"], sent["task_id"]);
    let own = |frame: &Value| frame["tenant_id"] == client.fact("tenant_id");
    assert!(socket.seen.iter().all(own), "{:#?}", socket.seen);
}

#[tokio::test]
async fn two_tenants_with_the_same_session_id_both_stay_connected_and_get_their_own_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let _nooble = Nooble::up(folder.path(), &["--demo"], &[WORDS]).await;
    let (one, other) = (Client::of_demo(folder.path(), "professional"), Client::of_demo(folder.path(), "enterprise"));
    let mut first = one.socket("session-1", None).await;
    first.until("connection_ack", PATIENCE).await;
    let mut second = other.socket("session-1", None).await;
    second.until("connection_ack", PATIENCE).await;
    // The one who was there first is still there, and neither is shown what the other is told.
    let sent = one.send("session-1", QUESTION).await;
    answered(&mut first, &one, &sent).await;
    let sent = other.send("session-1", QUESTION).await;
    answered(&mut second, &other, &sent).await;
    for (socket, client) in [(&mut first, &one), (&mut second, &other)] {
        socket.send(&json!({ "type": "ping" })).await;
        socket.until("pong", PATIENCE).await;
        let answers = socket.seen.iter().filter(|frame| frame["type"] == "agent_response").count();
        assert_eq!(answers, 1, "{}: {:#?}", client.tier, socket.seen);
    }
}

#[tokio::test]
async fn a_callback_that_is_taken_by_another_process_than_the_sockets_reaches_the_socket() {
    let redis = testkit::Redis::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let url = redis.url();
    let settings = [WORDS, ("REDIS_URL", url.as_str())];
    let front = Nooble::up(folder.path(), &["--demo", "--without-worker", "orchestrator"], &settings).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    let mut socket = client.socket("session-1", None).await;
    let sent = client.send("session-1", QUESTION).await;
    let task = sent["task_id"].as_str().expect("an id");
    testkit::eventually(PATIENCE, || async { client.task(task).await["status"] == "completed" }).await;
    while socket.next(Duration::from_millis(500)).await.is_some() {}
    assert!(socket.seen.iter().all(|frame| frame["type"] != "agent_response"), "nobody has taken the callback yet");
    let _worker = front.beside(folder.path(), &["orchestrator", "--part", "worker"], &settings).await;
    answered(&mut socket, &client, &sent).await;
    // Of those that come while both run, too.
    let sent = client.send("session-1", QUESTION).await;
    answered(&mut socket, &client, &sent).await;
}

#[tokio::test]
async fn an_answer_reaches_a_socket_on_another_node_and_a_node_that_is_killed_costs_none() {
    let redis = testkit::Redis::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let url = redis.url();
    let settings = [WORDS, ("REDIS_URL", url.as_str())];
    let front = Nooble::up(folder.path(), &["--demo"], &settings).await;
    let node = front.beside(folder.path(), &["gateway"], &settings).await;
    let here = Client::of_demo(folder.path(), "enterprise");
    let there = Client { address: node.ready.http.clone(), ..here.clone() };

    let mut on_the_first = here.socket("session-1", None).await;
    let mut on_the_second = there.socket("session-2", None).await;
    on_the_first.until("connection_ack", PATIENCE).await;
    let ack = on_the_second.until("connection_ack", PATIENCE).await;
    let (for_the_first, for_the_second) =
        (there.send("session-1", QUESTION).await, here.send("session-2", QUESTION).await);
    answered(&mut on_the_first, &here, &for_the_first).await;
    answered(&mut on_the_second, &there, &for_the_second).await;

    // The node dies with the session on it; what was answered meanwhile is told by the other one.
    let last = on_the_second.seen.iter().rfind(|frame| frame["seq"].is_u64()).expect("a frame of the log");
    let (epoch, seq) = (ack["epoch"].as_str().expect("an epoch"), last["seq"].as_u64().expect("a position"));
    node.kill().await;
    assert_eq!(on_the_second.closed(PATIENCE).await, None, "nobody said goodbye");
    let missed = here.send("session-2", QUESTION).await;
    let task = missed["task_id"].as_str().expect("an id");
    testkit::eventually(PATIENCE, || async { here.task(task).await["status"] == "completed" }).await;
    let mut resumed = here.socket("session-2", Some((epoch, seq))).await;
    answered(&mut resumed, &here, &missed).await;
    let seqs: Vec<u64> = resumed.seen.iter().skip(1).filter_map(|frame| frame["seq"].as_u64()).collect();
    assert!(seqs.iter().all(|found| *found > seq) && seqs.is_sorted(), "nothing twice: {:#?}", resumed.seen);
    assert!(resumed.seen.iter().all(|frame| frame["type"] != "gap"), "nothing lost: {:#?}", resumed.seen);
}
