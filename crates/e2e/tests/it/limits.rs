//! What the command line says about the limits of tenants.

use std::path::Path;
use std::process::Output;

use e2e::{Client, Nooble};
use serde_json::{Value, json};
use testkit::openai::{Mode, OpenAi};

use crate::{PATIENCE, QUESTION, WORDS};

async fn limits(nooble: &Nooble, folder: &Path, arguments: &[&str]) -> Output {
    let place = ["--grpc", &nooble.ready.grpc, "--data-dir", folder.to_str().expect("a plain name")];
    let command = [&["limits"], arguments, &place].concat();
    Nooble::command(&command).output().await.expect("the command runs")
}

async fn shown(nooble: &Nooble, folder: &Path, arguments: &[&str]) -> String {
    let output = limits(nooble, folder, arguments).await;
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it prints text")
}

/// How much of its day a tenant has used.
async fn used(nooble: &Nooble, folder: &Path, tenant: &str) -> u64 {
    let told: Value = serde_json::from_str(&shown(nooble, folder, &[tenant, "--json"]).await).expect("JSON");
    let day = told["limits"].as_array().and_then(|limits| limits.iter().find(|limit| limit["name"] == "day"));
    day.and_then(|day| day["used"].as_u64()).expect("a day")
}

#[tokio::test]
async fn an_operator_sees_the_limits_of_every_tenant_and_a_tenant_its_own_and_looking_uses_nothing_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let nooble = Nooble::up(folder.path(), &["--demo"], &[WORDS]).await;
    let free = Client::of_demo(folder.path(), "free");
    let tenant = free.fact("tenant_id");
    let used = used(&nooble, folder.path(), tenant).await + 2;
    free.send("session-1", QUESTION).await;
    free.send("session-1", QUESTION).await;
    for arguments in
        [[tenant, "--json"].as_slice(), &["--tier", "free", "--json"], &[tenant, "--tier", "free", "--json"]]
    {
        let told: Value = serde_json::from_str(&shown(&nooble, folder.path(), arguments).await).expect("JSON");
        assert_eq!((&told["tenant_id"], &told["tier"]), (&tenant.into(), &"free".into()), "{told}");
        let limits = told["limits"].as_array().expect("a list");
        let day = limits.iter().find(|limit| limit["name"] == "day").expect("a day");
        let numbers = ["limit", "used", "remaining"].map(|name| day[name].as_u64());
        assert_eq!(numbers, [Some(100), Some(used), Some(100 - used)], "{told}");
        let reset = day["resets_in_seconds"].as_f64().expect("seconds");
        assert!((0.0..=86_400.0).contains(&reset), "{told}");
        let tasks = limits.iter().find(|limit| limit["name"] == "tasks").expect("tasks");
        assert!(tasks["limit"].as_u64() > Some(0) && tasks["resets_in_seconds"].is_null(), "{told}");
    }
    let table = shown(&nooble, folder.path(), &[tenant]).await;
    assert!(table.starts_with(&format!("{tenant} (free)\n")), "{table}");
    let day = table.lines().find(|line| line.starts_with("day ")).expect("a line");
    let words: Vec<&str> = day.split_whitespace().collect();
    assert_eq!(words[..4], ["day", "100", &used.to_string(), &(100 - used).to_string()], "{table}");
    let unlimited = Client::of_demo(folder.path(), "enterprise");
    let unlimited = shown(&nooble, folder.path(), &[unlimited.fact("tenant_id")]).await;
    assert!(unlimited.contains("(enterprise)"), "{unlimited}");
}

#[tokio::test]
async fn a_tenant_is_not_shown_the_limits_of_another_and_an_unknown_one_has_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let nooble = Nooble::up(folder.path(), &["--demo"], &[WORDS]).await;
    let other = Client::of_demo(folder.path(), "advance");
    let foreign = limits(&nooble, folder.path(), &[other.fact("tenant_id"), "--tier", "free"]).await;
    let unknown = limits(&nooble, folder.path(), &["nobody-1"]).await;
    for (output, expected) in [(foreign, "not the tenant that the credential belongs to"), (unknown, "tenant")] {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && output.stdout.is_empty() && said.contains(expected), "{said}");
    }
}

/// Returns what a tenant has used, by policy.
async fn usage(client: &Client) -> Value {
    client.get("/api/v1/rate-limit/status").await.body["usage"].clone()
}

#[tokio::test]
async fn tokens_are_reserved_while_a_task_runs_and_settled_once_to_what_it_took() {
    let provider = OpenAi::start().await;
    provider.set_mode(Mode::Gated);
    let folder = tempfile::tempdir().expect("a folder");
    let url = provider.base_url();
    let _nooble = Nooble::up(folder.path(), &["--demo"], &[WORDS, ("LLM_BASE_URL", &url)]).await;
    let client = Client::of_demo(folder.path(), "free");
    let day = |usage: &Value| usage["tokens-day"].as_u64().expect("a number");
    let none_goes_on = || async { usage(&client).await["tasks"] == 0 };

    // Of one whose client goes away nobody knows what the model took: what was reserved stays charged.
    let before = day(&usage(&client).await);
    let messages = json!([{ "role": "user", "content": QUESTION }]);
    let asked = json!({ "model": format!("agent:{}", client.fact("agent_id")), "stream": true, "messages": messages });
    let stream = client.http.post(client.url("/v1/chat/completions")).bearer_auth(client.fact("api_key")).json(&asked);
    let stream = stream.send().await.expect("the edge answers");
    assert_eq!(stream.status(), 200);
    testkit::eventually(PATIENCE, || async { !provider.received().is_empty() }).await;
    let running = usage(&client).await;
    let reserved = day(&running) - before;
    assert!(reserved > 0 && running["tasks"] == 1, "{running}");
    drop(stream);
    testkit::eventually(PATIENCE, none_goes_on).await;
    assert_eq!(day(&usage(&client).await), before + reserved);

    let before = before + reserved;
    let sent = client.send("session-1", QUESTION).await;
    assert!(day(&usage(&client).await) > before, "it is reserved while it runs");
    provider.release(10_000);
    let id = sent["task_id"].as_str().expect("an id");
    testkit::eventually(PATIENCE, || async { client.task(id).await["status"] == "completed" }).await;
    let took = client.task(id).await["tokens_used"]["total"].as_u64().expect("a number");
    testkit::eventually(PATIENCE, none_goes_on).await;
    assert_eq!(day(&usage(&client).await), before + took);
}

#[tokio::test]
async fn a_budget_of_tokens_and_an_agents_own_limit_refuse_and_name_themselves() {
    let folder = tempfile::tempdir().expect("a folder");
    let _nooble = Nooble::up(folder.path(), &["--demo"], &[WORDS, ("TOKENS_FREE_PER_DAY", "1")]).await;
    let poor = Client::of_demo(folder.path(), "free");
    // A budget that is smaller than what one message may take lets one in, or nobody could ever ask anything.
    poor.send("session-1", QUESTION).await;
    let refused = e2e::Answer::of(poor.message("session-1", QUESTION)).await;
    assert_eq!((refused.status, &refused.body["window"]), (429, &json!("tokens-day")), "{}", refused.body);
    assert_eq!(usage(&poor).await["day"], 1, "what is refused costs nothing");

    let client = Client::of_demo(folder.path(), "professional");
    let agent =
        json!({ "agent_id": "slow-1", "name": "Slow", "system_prompt": "You help.", "limits": { "per_minute": 1 } });
    let made = client.ask(reqwest::Method::POST, "/api/v1/agents", Some(agent)).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let send = || e2e::Answer::of(client.message_with("X-Agent-ID", Some("slow-1")));
    let mut last = send().await;
    // A minute may begin anew on the way.
    for _ in 0..2 {
        if last.status == 200 {
            last = send().await;
        }
    }
    assert_eq!((last.status, &last.body["window"]), (429, &json!("agent-minute")), "{}", last.body);
}
