//! The REST contract, read by tools that were written by somebody else.

use std::process::Output;

use e2e::{Client, Nooble};
use tokio::process::Command;

use crate::{WORDS, tool};

/// Requests a route, at least; `NOOBLE_FUZZ_EXAMPLES` makes it longer.
const EXAMPLES: &str = "12";

fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn the_contract_is_valid_and_the_edge_keeps_to_it_whatever_is_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    // Nothing is refused for its number, so that everything is looked at.
    let settings = [WORDS, ("WEBSOCKET_CONNECTIONS_ENTERPRISE", "1000")];
    let _nooble = Nooble::up(folder.path(), &["--demo"], &settings).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    let contract = client.http.get(client.url("/openapi.json")).send().await.expect("the edge answers");
    let file = folder.path().join("openapi.json");
    std::fs::write(&file, contract.bytes().await.expect("a document")).expect("the folder can be written");

    let validator =
        Command::new(tool("contract/bin/python")).args(["-m", "openapi_spec_validator"]).arg(&file).output().await;
    let validator = validator.expect("the validator runs");
    assert!(validator.status.success(), "{}", said(&validator));

    let examples = std::env::var_os("NOOBLE_FUZZ_EXAMPLES").unwrap_or_else(|| EXAMPLES.into());
    // What a page token, or the name of something that there is, looks like cannot be said.
    let besides = "positive_data_acceptance";
    let fuzzed = Command::new(tool("contract/bin/schemathesis"))
        .arg("run")
        .arg(&file)
        .args(["--url", &client.url(""), "--header", &format!("Authorization: Bearer {}", client.fact("api_key"))])
        .arg("--max-examples")
        .arg(examples)
        .args(["--checks", "all", "--exclude-checks", besides, "--phases", "examples,coverage,fuzzing,stateful"])
        .args(["--seed", "1", "--no-color"])
        // A stream of events ends when its task does, which is no property of one request.
        .args(["--exclude-path-regex", "/events$"])
        .current_dir(folder.path())
        .output()
        .await
        .expect("schemathesis runs");
    assert!(fuzzed.status.success(), "{}", said(&fuzzed));
}
