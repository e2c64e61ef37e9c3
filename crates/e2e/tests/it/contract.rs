//! The gRPC port as backend teams meet it: with `buf curl`.

use std::process::Output;

use e2e::{Client, Nooble};
use serde_json::Value;
use tokio::process::Command;

use crate::{QUESTION, WORDS};

async fn buf_curl(arguments: &[&str]) -> Output {
    let mut command = Command::new("buf");
    command.args(["curl", "--protocol", "grpc", "--http2-prior-knowledge"]).args(arguments);
    command.output().await.expect("buf is installed: `make test` installs it")
}

fn json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}

#[tokio::test]
async fn a_backend_team_finds_and_calls_the_mesh_with_a_grpc_client() {
    let folder = tempfile::tempdir().expect("a folder");
    let nooble = Nooble::up(folder.path(), &["--demo"], &[WORDS]).await;
    let base = format!("http://{}", nooble.ready.grpc);
    let client = Client::of_demo(folder.path(), "enterprise");
    let key = format!("authorization: Bearer {}", client.fact("api_key"));

    let methods = String::from_utf8(buf_curl(&["--list-methods", &base]).await.stdout).expect("text");
    for method in [
        "nooble.orchestrator.v1.OrchestratorService/SendMessage",
        "nooble.task.v1.TaskService/WatchTask",
        "nooble.query.v1.QueryService/SearchPassages",
        "grpc.health.v1.Health/Check",
    ] {
        assert!(methods.contains(method), "{method} is not listed:\n{methods}");
    }
    let health = format!("{base}/grpc.health.v1.Health/Check");
    for service in ["", "nooble.query.v1.QueryService", "nooble.orchestrator.v1.OrchestratorService"] {
        let request = format!("{{\"service\": \"{service}\"}}");
        assert_eq!(json(&buf_curl(&["-d", &request, &health]).await)["status"], "SERVING", "{service}");
    }

    let method = format!("{base}/nooble.orchestrator.v1.OrchestratorService/SendMessage");
    let message = format!(
        "{{\"agent_id\": \"{}\", \"session_id\": \"grpc-1\", \"run\": {{\"message\": \"{QUESTION}\"}}}}",
        client.fact("agent_id")
    );
    let sent = json(&buf_curl(&["-H", &key, "-d", &message, &method]).await);
    let task_id = sent["task"]["taskId"].as_str().expect("a task").to_owned();
    let watch = format!("{base}/nooble.task.v1.TaskService/WatchTask");
    let request = format!("{{\"task_id\": \"{task_id}\"}}");
    let watched = String::from_utf8(buf_curl(&["-H", &key, "-d", &request, &watch]).await.stdout).expect("text");
    assert!(watched.contains("agentResponse") && watched.contains("STATUS_COMPLETED"), "{watched}");

    let refused = buf_curl(&["-d", &message, &method]).await;
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && error.contains("unauthenticated"), "{error}");
    let forged = buf_curl(&["-H", "x-nooble-identity: e30.AAAA", "-d", &message, &method]).await;
    let error = String::from_utf8_lossy(&forged.stderr).into_owned();
    // buf shows details encoded: this is the ErrorInfo with reason IDENTITY_FORGED of domain nooble.
    let told_apart = error.contains("unauthenticated") && error.contains("Cg9JREVOVElUWV9GT1JHRUQSBm5vb2JsZQ");
    assert!(!forged.status.success() && told_apart, "{error}");
    let unknown = message.replace(client.fact("agent_id"), "no-such-agent");
    let error = String::from_utf8_lossy(&buf_curl(&["-H", &key, "-d", &unknown, &method]).await.stderr).into_owned();
    assert!(error.contains("permission_denied"), "{error}");
}
