//! What is served about the WebSocket, held against what it says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use action::TaskId;
use proto::task::v1::frame::Body;
use proto::task::v1::{TaskError, TaskUpdate, TypingIndicator};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Socket, answer};
use crate::mesh::Mesh;
use crate::socket::{delta, response};

/// The schemas of the frames, by whoever says them.
struct Schemas(Value);

impl Schemas {
    async fn served(mesh: &Mesh) -> Self {
        let served = answer(mesh.request(Method::GET, "/asyncapi.json")).await;
        assert_eq!(served.status, 200);
        assert!(served.header("content-type").starts_with("application/vnd.aai.asyncapi+json"));
        let mut document = served.body;
        close(&mut document["components"]["schemas"]);
        Self(document)
    }

    /// Checks a frame against the schema of one of the messages that are called as its type says.
    #[track_caller]
    fn check(&self, frame: &Value) {
        let messages = self.0["components"]["messages"].as_object().unwrap().values();
        let payloads: Vec<&Value> =
            messages.filter(|message| message["name"] == frame["type"]).map(|message| &message["payload"]).collect();
        assert!(!payloads.is_empty(), "no message is called so: {frame}");
        let problems: Vec<String> = payloads.iter().filter_map(|payload| self.problems(payload, frame)).collect();
        assert_eq!(problems.len() + 1, payloads.len(), "exactly one fits: {problems:#?}\n{frame:#}");
    }

    fn problems(&self, payload: &Value, frame: &Value) -> Option<String> {
        let schema = json!({ "allOf": [payload], "components": self.0["components"] });
        let schema = jsonschema::draft7::options().should_validate_formats(true).build(&schema).unwrap();
        let problems: Vec<String> =
            schema.iter_errors(frame).map(|error| format!("{}: {error}", error.instance_path())).collect();
        (!problems.is_empty()).then(|| format!("{payload}: {problems:?}"))
    }
}

/// The document lets later versions say more; here nothing may be said that it does not know.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("properties").is_some_and(Value::is_object) && fields.contains_key("type") {
                fields.entry("additionalProperties").or_insert(false.into());
            }
            fields.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

#[tokio::test]
async fn every_golden_frame_fits_its_schema() {
    let mesh = Mesh::start().await;
    let schemas = Schemas::served(&mesh).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut checked = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let frame: Value = serde_json::from_str(&text.replace("<now>", "2026-01-01T00:00:00Z")).unwrap();
        if frame.get("type").is_some() && frame.get("data").is_some() {
            schemas.check(&frame);
            checked += 1;
        }
    }
    assert!(checked >= 19, "{checked}");
}

/// Says something, which the schemas know, too.
async fn say(schemas: &Schemas, socket: &mut Socket, frame: Value) {
    schemas.check(&frame);
    socket.say(frame).await;
}

#[tokio::test]
async fn the_frames_of_a_session_fit_their_schemas() {
    let mesh = Mesh::start().await;
    let schemas = Schemas::served(&mesh).await;
    let mut socket = Socket::upgrade(&mesh, "/ws/session-1?tenant_id=pro-1&tier=professional", &[]).await.unwrap();
    say(&schemas, &mut socket, json!({ "type": "ping" })).await;
    schemas.check(&socket.expect("error").await);
    say(&schemas, &mut socket, json!({ "type": "auth", "data": { "token": "nbl_pro-1_key" } })).await;
    schemas.check(&socket.expect("connection_ack").await);
    let send = json!({ "agent_id": "agent-pro-1", "message": "m", "user_info": { "n": 1 }, "request_id": "r-1" });
    say(&schemas, &mut socket, json!({ "type": "send", "data": send })).await;
    let accepted = socket.expect("task_update").await;
    schemas.check(&accepted);
    let task = accepted["task_id"].as_str().unwrap().to_owned();
    for body in [
        Body::TypingIndicator(TypingIndicator { agent_id: "agent-pro-1".to_owned() }),
        Body::TaskUpdate(TaskUpdate { status: 2, percentage: -1.0, ..TaskUpdate::default() }),
        delta(0, "Hel"),
        response("Hello"),
        Body::Error(TaskError { status: 4, ..TaskError::default() }),
    ] {
        mesh.orchestrator.append("pro-1", "session-1", &task, body);
        let frame = socket.hear().await.unwrap();
        schemas.check(&frame);
        assert!(frame["epoch"].is_string() && frame["seq"].is_u64(), "a frame of the log has its position: {frame}");
    }
    for frame in [
        json!({ "type": "ping" }),
        json!({ "type": "ack", "data": { "seq": 1 } }),
        json!({ "type": "pong" }),
        json!({ "type": "subscribe", "data": { "tasks": [task], "request_id": "s-1" } }),
        json!({ "type": "unsubscribe", "data": { "tasks": [task] } }),
        json!({ "type": "subscribe", "data": { "tasks": [TaskId::new().to_string()] } }),
        json!({ "type": "cancel", "data": { "task_id": task, "reason": "enough" } }),
        json!({ "type": "send", "data": { "agent_id": "agent-other-1", "message": "m" } }),
    ] {
        let silent = frame["type"] == "ack" || frame["type"] == "pong";
        say(&schemas, &mut socket, frame).await;
        if !silent {
            schemas.check(&socket.hear().await.unwrap());
        }
    }
    say(&schemas, &mut socket, json!({ "type": "resume", "data": { "epoch": "e1", "seq": 4 } })).await;
    schemas.check(&socket.expect("error").await);
    schemas.check(&socket.expect("resumed").await);
}

const PARSE: &str = r"
const { Parser } = require('@asyncapi/parser');
new Parser().parse(require('fs').readFileSync(0, 'utf8')).then(({ document, diagnostics }) => {
  const problems = diagnostics.filter(({ severity }) => severity <= 1);
  problems.forEach(({ code, message, path }) => console.error(`${path.join('.')}: ${code}: ${message}`));
  process.exit(document && problems.length === 0 ? 0 : 1);
});
";

#[tokio::test]
async fn the_parser_of_asyncapi_accepts_the_document() {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let modules = root.join(".tools/npm/node_modules");
    assert!(modules.join("@asyncapi/parser").exists(), "`make test` installs the parser of AsyncAPI");
    let document = std::fs::File::open(root.join("docs/asyncapi.yaml")).unwrap();
    let mut node = tokio::process::Command::new("node");
    node.args(["-e", PARSE]).env("NODE_PATH", modules).stdin(document).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_mins(1), node.output()).await.expect("in time").unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
