//! A message in, a task out: `POST /api/chat/send`, and what it shares with the `send` frame of a socket.

use std::collections::HashMap;

use action::{ContextType, agent_run};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use fault::{Failure, Fault as _, reason};
use http::HeaderMap;
use proto::execution::v1::AgentRun;
use proto::orchestrator::v1::{SendMessageRequest, SendMessageResponse};
use quota::{UsageKind, Window};
use serde::Serialize;
use serde_json::{Map, Value};
use service_kit::Caller;

use crate::edge::Edge;
use crate::headers::{ChatHeaders, Destination, name};
use crate::problem::Refusal;
use crate::{body, limits};

/// What is answered.
#[derive(Debug, Serialize)]
pub(crate) struct ChatView {
    success: bool,
    pub(crate) task_id: String,
    message: &'static str,
    pub(crate) queue_name: String,
    /// Seconds.
    pub(crate) estimated_time: f64,
}

impl From<SendMessageResponse> for ChatView {
    fn from(response: SendMessageResponse) -> Self {
        let estimated = response.estimated_time.as_ref().and_then(action::time::duration_from_proto);
        Self {
            success: true,
            task_id: response.task.unwrap_or_default().task_id,
            message: "message accepted",
            queue_name: response.queue_name,
            estimated_time: estimated.unwrap_or_default().as_secs_f64(),
        }
    }
}

/// The body of a message, checked as the orchestrator checks it, so that what is charged is not refused for its form. Fields
/// of later versions and other clients are passed over.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ChatBody(AgentRun);

/// Handles the route: identity, headers, body, assertions, access, limit, and only then the orchestrator.
pub(crate) async fn send(State(edge): State<Edge>, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    edge.accept_work()?;
    let caller = edge.prove(&headers).await?;
    let asked = ChatHeaders::parse(&headers)?;
    let text = ChatBody::parse(body::json_object(&headers, body, edge.body()).await?)?;
    asked.asserted.agree(&caller)?;
    let posted = post(&edge, caller, asked.to, text).await;
    let (answer, windows) = posted.map_err(|failure| limits::refusal(by_header(failure)))?;
    tracing::Span::current().record("nooble.task_id", &answer.task_id);
    Ok((limits::headers(&windows), Json(answer)).into_response())
}

/// Brings a message of a proved caller to the orchestrator: access, limit, and only then the call. Fields are named as in
/// the message.
pub(crate) async fn post(
    edge: &Edge,
    caller: Caller,
    to: Destination,
    text: ChatBody,
) -> Result<(ChatView, Vec<Window>), Failure> {
    edge.admission.access_agent(&caller, &to.agent).await?;
    if let Some(collection) = &to.collection {
        edge.admission.access_collection(&caller, collection).await?;
    }
    let windows = limits::charge(edge, &caller, usage(to.context)).await?;
    let caller = Caller { user: to.user.clone(), ..caller.into_admitted() };
    let sent = edge.peers.orchestrator(&caller).send_message(edge.call(request(to, text))).await;
    let answer = ChatView::from(sent.map_err(|status| Failure::from_status(&status))?.into_inner());
    tracing::info!(task_id = answer.task_id, queue = answer.queue_name, "message accepted");
    Ok((answer, windows))
}

/// Callers of the route know the header, not the field of the message behind it.
fn by_header(failure: Failure) -> Failure {
    match failure.field_name() {
        Some("agent_id") => failure.field(name::AGENT),
        Some("collection_id") => failure.field(name::COLLECTION),
        _ => failure,
    }
}

fn usage(context: ContextType) -> UsageKind {
    match context {
        ContextType::Agent => UsageKind::Agent,
        ContextType::Workflow => UsageKind::Workflow,
        ContextType::Collection => UsageKind::Collection,
    }
}

fn request(to: Destination, text: ChatBody) -> SendMessageRequest {
    use proto::action::v1::ContextType as Wire;
    let context = match to.context {
        ContextType::Agent => Wire::Agent,
        ContextType::Workflow => Wire::Workflow,
        ContextType::Collection => Wire::Collection,
    };
    let conversation_id = to.conversation.map(|id| id.to_string()).unwrap_or_default();
    let run = AgentRun { conversation_id, ..text.0 };
    SendMessageRequest {
        agent_id: to.agent.to_string(),
        session_id: to.session.to_string(),
        run: Some(run),
        context_type: context.into(),
        collection_id: to.collection.map(|id| id.to_string()).unwrap_or_default(),
        user_id: to.user.map(|id| id.to_string()).unwrap_or_default(),
        request_source: to.source,
        client_version: to.version,
        timeout: None,
        callback_queue: String::new(),
    }
}

impl ChatBody {
    /// Checks the fields of a body.
    pub(crate) fn parse(mut fields: Map<String, Value>) -> Result<Self, Failure> {
        let run = AgentRun {
            message: text(fields.remove("message"), "message")?.ok_or_else(|| invalid("message", "is required"))?,
            message_type: text(fields.remove("message_type"), "message_type")?.unwrap_or_default(),
            user_info: facts(fields.remove("user_info"))?,
            max_iterations: iterations(fields.remove("max_iterations"))?,
            ..AgentRun::default()
        };
        agent_run::checked(run).map(Self).map_err(|invalid| invalid.failure())
    }
}

fn text(value: Option<Value>, field: &'static str) -> Result<Option<String>, Failure> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(invalid(field, "must be a text")),
    }
}

fn iterations(value: Option<Value>) -> Result<u32, Failure> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(0) };
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|number| *number > 0);
    number.ok_or_else(|| invalid("max_iterations", "must be a whole number, 1 or greater"))
}

fn facts(value: Option<Value>) -> Result<HashMap<String, String>, Failure> {
    let facts = match value {
        None | Some(Value::Null) => return Ok(HashMap::new()),
        Some(Value::Object(facts)) => facts,
        Some(_) => return Err(invalid("user_info", "must be an object")),
    };
    let plain = |(name, value): (String, Value)| match value {
        Value::Null => None,
        Value::String(text) => Some(Ok((name, text))),
        Value::Bool(_) | Value::Number(_) => Some(Ok((name, value.to_string()))),
        Value::Array(_) | Value::Object(_) => {
            Some(Err(invalid("user_info", "holds texts, numbers, true and false only")))
        }
    };
    facts.into_iter().filter_map(plain).collect()
}

fn invalid(field: &'static str, rule: &str) -> Failure {
    Failure::new(&reason::INVALID_FIELD, format!("`{field}` {rule}")).field(field)
}

#[cfg(test)]
mod tests;
