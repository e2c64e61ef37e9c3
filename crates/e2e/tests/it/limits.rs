//! What the command line says about the limits of tenants.

use std::path::Path;
use std::process::Output;

use e2e::{Client, Nooble};
use serde_json::Value;

use crate::{QUESTION, WORDS};

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
