//! The clients in other languages: their own tests, against the product.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use e2e::{Client, Nooble};
use testkit::openai::{Mode, OpenAi};
use tokio::process::Command;

use crate::{WORDS, root, tool};

/// Longest time that all tests of a client may take; far above what they take.
const PATIENCE: Duration = Duration::from_mins(3);

/// Runs a command that must succeed; shows what it said if it does not.
async fn succeed(command: &mut Command) {
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(PATIENCE, running).await.expect("it ends in time").expect("it runs");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{command:?}: {}\n{}\n{}", output.status, said[0], said[1]);
}

/// Runs the tests of a client against a product of their own, whose model writes slowly enough to be interrupted.
async fn test(mut command: Command) {
    let model = OpenAi::start().await;
    model.set_parts(20);
    model.set_mode(Mode::Slow(Duration::from_millis(20)));
    let folder = tempfile::tempdir().expect("a folder");
    let url = model.base_url();
    let settings = [WORDS, ("LLM_BASE_URL", url.as_str()), ("LLM_API_KEY", "canary-key-1234")];
    let nooble = Nooble::up(folder.path(), &["--demo"], &settings).await;
    command.env("NOOBLE_URL", format!("http://{}", nooble.ready.http)).env("NOOBLE_SLOW", "1");
    command.env("NOOBLE_DEMO", folder.path().join("demo.json"));
    command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
    for (name, fact) in [("KEY", "api_key"), ("TENANT", "tenant_id"), ("AGENT", "agent_id")] {
        let client = Client::of_demo(folder.path(), "enterprise");
        command.env(format!("NOOBLE_{name}"), client.fact(fact));
    }
    command.env("NOOBLE_TIER", "enterprise");
    succeed(&mut command).await;
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("the client's folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a kind") {
            kind if kind.is_dir() => copy(&entry.path(), &target),
            kind if kind.is_file() => drop(std::fs::copy(entry.path(), target).expect("a copy")),
            _ => {}
        }
    }
}

#[tokio::test]
async fn the_client_in_typescript_keeps_its_promises() {
    let modules = tool("typescript/node_modules");
    // A copy, because compiled code and modules lie beside the sources.
    let folder = tempfile::tempdir().expect("a folder");
    let source = root().join("clients/typescript");
    for name in ["src", "test", "example"] {
        copy(&source.join(name), &folder.path().join(name));
    }
    for name in ["package.json", "tsconfig.json"] {
        std::fs::copy(source.join(name), folder.path().join(name)).expect("a copy");
    }
    std::os::unix::fs::symlink(&modules, folder.path().join("node_modules")).expect("a link");
    succeed(Command::new("node").arg(modules.join("typescript/bin/tsc")).current_dir(folder.path())).await;
    let mut tests = Command::new("sh");
    tests.args(["-c", "node --test dist/test/*.test.js && node dist/example/ask.js"]).current_dir(folder.path());
    test(tests).await;
}

#[tokio::test]
async fn the_client_in_python_keeps_its_promises() {
    let python = tool("python-client/bin/python");
    let mut tests = Command::new("sh");
    tests.args(["-c", "$PYTHON -m unittest && PYTHONPATH=. $PYTHON example/ask.py"]);
    tests.env("PYTHON", python).env("PYTHONDONTWRITEBYTECODE", "1").current_dir(root().join("clients/python"));
    test(tests).await;
}
