//! Forty tenants of four tiers at once, through REST and WebSocket.

use std::collections::HashSet;
use std::path::Path;

use action::Tier;
use e2e::{Client, Nooble};
use serde_json::{Value, json};
use tokio::sync::Barrier;

use crate::{PATIENCE, WORDS};

/// Tenants of each tier.
const OF_EACH: usize = 10;
/// Messages that a free tenant may send here; it sends two more. By the day, which ends at a known time, and not by the minute.
const FREE: usize = 3;

/// How many of the first are looked at for the shares: fewer than would use up the highest tier's messages.
const FIRST: usize = 45;
/// What a share may be off by: some run beside each other, and moments are told in milliseconds.
const OFF: usize = 4;

#[tokio::test]
async fn forty_tenants_at_once_have_their_limits_to_the_message_their_shares_and_nobody_sees_anothers_frames() {
    // The one TLS backend of the process, which clients look for even where nothing is encrypted.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().expect("a folder");
    let limit = FREE.to_string();
    let settings = [
        WORDS,
        ("RATE_LIMIT_FREE_PER_DAY", limit.as_str()),
        ("TIMEOUT_FREE", "120s"),
        // So few that tiers have to share them.
        ("EXECUTION_SLOTS", "2"),
    ];
    let nooble = Nooble::up(folder.path(), &[], &settings).await;
    let tenants = Tier::ALL.into_iter().flat_map(|tier| (0..OF_EACH).map(move |number| (tier, number)));
    // Everything waits before the first is taken.
    said(&nooble, folder.path(), &["queue", "pause", "execution"]).await;
    let all_sent = Barrier::new(4 * OF_EACH + 1);
    let chats = tenants.map(|(tier, number)| chat(&nooble, folder.path(), tier, number, &all_sent));
    let going_on = async {
        all_sent.wait().await;
        said(&nooble, folder.path(), &["queue", "resume", "execution"]).await
    };
    let (begun, _) = tokio::join!(futures::future::join_all(chats), going_on);
    let mut begun: Vec<(String, Tier)> = begun.into_iter().flatten().collect();
    assert_eq!(begun.len(), 4 * OF_EACH * FREE);
    begun.sort();
    for (tier, share) in Tier::ALL.into_iter().zip([8, 4, 2, 1]) {
        let of_tier = begun[..FIRST].iter().filter(|(_, of)| *of == tier).count();
        let due = FIRST * share / 15;
        assert!(of_tier.abs_diff(due) <= OFF, "{tier} had {of_tier} of the first {FIRST}, {due} were due");
    }
    let checked = nooble_json(&nooble, folder.path(), &["queue", "check", "--json"]).await;
    assert_eq!(checked["violations"].as_array().map(Vec::len), Some(0), "{checked}");
}

/// Makes a tenant, asks as often as it may and, when it is free, twice more. Returns when the work on each message began.
async fn chat(nooble: &Nooble, folder: &Path, tier: Tier, number: usize, all_sent: &Barrier) -> Vec<(String, Tier)> {
    let client = client(nooble, folder, tier, &format!("{tier}-{number}")).await;
    let session = format!("session-{tier}-{number}");
    let mut socket = client.socket(&session, None).await;
    socket.until("connection_ack", PATIENCE).await;
    let asked = if tier == Tier::Free { FREE + 2 } else { FREE };
    let sending =
        (0..asked).map(|turn| client.message(&session, &format!("Question {turn} of {tier}-{number}")).send());
    let mut tasks = HashSet::new();
    for answer in futures::future::join_all(sending).await {
        let answer = answer.expect("the edge answers");
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.expect("the answer is JSON");
        match status {
            429 => assert_eq!(tier, Tier::Free, "{body}"),
            _ => assert!(tasks.insert(body["task_id"].as_str().expect("a task").to_owned()), "{status}: {body}"),
        }
    }
    assert_eq!(tasks.len(), FREE, "{tier}-{number}: the limit is exact however the messages come");
    all_sent.wait().await;
    for _ in 0..FREE {
        socket.until("agent_response", PATIENCE * 3).await;
    }
    for frame in &socket.seen {
        if let Some(task) = frame["task_id"].as_str().filter(|task| !task.is_empty()) {
            assert!(tasks.contains(task), "a frame of somebody else: {frame}");
        }
    }
    let answers: HashSet<&str> = socket
        .seen
        .iter()
        .filter(|frame| frame["type"] == "agent_response")
        .filter_map(|f| f["task_id"].as_str())
        .collect();
    assert_eq!(answers.len(), FREE, "one answer a message");
    let mut begun = Vec::new();
    for task in &tasks {
        let task = client.task(task).await;
        begun.push((task["started_at"].as_str().expect("it was begun").to_owned(), tier));
    }
    begun
}

/// Makes a tenant with a key and an agent from the command line.
async fn client(nooble: &Nooble, folder: &Path, tier: Tier, name: &str) -> Client {
    let plan = tier.to_string();
    let tenant = said(nooble, folder, &["tenant-create", name, "--id", name, "--plan", &plan]).await;
    let tenant_id = fact(&tenant, "tenant_id");
    let key = said(nooble, folder, &["key-create", &tenant_id, "--scope", "tenant"]).await;
    let agent = said(nooble, folder, &["agent-create", &tenant_id, "An agent"]).await;
    let (api_key, agent_id) = (fact(&key, "api_key"), fact(&agent, "agent_id"));
    Client {
        http: reqwest::Client::new(),
        address: nooble.ready.http.clone(),
        tier: plan,
        tenant: json!({ "tenant_id": tenant_id, "api_key": api_key, "agent_id": agent_id }),
    }
}

async fn said(nooble: &Nooble, folder: &Path, command: &[&str]) -> String {
    let place = ["--grpc", &nooble.ready.grpc, "--data-dir", folder.to_str().expect("a plain name")];
    let output = Nooble::command(&[command, &place].concat()).output().await.expect("the command runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it prints text")
}

async fn nooble_json(nooble: &Nooble, folder: &Path, command: &[&str]) -> Value {
    serde_json::from_str(&said(nooble, folder, command).await).expect("it prints JSON")
}

fn fact(lines: &str, name: &str) -> String {
    let found = lines.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {name} in {lines}")).to_owned()
}
