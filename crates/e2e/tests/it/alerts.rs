//! The alerts of `deploy/prometheus`: judged by Prometheus' own tool, about metrics that there really are.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Output;

use e2e::{Answer, Client, Nooble};
use tokio::process::Command;

use crate::{PATIENCE, WORDS, root};

fn folder() -> PathBuf {
    root().join("deploy/prometheus")
}

fn rules() -> String {
    std::fs::read_to_string(folder().join("alerts.yaml")).expect("the alerts are there")
}

/// Runs `promtool` in a folder.
async fn promtool(arguments: &[&str], folder: &Path) -> Output {
    let mut command = Command::new("promtool");
    let output = command.args(arguments).current_dir(folder).output().await;
    output.expect("promtool is missing: `deploy/setup.sh --test` puts it into .tools/bin, which must be in PATH")
}

#[tokio::test]
async fn every_alert_fires_when_it_should_and_none_while_all_is_well() {
    for arguments in [["check", "rules", "alerts.yaml"], ["test", "rules", "alerts.test.yaml"]] {
        let output = promtool(&arguments, &folder()).await;
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(output.status.success(), "{said}");
    }
}

#[tokio::test]
async fn an_alert_that_is_broken_is_noticed() {
    let copy = tempfile::tempdir().expect("a folder");
    std::fs::copy(folder().join("alerts.test.yaml"), copy.path().join("alerts.test.yaml")).expect("a copy");
    let rules = rules();
    for (right, wrong) in [
        // One that never fires, and one that always does.
        ("(nooble_quota_degraded) > 0", "(nooble_quota_degraded) > 1000"),
        ("(nooble_quota_degraded) > 0", "(nooble_quota_degraded) >= 0"),
        ("(nooble_quota_degraded)", "(nooble_quota_degradation)"),
        ("for: 1m", "for: 1h"),
        ("for: 1m", "for: 0m"),
        ("unlimited|refused_local", "nothing"),
        ("{outcome=\"unavailable\"}[5m])) > 0", "{outcome=\"unavailable\"}[5m])) > 1000"),
        ("{outcome=\"unavailable\"}[5m])) > 0", "{outcome=\"unavailable\"}[5m])) >= 0"),
        ("{outcome=\"unavailable\"}", ""),
        ("> 0.5", "> 1000"),
        ("> 0.5", "> 0.01"),
        ("> 0.5", "> 0.05"),
    ] {
        assert!(rules.contains(right), "nothing to break: {right}");
        std::fs::write(copy.path().join("alerts.yaml"), rules.replacen(right, wrong, 1)).expect("written");
        let output = promtool(&["test", "rules", "alerts.test.yaml"], copy.path()).await;
        assert!(!output.status.success(), "`{wrong}` instead of `{right}` was not noticed");
    }
}

#[tokio::test]
async fn every_metric_of_the_alerts_is_exposed_by_a_gateway_that_meets_what_they_tell_of() {
    let mut redis = testkit::Redis::start_durable().await;
    let folder = tempfile::tempdir().expect("a folder");
    let url = redis.url();
    let settings =
        [WORDS, ("REDIS_URL", url.as_str()), ("RATE_LIMIT_FREE_PER_DAY", "5"), ("RATE_LIMIT_DEGRADED_ADVANCE", "deny")];
    let front = Nooble::up(folder.path(), &["--demo"], &settings).await;
    let gateway = front.beside(folder.path(), &["gateway"], &settings).await;
    let of = |tier| Client { address: gateway.ready.http.clone(), ..Client::of_demo(folder.path(), tier) };
    let (free, advance) = (of("free"), of("advance"));
    let metrics = || async {
        let metrics = free.http.get(format!("http://{}/metrics", gateway.ready.admin));
        metrics.send().await.expect("the admin port answers").text().await.expect("a text")
    };
    // As many as a day has: the last ones leave little.
    for _ in 0..5 {
        free.send("session-1", "hello").await;
    }
    assert!(!metrics().await.contains("nooble_quota_degraded 1"));
    redis.kill();
    for client in [&free, &advance] {
        assert!([429, 503].contains(&Answer::of(client.message("session-1", "hello")).await.status), "{}", client.tier);
    }
    testkit::eventually(PATIENCE, || async {
        let _asked = Answer::of(advance.message("session-1", "hello")).await;
        metrics().await.contains("\nnooble_quota_degraded 1\n")
    })
    .await;

    let (rules, shown) = (rules(), metrics().await);
    let names: BTreeSet<&str> = rules
        .split(|letter: char| !letter.is_ascii_lowercase() && letter != '_')
        .filter(|word| word.starts_with("nooble_"))
        .collect();
    assert!(names.len() >= 3, "{names:?}");
    for name in names {
        assert!(shown.contains(&format!("\n# TYPE {name} ")), "no {name} in\n{shown}");
    }
    let labels: BTreeSet<&str> =
        rules.split('{').filter_map(|rest| rest.split_once('}').map(|(label, _)| label)).collect();
    for label in labels.into_iter().filter(|label| label.contains("=\"")) {
        assert!(shown.contains(label), "nothing has {label} in\n{shown}");
    }

    redis.restart().await;
    testkit::eventually(PATIENCE, || async {
        let _asked = Answer::of(advance.message("session-1", "hello")).await;
        metrics().await.contains("\nnooble_quota_degraded 0\n")
    })
    .await;
}
