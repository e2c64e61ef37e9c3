//! `kill -9`.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::{count, insert, open};

#[tokio::test]
async fn what_was_committed_survives_a_killed_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "crash::writes_until_it_is_killed", "--nocapture"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    let committed = lines.map_while(Result::ok).filter(|line| line.starts_with("committed")).take(30).count();
    writer.kill().unwrap();
    writer.wait().unwrap();

    let database = open(folder.path()).await;
    let tenant = "tenant-a".parse().unwrap();
    let kept = count(&database.tenant(&tenant)).await;
    assert_eq!(committed, 30);
    assert!(kept >= 30, "{kept} of 30 commits were kept");
}

#[tokio::test]
#[ignore = "the child of the test above"]
async fn writes_until_it_is_killed() {
    let database = open(std::path::Path::new(".")).await;
    let tenant = "tenant-a".parse().unwrap();
    for number in 0.. {
        insert(&database.tenant(&tenant), &format!("note-{number}"), number).await.unwrap();
        println!("\ncommitted {number}");
    }
}
