//! A message in, a task out: `POST /api/chat/send`, and what it shares with the `send` frame of a socket.

use std::collections::HashMap;
use std::time::Duration;

use action::{ContextType, Domain, agent_run};
use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use fault::{Failure, Fault as _, reason};
use http::request::Parts;
use proto::execution::v1::AgentRun;
use proto::management::v1::Agent;
use proto::orchestrator::v1::{SendMessageRequest, SendMessageResponse};
use proto::task::v1::GetTaskRequest;
use quota::{Receipt, UsageKind, Window};
use serde::Serialize;
use serde_json::{Map, Value};
use service_kit::{Caller, NotAdmitted, Spend};
use utoipa::ToSchema;

use crate::edge::Edge;
use crate::headers::{ChatHeaders, Destination, name};
use crate::identity::Writer;
use crate::made::NewTask;
use crate::openapi::ProblemView;
use crate::problem::Refusal;
use crate::{body, limits};

/// What is answered.
#[derive(Debug, Serialize, ToSchema)]
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

/// What a message is sent with.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the contract's picture of a body that is read field by field")]
pub(crate) struct ChatBodyView {
    /// What the user wrote, 1 to 4000 characters.
    #[schema(min_length = 1, max_length = 4000)]
    message: String,
    /// Kind of message; `text` when absent.
    message_type: Option<String>,
    /// Facts about the user that the agent may use: texts, numbers, true and false.
    user_info: Option<HashMap<String, Value>>,
    /// Most model calls; the tier's and the agent's bound when absent.
    max_iterations: Option<u32>,
}

/// Sends a message to an agent; the answer comes to the session, and to the task.
///
/// Identity, headers, body, assertions, access and limits are looked at in this order, and only then the orchestrator.
#[utoipa::path(
    post, path = "/api/chat/send", tag = "chat", operation_id = "sendMessage",
    params(
        ("X-Tenant-ID" = String, Header, description = "The tenant, as the credential says"),
        ("X-Agent-ID" = String, Header, description = "Agent that shall answer"),
        ("X-Tenant-Tier" = String, Header, description = "free, advance, professional or enterprise, as the tenant's record says"),
        ("X-Session-ID" = String, Header, description = "Session that shows the answer"),
        ("X-Context-Type" = Option<String>, Header, description = "agent (default) or collection"),
        ("X-User-ID" = Option<String>, Header, description = "Person who wrote"),
        ("X-Conversation-ID" = Option<String>, Header, description = "Conversation; the session's own when absent"),
        ("X-Collection-ID" = Option<String>, Header, description = "Collection to answer from"),
        ("X-Request-Source" = Option<String>, Header, description = "web, mobile or api"),
        ("X-Client-Version" = Option<String>, Header, description = "Version of the client"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes sending it again safe"),
    ),
    request_body = ChatBodyView,
    responses((status = 200, body = ChatView), (status = "default", response = ProblemView)),
)]
pub(crate) async fn send(
    State(edge): State<Edge>,
    Writer(caller): Writer,
    request: Request,
) -> Result<Response, Refusal> {
    let (Parts { headers, extensions, .. }, body) = request.into_parts();
    edge.accept_work()?;
    let asked = ChatHeaders::parse(&headers)?;
    let text = ChatBody::parse(body::json_object(&headers, body, edge.body()).await?)?;
    asked.asserted.agree(&caller)?;
    let posted = post(&edge, caller, asked.to, text, NewTask::of(&extensions)).await;
    let (answer, windows) = posted.map_err(|refused| {
        let NotAdmitted { failure, windows } = refused;
        limits::refused(NotAdmitted { failure: by_header(failure), windows })
    })?;
    let mut response = Json(answer).into_response();
    limits::show(response.headers_mut(), &windows);
    Ok(response)
}

/// Brings a message of a proved caller to the orchestrator: access, limits, and only then the call. What the orchestrator
/// refuses for good costs nothing. Fields are named as in the message.
pub(crate) async fn post(
    edge: &Edge,
    caller: Caller,
    to: Destination,
    text: ChatBody,
    task: NewTask,
) -> Result<(ChatView, Vec<Window>), NotAdmitted> {
    let user = caller.assert_user(to.user.clone(), "user_id")?;
    let agent = edge.grant_agent(&caller, &to.agent).await?;
    if let Some(collection) = &to.collection {
        edge.grant_collection(&caller, collection).await?;
    }
    let spend = spend(&to, &text, task, agent.as_deref());
    let request =
        SendMessageRequest { task_id: task.id.to_string(), ..request(Destination { user: user.clone(), ..to }, text) };
    let (charging, caller) = (edge.clone(), Caller { user, ..caller });
    // A client that goes away leaves nothing half done: what is charged is sent, or taken back.
    edge.errands.see_through(|| charge_and_send(charging, caller, spend, request)).await
}

async fn charge_and_send(
    edge: Edge,
    caller: Caller,
    spend: Spend,
    request: SendMessageRequest,
) -> Result<(ChatView, Vec<Window>), NotAdmitted> {
    let task_id = request.task_id.clone();
    let admitted = edge.admission.admit(&caller, spend).await?;
    let caller = caller.into_admitted();
    let response = match edge.peers.orchestrator(&caller).send_message(edge.call(request)).await {
        Ok(response) => response.into_inner(),
        Err(status) => {
            let failure = Failure::from_status(&status);
            if let Some(admitted) = admitted {
                Box::pin(take_back(&edge, caller, task_id, admitted.receipt, &failure)).await;
            }
            return Err(failure.into());
        }
    };
    let answer = ChatView::from(response);
    // For the line that the log has for every request and every frame of a socket.
    telemetry::Span::current().record("nooble.task_id", &answer.task_id);
    Ok((answer, admitted.map(|admitted| admitted.windows).unwrap_or_default()))
}

/// Takes a charge back after a refusal: at once when nothing was accepted for sure, else when it is found out that nothing was.
async fn take_back(edge: &Edge, caller: Caller, task_id: String, receipt: Receipt, refusal: &Failure) {
    if !refusal.leaves_doubt() {
        edge.admission.refund(&receipt).await;
        return;
    }
    let doubting = edge.clone();
    edge.errands.spawn_apart(async move {
        // Whatever was under way has arrived, or never will.
        let mut pause = doubting.config.call_timeout + DOUBT;
        for _ in 0..LOOKS {
            tokio::time::sleep(pause).await;
            let request = doubting.call(GetTaskRequest { task_id: task_id.clone() });
            match doubting.peers.tasks(Domain::Orchestrator, &caller).get_task(request).await {
                Ok(_) => return,
                Err(status) if status.code() == tonic::Code::NotFound => {
                    return doubting.admission.refund(&receipt).await;
                }
                Err(_) => pause *= 2,
            }
        }
    });
}

/// Time after which a call that broke off has had its effect; how often it is looked whether it had.
const DOUBT: Duration = Duration::from_secs(2);
const LOOKS: usize = 6;

/// Says what a message costs.
fn spend(to: &Destination, text: &ChatBody, task: NewTask, agent: Option<&Agent>) -> Spend {
    let spend =
        Spend::from(usage(to.context)).repeating(task.repeats).of_session(to.session.clone()).of_address(to.address);
    let Some(agent) = agent else { return spend.of_task(task.id, 0) };
    spend.of_agent(agent).of_task(task.id, service_kit::estimate_tokens(agent, &text.0))
}

/// Callers of the route know the header, not the field of the message behind it.
fn by_header(failure: Failure) -> Failure {
    match failure.field_name() {
        Some("agent_id") => failure.field(name::AGENT),
        Some("collection_id") => failure.field(name::COLLECTION),
        Some("user_id") => failure.field(name::USER),
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
        session_id: to.session.map(|id| id.to_string()).unwrap_or_default(),
        run: Some(run),
        context_type: context.into(),
        collection_id: to.collection.map(|id| id.to_string()).unwrap_or_default(),
        user_id: to.user.map(|id| id.to_string()).unwrap_or_default(),
        request_source: to.source,
        client_version: to.version,
        timeout: None,
        callback_queue: String::new(),
        task_id: String::new(),
    }
}

impl ChatBody {
    /// Takes a run that was checked.
    pub(crate) fn of(run: AgentRun) -> Self {
        Self(run)
    }

    /// Returns the run.
    #[cfg(test)]
    pub(crate) fn run(&self) -> &AgentRun {
        &self.0
    }

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
