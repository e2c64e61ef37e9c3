//! The example in Python, as a process of its own.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use action::{Action, CollectionId, ExecutionContext, Status, Tier};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use proto::query::v1::{SearchPassages, SearchPassagesResult};
use tokio::process::{Child, Command};

use crate::mesh::Mesh;
use crate::worker::{task, until};

fn start(mesh: &Mesh, name: &str, pause: &str) -> Child {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python = root.join(".tools/python/bin/python");
    assert!(python.exists(), "{} is missing: `deploy/setup.sh --test` makes it", python.display());
    let mut command = Command::new(python);
    command.arg(root.join("examples/python-worker/worker.py"));
    command.args(["--address", &mesh.grpc.to_string(), "--name", name, "--pause", pause]);
    command.env("NOOBLE_KEY", "nbl_worker_key").env("PYTHONDONTWRITEBYTECODE", "1");
    command.stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}

fn search() -> Action {
    let context = ExecutionContext::collection("docs-1".parse::<CollectionId>().unwrap());
    let payload = SearchPassages { query: "a free tenant".to_owned(), ..SearchPassages::default() };
    Action::root("acme-1".parse().unwrap(), Tier::Enterprise, context, &payload)
}

#[tokio::test]
async fn a_worker_in_python_that_is_killed_is_followed_by_another() {
    let mesh = Mesh::start().await;
    let action = search();
    mesh.kit.queue.submit(action.clone()).await.unwrap();
    let mut first = start(&mesh, "first", "60");
    testkit::eventually(Duration::from_mins(1), || async { task(&mesh, &action).await.status() == Status::Running })
        .await;
    let mut second = start(&mesh, "second", "0");
    first.kill().await.unwrap();
    testkit::eventually(Duration::from_mins(1), || async { task(&mesh, &action).await.status() == Status::Completed })
        .await;
    let ended = until(&mesh, &action, Status::Completed).await;
    assert_eq!(ended.attempts, 2);
    let result = action::Outcome::reply::<SearchPassages>(&ended.result.unwrap()).unwrap();
    let SearchPassagesResult { sources, .. } = result;
    assert_eq!(sources[0].passage, "A free tenant may make ten requests a minute.");

    let id = second.id().unwrap();
    kill(Pid::from_raw(id.cast_signed()), Signal::SIGTERM).unwrap();
    let status = tokio::time::timeout(Duration::from_secs(10), second.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0), "it ends by itself when it is asked to");
}
