//! The frames of a socket: the mission's envelope with `epoch` and `seq` out, a handful of small requests in.

use std::collections::{BTreeMap, HashMap};

use action::{SessionId, TenantId, Tier, time};
use proto::action::v1::{ErrorDetail, Status};
use proto::task::v1 as wire;
use proto::task::v1::frame::Body;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Position;
use crate::view::{AgentInfo, Event, Source, Tokens, filled, is_final, now, status_word, tier_word};

/// What a frame of the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// The session is followed.
    ConnectionAck,
    /// A piece of an answer.
    AgentDelta,
    /// The whole answer.
    AgentResponse,
    /// A change in the state of a task.
    TaskUpdate,
    /// An agent began to work.
    TypingIndicator,
    /// A task ended without an answer, or a client was not understood or is refused something.
    Error,
    /// Frames are gone, or may be.
    Gap,
    /// Everything that was missed has been sent.
    Resumed,
    /// Answers a ping.
    Pong,
    /// What the socket is subscribed to.
    Subscribed,
}

impl Kind {
    /// Every kind there is.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 10] = [
        Self::ConnectionAck,
        Self::AgentDelta,
        Self::AgentResponse,
        Self::TaskUpdate,
        Self::TypingIndicator,
        Self::Error,
        Self::Gap,
        Self::Resumed,
        Self::Pong,
        Self::Subscribed,
    ];

    /// Returns the word that clients read.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::ConnectionAck => "connection_ack",
            Self::AgentDelta => "agent_delta",
            Self::AgentResponse => "agent_response",
            Self::TaskUpdate => "task_update",
            Self::TypingIndicator => "typing_indicator",
            Self::Error => "error",
            Self::Gap => "gap",
            Self::Resumed => "resumed",
            Self::Pong => "pong",
            Self::Subscribed => "subscribed",
        }
    }
}

/// What every frame says besides its data.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Envelope {
    #[serde(rename = "type")]
    kind: Kind,
    data: Data,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<String>,
    tenant_tier: String,
    metadata: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
}

/// What a frame says. Pieces of an answer are most of all frames, and take no tree of values.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum Data {
    Delta { task_id: String, attempt: u32, index: u32, text: String },
    Other(Value),
}

/// About as many bytes as a frame has that carries a piece of an answer.
const USUAL: usize = 512;

impl Envelope {
    /// Names the task that the frame is about.
    #[must_use]
    pub(super) fn of_task(self, task_id: &str) -> Self {
        Self { task_id: Some(task_id.to_owned()), ..self }
    }

    /// Returns the frame's type.
    pub(crate) fn kind(&self) -> &'static str {
        self.kind.as_str()
    }

    /// Says which request of the client this answers.
    #[must_use]
    pub(crate) fn about(mut self, request_id: Option<String>) -> Self {
        if let Some(id) = request_id {
            self.metadata.insert("request_id".to_owned(), id.into());
        }
        self
    }

    /// Marks a frame of another log than the one that the socket follows: its position means nothing there.
    #[must_use]
    pub(crate) fn subscribed(mut self, to: &'static str) -> Self {
        self.metadata.insert("subscription".to_owned(), to.into());
        Self { epoch: None, seq: None, ..self }
    }

    /// Returns where the frame stands in its log, `epoch:seq`.
    pub(crate) fn position(&self) -> Option<String> {
        Some(format!("{}:{}", self.epoch.as_ref()?, self.seq?))
    }

    /// Writes the frame as one line of JSON.
    pub(crate) fn to_json(&self) -> String {
        let mut text = Vec::with_capacity(USUAL);
        serde_json::to_writer(&mut text, self).expect("a frame is made of strings and numbers");
        String::from_utf8(text).expect("JSON is UTF-8")
    }
}

/// Whose socket a frame goes to.
#[derive(Clone, Debug)]
pub(crate) struct Addressee {
    /// Tenant, proved.
    pub(crate) tenant: TenantId,
    /// The tenant's tier.
    pub(crate) tier: Tier,
    /// Session that the socket follows.
    pub(crate) session: SessionId,
}

impl Addressee {
    /// Makes a frame that belongs to no log.
    pub(super) fn envelope(&self, kind: Kind, data: Value) -> Envelope {
        Envelope {
            kind,
            data: Data::Other(data),
            timestamp: now(),
            task_id: None,
            session_id: Some(self.session.to_string()),
            tenant_id: Some(self.tenant.to_string()),
            tenant_tier: self.tier.to_string(),
            metadata: Map::new(),
            epoch: None,
            seq: None,
        }
    }

    /// Greets a socket; frames after `position` follow.
    pub(crate) fn connection_ack(&self, connection_id: &str, position: &Position) -> Envelope {
        let data = json!({
            "connection_id": connection_id,
            "session_id": self.session.as_str(),
            "tenant_id": self.tenant.as_str(),
            "tenant_tier": self.tier.as_str(),
            "message": "connected",
            "server_time": now(),
            "epoch": position.epoch,
            "seq": position.seq,
        });
        let envelope = self.envelope(Kind::ConnectionAck, data);
        Envelope { epoch: Some(position.epoch.clone()), seq: Some(position.seq), ..envelope }
    }

    /// Answers a ping.
    pub(crate) fn pong(&self) -> Envelope {
        self.envelope(Kind::Pong, json!({ "message": "pong", "server_time": now() }))
    }

    /// Tells that frames are gone for good, or may be; those after its position follow.
    pub(crate) fn gap(&self, gap: &proto::orchestrator::v1::Gap) -> Envelope {
        let missed = (gap.missed_from, gap.missed_to);
        let data = gap_data(missed, &gap.reason, (&gap.epoch, gap.after));
        Envelope { epoch: Some(gap.epoch.clone()), seq: Some(gap.after), ..self.envelope(Kind::Gap, data) }
    }

    /// Tells that everything asked for by a resume was sent.
    pub(crate) fn resumed(&self, resumed: &proto::orchestrator::v1::Resumed) -> Envelope {
        let data = json!({ "from": resumed.from, "to": resumed.to, "epoch": resumed.epoch });
        Envelope { epoch: Some(resumed.epoch.clone()), ..self.envelope(Kind::Resumed, data) }
    }

    /// Tells that a frame of the client was not understood, or why the socket is about to be closed.
    pub(crate) fn protocol_error(&self, error: &ProtocolError) -> Envelope {
        self.envelope(Kind::Error, error.data())
    }
}

/// Says which frames are gone, and where it goes on; a position of 0 is one that nobody knows.
pub(crate) fn gap_data(missed: (u64, u64), reason: &str, (epoch, seq): (&str, u64)) -> Value {
    let known = |position: u64| (position > 0).then_some(position);
    json!({ "missed_from": known(missed.0), "missed_to": known(missed.1), "reason": reason, "epoch": epoch, "seq": seq })
}

/// Something about the conversation on the socket itself, as opposed to a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProtocolError {
    /// Stable machine name.
    pub(crate) code: &'static str,
    /// One sentence for a person.
    pub(crate) text: String,
}

impl ProtocolError {
    pub(crate) fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// Returns the data of the `error` frame, for sockets that nobody has proved to own yet, too.
    pub(crate) fn data(&self) -> Value {
        json!({ "error": self.text, "error_type": "ProtocolError", "error_code": self.code, "timestamp": now() })
    }

    /// Writes the frame for a socket whose owner is not proved.
    pub(crate) fn anonymous(&self) -> String {
        json!({ "type": Kind::Error, "data": self.data(), "timestamp": now(), "metadata": {} }).to_string()
    }
}

impl From<&fault::Failure> for ProtocolError {
    fn from(failure: &fault::Failure) -> Self {
        Self::new(failure.reason().id, failure.detail())
    }
}

/// Tells whether a frame is the last one about its task.
pub(crate) fn ends_task(frame: &wire::Frame) -> bool {
    match &frame.body {
        Some(Body::AgentResponse(_) | Body::Error(_)) => true,
        Some(Body::TaskUpdate(update)) => is_final(update.status),
        _ => false,
    }
}

/// Writes a frame of the log; none for a kind that this version does not know.
pub(crate) fn render(frame: wire::Frame) -> Option<Envelope> {
    let task = frame.task_id;
    let (kind, data) = match frame.body? {
        Body::AgentDelta(wire::AgentDelta { attempt, index, text }) => {
            (Kind::AgentDelta, Data::Delta { task_id: task.clone(), attempt, index, text })
        }
        Body::AgentResponse(response) => (Kind::AgentResponse, Data::Other(response_data(&task, response))),
        Body::TaskUpdate(update) => (Kind::TaskUpdate, Data::Other(update_data(&task, update))),
        Body::Error(error) => (Kind::Error, Data::Other(error_data(&task, error))),
        Body::TypingIndicator(typing) => {
            (Kind::TypingIndicator, Data::Other(json!({ "agent_id": typing.agent_id, "task_id": task })))
        }
    };
    Some(Envelope {
        kind,
        data,
        timestamp: frame.at.map_or_else(now, |at| at.to_string()),
        task_id: filled(task),
        session_id: filled(frame.session_id),
        tenant_id: filled(frame.tenant_id),
        tenant_tier: tier_word(frame.tier).to_owned(),
        metadata: Map::new(),
        epoch: filled(frame.epoch),
        seq: Some(frame.seq),
    })
}

fn response_data(task: &str, response: wire::AgentResponse) -> Value {
    let sources: Vec<Source> = response.sources.into_iter().map(Source::from).collect();
    let agent = response.agent_info.map(AgentInfo::from);
    let model = agent.as_ref().map(|agent| agent.model_used.clone());
    let tokens = Tokens::from(response.tokens_used);
    json!({
        "response": response.response,
        "sources": sources,
        "agent_info": agent,
        "task_id": task,
        "status": status_word(response.status),
        "execution_time": response.execution_time,
        "tokens_used": tokens,
        "metadata": {
            "processing_time": response.execution_time,
            "tokens_used": tokens,
            "model_used": model,
            "events": Event::list(response.events),
        },
    })
}

fn update_data(task: &str, update: wire::TaskUpdate) -> Value {
    let result: BTreeMap<String, String> = HashMap::into_iter(update.result).collect();
    json!({
        "task_id": task,
        "status": status_word(update.status),
        "stage": filled(update.stage),
        "attempt": update.attempt,
        "percentage": (update.percentage >= 0.0).then_some(update.percentage),
        "message": filled(update.message),
        "result": result,
    })
}

fn error_data(task: &str, error: wire::TaskError) -> Value {
    let kind = match Status::try_from(error.status) {
        Ok(Status::Timeout) => "ExecutionTimeout",
        Ok(Status::Cancelled) => "ExecutionCancelled",
        _ => "ExecutionError",
    };
    let ErrorDetail { reason, message, field, retry_after } = error.error.unwrap_or_default();
    let retry_after = retry_after.as_ref().and_then(time::duration_from_proto).map(|delay| delay.as_secs_f64());
    json!({
        "error": message,
        "error_type": kind,
        "error_code": reason,
        "task_id": task,
        "status": status_word(error.status),
        "metadata": {
            "processing_time": error.execution_time,
            "error_details": { "reason": reason, "field": filled(field), "retry_after": retry_after },
        },
    })
}
