//! Starting, and refusing to.

use std::time::Duration;

use e2e::Nooble;
use tokio::net::TcpListener;

use crate::WORDS;

/// Secrets of a setting and of a URL; neither may be said.
const KEY: &str = "canary-identity-key-5f1d";
const SECRET: &str = "canary-redis-5f1d";

#[tokio::test]
async fn every_mistake_is_reported_at_once_and_nothing_is_started() {
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let taken = taken.local_addr().expect("an address").to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a-file");
    std::fs::write(&file, "not a folder").expect("a file");
    let data_dir = file.join("below");
    let arguments = ["up", "--data-dir", data_dir.to_str().expect("plain"), "--http", &taken];
    let rest = ["--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let mut command = Nooble::command(&[&arguments[..], &rest[..]].concat());
    command.env("RATE_LIMIT_FREE_PER_MINUTE", "many").env("TIMEOUT_FREE", "soon");
    let output =
        tokio::time::timeout(Duration::from_secs(20), command.output()).await.expect("it ends").expect("it ran");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for name in ["RATE_LIMIT_FREE_PER_MINUTE", "TIMEOUT_FREE", "--data-dir"] {
        assert!(said.contains(name), "{name} is not reported:\n{said}");
    }
    assert!(!String::from_utf8_lossy(&output.stdout).contains("ready"));
}

#[tokio::test]
async fn a_taken_port_and_an_unparsable_file_are_reported_together() {
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("nooble.toml");
    std::fs::write(&file, "redis_url = [").expect("a file");
    let data_dir = folder.path().join("data");
    let arguments = ["up", "--data-dir", data_dir.to_str().expect("plain"), "--grpc", &address];
    let rest = ["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config", file.to_str().expect("plain")];
    let output = Nooble::command(&[&arguments[..], &rest[..]].concat()).output().await.expect("it ran");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(&address) && said.contains("nooble.toml"), "{said}");
}

#[tokio::test]
async fn a_part_of_the_mesh_needs_the_key_and_the_redis_of_the_others() {
    let output = Nooble::command(&["serve", "query", "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .current_dir(tempfile::tempdir().expect("a folder").path())
        .output()
        .await
        .expect("it ran");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("IDENTITY_KEY") && said.contains("REDIS_URL"), "{said}");
}

#[tokio::test]
async fn access_is_not_left_unvalidated_where_anybody_may_call() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = ["up", "--data-dir", folder.path().to_str().expect("plain"), "--http", "127.0.0.1:0"];
    let output = Nooble::command(&[&place[..], &["--grpc", "0.0.0.0:0", "--admin", "127.0.0.1:0"]].concat())
        .env("ORCHESTRATOR_ENABLE_ACCESS_VALIDATION", "false")
        .output()
        .await
        .expect("it ran");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("ORCHESTRATOR_ENABLE_ACCESS_VALIDATION: can be false only"), "{said}");
    assert!(said.contains("GRPC_ADDRESS is 0.0.0.0:0"), "{said}");
}

#[tokio::test]
async fn it_ends_within_its_grace_and_takes_its_redis_along() {
    let folder = tempfile::tempdir().expect("a folder");
    let nooble = Nooble::up(folder.path(), &[], &[WORDS]).await;
    let socket = folder.path().canonicalize().expect("there").join("redis/redis.sock");
    assert!(std::os::unix::net::UnixStream::connect(&socket).is_ok());
    assert_eq!(nooble.stop(Duration::from_secs(30)).await, Some(0));
    assert!(std::os::unix::net::UnixStream::connect(&socket).is_err(), "the managed Redis has ended");
}

#[tokio::test]
async fn the_managed_redis_ends_also_when_its_parent_was_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let nooble = Nooble::up(folder.path(), &[], &[WORDS]).await;
    let socket = folder.path().canonicalize().expect("there").join("redis/redis.sock");
    nooble.kill().await;
    let gone = || async { std::os::unix::net::UnixStream::connect(&socket).is_err() };
    testkit::eventually(Duration::from_secs(10), gone).await;
}

#[tokio::test]
async fn the_doctor_finds_what_contradicts_the_rules_of_the_queues_and_repairs_it() {
    let redis = testkit::Redis::start().await;
    let url = redis.url();
    let folder = tempfile::tempdir().expect("a folder");
    let doctor = async |more: &[&str]| {
        let place = ["doctor", "--no-measure", "--data-dir", folder.path().to_str().expect("plain")];
        let output =
            Nooble::command(&[&place[..], more].concat()).env("REDIS_URL", &url).output().await.expect("it ran");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (fine, said) = doctor(&[]).await;
    assert!(fine && said.contains("nothing contradicts"), "{said}");
    redis.command(&["HSET", "{nq:execution:0}:inf", "acme", "7"]);
    let (fine, said) = doctor(&[]).await;
    assert!(!fine && said.contains("--repair") && said.contains("execution") && said.contains("acme"), "{said}");
    let (fine, said) = doctor(&["--repair"]).await;
    assert!(fine && said.contains("repaired"), "{said}");
    let (fine, said) = doctor(&[]).await;
    assert!(fine && said.contains("nothing contradicts"), "{said}");
}

#[tokio::test]
async fn a_start_that_fails_says_why_without_what_is_secret() {
    let redis = testkit::Redis::start_on_port(&["--save", "", "--appendonly", "no"]).await;
    redis.command(&["CONFIG", "SET", "requirepass", "another"]);
    let folder = tempfile::tempdir().expect("a folder");
    let place = ["up", "--data-dir", folder.path().to_str().expect("plain"), "--http", "127.0.0.1:0"];
    let ports = ["--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    for url in [
        format!("redis://:{SECRET}@127.0.0.1:{}/0", redis.port()),
        format!("redis://user:{SECRET}@127.0.0.1:1/0"),
        format!("redis:/user:{SECRET}@nowhere"),
        format!("redis-cluster://user:{SECRET}@127.0.0.1:1"),
        format!("http://user:{SECRET}@127.0.0.1:1"),
    ] {
        let mut command = Nooble::command(&[&place[..], &ports[..]].concat());
        command
            .env("REDIS_URL", &url)
            .env("LOG_LEVEL", "debug")
            .env("IDENTITY_KEY", KEY)
            .env("RATE_LIMIT_FREE_PER_DAY", "0");
        let output = command.output().await.expect("it ran");
        let mut command = Nooble::command(&[&place[..], &ports[..]].concat());
        let run = command.env("REDIS_URL", &url).env("LOG_LEVEL", "debug").env(WORDS.0, WORDS.1).output();
        let started = tokio::time::timeout(Duration::from_mins(1), run).await.expect("it ends").expect("it ran");
        for output in [output, started] {
            let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
            assert!(!output.status.success() && !said.is_empty(), "{url}: {said}");
            assert!(!said.contains(SECRET) && !said.contains(KEY), "{url}: {said}");
        }
    }
}
