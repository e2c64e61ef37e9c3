//! What a client may say on a socket.

use serde_json::{Map, Value};

use super::Position;
use super::frames::ProtocolError;
use crate::credential::Credential;

/// A frame of the client, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClientFrame {
    /// Asks for a `pong`.
    Ping,
    /// Answers a `ping`; nothing to do.
    Pong,
    /// Proves who is there.
    Auth(Credential),
    /// Asks for everything after a position.
    Resume(Position),
    /// Says that everything up to a position was dealt with; without an epoch, in the present one.
    Ack {
        /// Numbering that `seq` belongs to; the present one when it is absent.
        epoch: Option<String>,
        /// Last position that was dealt with.
        seq: u64,
    },
    /// Sends a message to an agent.
    Send(Asked),
    /// Gives up a task.
    Cancel(Asked),
    /// Asks for the frames of tasks that other sessions show.
    Subscribe(Asked),
    /// Asks for them no longer.
    Unsubscribe(Asked),
}

/// Something that is answered, and its fields, which are not looked at yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Stands in the answer again.
    pub(crate) request_id: Option<String>,
    /// Everything else in `data`.
    pub(crate) fields: Map<String, Value>,
}

/// The types that are understood.
pub(crate) const KINDS: [&str; 9] =
    ["ping", "pong", "auth", "resume", "ack", "send", "cancel", "subscribe", "unsubscribe"];

/// Most characters of a client's name for what it asks.
const MAX_REQUEST_ID: usize = 64;

impl ClientFrame {
    /// Reads a text frame.
    pub(crate) fn parse(frame: &str) -> Result<Self, ProtocolError> {
        let value: Value = serde_json::from_str(frame).map_err(|error| {
            let place = format!("line {} column {}", error.line(), error.column());
            ProtocolError::new("INVALID_JSON", format!("the frame is not valid JSON, at {place}"))
        })?;
        let kind = value
            .get("type")
            .and_then(Value::as_str)
            .ok_or_else(|| ProtocolError::new("INVALID_JSON", "a frame is a JSON object with a `type`"))?
            .to_owned();
        match kind.as_str() {
            "ping" => Ok(Self::Ping),
            "pong" => Ok(Self::Pong),
            "auth" => Self::auth(&value),
            "resume" => Ok(Self::Resume(Position { epoch: text_of(&value, "epoch")?, seq: number(&value, "seq")? })),
            "ack" => {
                let epoch = field(&value, "epoch");
                if epoch.is_some_and(|epoch| !epoch.is_string()) {
                    return Err(ProtocolError::new("INVALID_FIELD", "`epoch` must be a text"));
                }
                Ok(Self::Ack { epoch: epoch.and_then(text), seq: number(&value, "seq")? })
            }
            "send" => asked(value).map(Self::Send),
            "cancel" => asked(value).map(Self::Cancel),
            "subscribe" => asked(value).map(Self::Subscribe),
            "unsubscribe" => asked(value).map(Self::Unsubscribe),
            other => Err(ProtocolError::new("UNSUPPORTED_TYPE", unsupported(other))),
        }
    }

    fn auth(value: &Value) -> Result<Self, ProtocolError> {
        let token = text_of(value, "token")?;
        Credential::new(&token).map(Self::Auth).map_err(|failure| ProtocolError::from(&failure))
    }
}

/// Takes `data`, or what stands beside `type` where there is none.
fn asked(mut frame: Value) -> Result<Asked, ProtocolError> {
    let data = frame.get_mut("data").map(Value::take).filter(|data| !data.is_null());
    let beside = frame.get_mut("request_id").map(Value::take);
    let Value::Object(mut fields) = data.unwrap_or(frame) else {
        return Err(ProtocolError::new("INVALID_FIELD", "`data` must be an object"));
    };
    let within = fields.remove("request_id").filter(|id| !id.is_null());
    let request_id = match within.or(beside) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if is_plain(&text) => Some(text),
        Some(_) => {
            let text = format!("`request_id` must be 1 to {MAX_REQUEST_ID} characters out of A-Z a-z 0-9 . _ -");
            return Err(ProtocolError::new("INVALID_FIELD", text));
        }
    };
    Ok(Asked { request_id, fields })
}

/// It is echoed, so it must be harmless wherever it is shown.
fn is_plain(text: &str) -> bool {
    (1..=MAX_REQUEST_ID).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Fields stand beside `type`, or in `data` as in the frames of the server.
fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.get(name).or_else(|| value.get("data")?.get(name)).filter(|found| !found.is_null())
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn text_of(value: &Value, name: &str) -> Result<String, ProtocolError> {
    field(value, name)
        .and_then(text)
        .ok_or_else(|| ProtocolError::new("INVALID_FIELD", format!("`{name}` must be a text that is not empty")))
}

fn number(value: &Value, name: &str) -> Result<u64, ProtocolError> {
    field(value, name)
        .and_then(Value::as_u64)
        .ok_or_else(|| ProtocolError::new("INVALID_FIELD", format!("`{name}` must be a whole number, 0 or greater")))
}

fn unsupported(kind: &str) -> String {
    let name: String = kind.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(32).collect();
    format!("frames of type `{name}` are not supported; {} are", KINDS.join(", "))
}
