//! Logs on a cluster, where those who write and those who follow meet on any node.

use std::time::Duration;

use action::TaskId;
use session::{Config, GapReason, Log, Sessions, Start};
use testkit::{Cluster, Sentinels, Takeover};

use crate::support::{Client, PATIENCE, attempt, delta, last, log, typing};

/// After the first one, positions are not compared within the time of a test: only hints can tell of frames.
fn hints_only() -> Config {
    Config { check: Duration::from_hours(1), lease: Duration::from_hours(2), ..Config::default() }
}

async fn sessions(url: &str, config: Config) -> Sessions {
    let redis = broker::Redis::connect(url).await.expect("the servers are there");
    Sessions::start(redis, config).await.expect("sessions start")
}

async fn follow(sessions: &Sessions, log: &Log) -> Client {
    let mut client = Client::new(Box::pin(sessions.follow(log.clone(), Start::Beginning)));
    client.until_resumed().await;
    client
}

/// Appends until it succeeds, as writers do; the log recognises what it has already.
async fn patiently(sessions: &Sessions, log: &Log, append: session::Append) {
    testkit::eventually(PATIENCE, || async {
        matches!(sessions.append(log, append.clone()).await, Ok(_) | Err(session::Error::Finished))
    })
    .await;
}

#[tokio::test]
async fn frames_of_logs_on_every_node_are_hinted_to_followers_on_any() {
    let cluster = Cluster::start(3, 0).await;
    let writer = sessions(&cluster.url(), Config::default()).await;
    let mut followers = Vec::new();
    for _ in 0..3 {
        followers.push(sessions(&cluster.url(), hints_only()).await);
    }
    let logs: Vec<_> = (0..9).map(|number| log(&format!("web-{number}"))).collect();
    let mut clients = Vec::new();
    for follower in &followers {
        for log in &logs {
            clients.push(follow(follower, log).await);
        }
    }
    let subscribers = || cluster.command_each(&["CLIENT", "LIST", "TYPE", "pubsub"]).join("\n").trim().lines().count();
    testkit::eventually(PATIENCE, || async { subscribers() >= 3 }).await;
    for log in &logs {
        let action = attempt(TaskId::new(), 1);
        writer.append(log, typing(&action)).await.unwrap();
        writer.append_many(log, vec![delta(&action, 0, "a"), last(&action, "a")]).await.unwrap();
        writer.acknowledge(log, "none", 1).await.unwrap();
    }
    for client in &mut clients {
        client.until(3).await;
        assert_eq!(client.said(), ["typing", "a", "=a"]);
    }
}

#[tokio::test]
async fn a_master_that_hands_over_costs_no_frame_and_begins_an_epoch() {
    let cluster = Cluster::start(3, 1).await;
    let log = log("web-1");
    let config = Config { check: Duration::from_millis(200), ..Config::default() };
    let sessions = sessions(&cluster.url(), config).await;
    let mut client = follow(&sessions, &log).await;
    let action = attempt(TaskId::new(), 1);
    patiently(&sessions, &log, delta(&action, 0, "a")).await;
    client.until(1).await;
    cluster.fail_over("{ns:acme:s:web-1}:meta", Takeover::Agreed).await;
    patiently(&sessions, &log, delta(&action, 1, "b")).await;
    client.until(2).await;
    patiently(&sessions, &log, last(&action, "ab")).await;
    client.until(3).await;
    assert_eq!(client.said(), ["a", "b", "=ab"]);
    assert!(client.gaps.iter().all(|gap| gap.reason == GapReason::Epoch && gap.missed.is_none()));
}

#[tokio::test]
async fn a_node_that_is_away_does_not_keep_hints_of_the_others_from_followers() {
    let mut cluster = Cluster::start_with(3, 0, &["--save", "", "--cluster-require-full-coverage", "no"]).await;
    let config = Config { check: Duration::from_millis(100), ..Config::default() };
    let sessions = sessions(&cluster.url(), config).await;
    let logs: Vec<_> =
        (0..12).map(|number| (format!("{{ns:acme:s:web-{number}}}:meta"), log(&format!("web-{number}")))).collect();
    let mut clients = Vec::new();
    for (_, log) in &logs {
        clients.push(follow(&sessions, log).await);
    }
    let listens = |node: &usize| !cluster.command(*node, &["CLIENT", "LIST", "TYPE", "pubsub"]).trim().is_empty();
    testkit::eventually(PATIENCE, || async { (0..3).any(|node| listens(&node)) }).await;
    let listened = (0..3).find(listens).expect("it listens somewhere");
    let gone = (listened + 1) % 3;
    let here: Vec<bool> = logs.iter().map(|(key, _)| cluster.master_of(key) != Some(gone)).collect();
    assert!(here.iter().any(|here| !here), "the node has some of the logs");
    cluster.kill(gone);
    for round in 1..=20 {
        for (((_, log), client), _) in logs.iter().zip(&mut clients).zip(&here).filter(|(_, here)| **here) {
            patiently(&sessions, log, typing(&attempt(TaskId::new(), 1))).await;
            client.until(round).await;
        }
    }
}

#[tokio::test]
async fn followers_go_on_at_the_next_master_when_sentinels_have_chosen_one() {
    let sentinels = Sentinels::start().await;
    let log = log("web-1");
    let sessions = sessions(&sentinels.url(), Config::default()).await;
    let mut client = follow(&sessions, &log).await;
    let action = attempt(TaskId::new(), 1);
    patiently(&sessions, &log, delta(&action, 0, "a")).await;
    client.until(1).await;
    // So that nothing is lost with the old master.
    sentinels.replicated().await;
    sentinels.fail_over().await;
    patiently(&sessions, &log, delta(&action, 1, "b")).await;
    patiently(&sessions, &log, last(&action, "ab")).await;
    client.until(3).await;
    assert_eq!(client.said().last().map(String::as_str), Some("=ab"));
}
