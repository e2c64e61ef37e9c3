//! What a client may ask for in a frame: the same as through the routes, by the same code.

use action::{AgentId, CollectionId, ContextType, ConversationId};
use fault::{Failure, reason};
use serde_json::{Map, Value};
use telemetry::{Instrument as _, Origin, Span, SpanKind, Value as Field};

use super::frames::Envelope;
use super::proof::Principal;
use super::request::Asked;
use crate::chat::{self, ChatBody, ChatView};
use crate::headers::{self, Destination};
use crate::made::NewTask;
use crate::tasks;

/// Does what a `send` frame asks for. A trace begins here, as it does with a request of a route.
pub(super) async fn send(principal: Principal, asked: Asked) -> Envelope {
    let who = &principal.addressee;
    let span = span("send", &principal, asked.request_id.as_deref());
    let answer = match post(&principal, asked.fields).instrument(span.clone()).await {
        Ok(accepted) => {
            span.in_scope(|| tracing::info!(queue = accepted.queue_name, "message accepted"));
            who.accepted(&accepted)
        }
        Err(failure) => {
            span.in_scope(|| tracing::info!(reason = failure.reason().id, "message refused"));
            who.refusal(&failure)
        }
    };
    answer.about(asked.request_id)
}

fn span(kind: &'static str, principal: &Principal, request_id: Option<&str>) -> Span {
    let known = [
        ("nooble.tenant_id", Field::Shown(&principal.addressee.tenant)),
        ("nooble.session_id", Field::Shown(&principal.addressee.session)),
        ("nooble.request_id", request_id.into()),
    ];
    Span::begin(Origin::new_trace(), SpanKind::Server, "ws.receive", format_args!("receive {kind}"), &known)
}

/// Does what a `cancel` frame asks for.
pub(super) async fn cancel(principal: Principal, asked: Asked) -> Envelope {
    let who = &principal.addressee;
    let span = span("cancel", &principal, asked.request_id.as_deref());
    let answer = match give_up(&principal, asked.fields).instrument(span).await {
        Ok(task) => who.cancelled(&task),
        Err(failure) => who.refusal(&failure),
    };
    answer.about(asked.request_id)
}

/// Identity, fields, body, assertions, access, limit, call: the order of the route.
async fn post(principal: &Principal, mut fields: Map<String, Value>) -> Result<ChatView, Failure> {
    principal.edge.accept_work()?;
    let caller = principal.caller().await?;
    let to = destination(principal, &caller, &mut fields)?;
    let text = ChatBody::parse(fields)?;
    principal.wanted.check(&principal.edge, &caller).await?;
    let (accepted, _) = chat::post(&principal.edge, caller, to, text, NewTask::unheard_of()).await?;
    Ok(accepted)
}

fn destination(
    principal: &Principal,
    caller: &service_kit::Caller,
    fields: &mut Map<String, Value>,
) -> Result<Destination, Failure> {
    let agent: Option<AgentId> = id(fields, "agent_id")?;
    let agent = agent.or_else(|| principal.wanted.agent.clone()).ok_or_else(|| {
        let text = "`agent_id` is required, here or when the socket is opened";
        Failure::new(&reason::INVALID_FIELD, text).field("agent_id")
    })?;
    let collection: Option<CollectionId> = id(fields, "collection_id")?;
    let conversation: Option<ConversationId> = id(fields, "conversation_id")?;
    let context = text(fields, "context_type")?;
    let names = ["context_type", "collection_id"];
    let context: ContextType = headers::parse_context(context.as_deref(), collection.as_ref(), names)?;
    Ok(Destination {
        agent,
        session: Some(principal.wanted.session.clone()),
        context,
        collection,
        user: principal.wanted.user.clone().or_else(|| caller.user.clone()),
        conversation,
        source: String::new(),
        version: String::new(),
        address: None,
    })
}

async fn give_up(principal: &Principal, mut fields: Map<String, Value>) -> Result<proto::task::v1::Task, Failure> {
    let caller = principal.prove().await?;
    let task = text(&mut fields, "task_id")?.ok_or_else(|| invalid("task_id", "is required"))?;
    let task = tasks::parse(&task)?;
    let reason = tasks::given_reason(&mut fields)?;
    tasks::give_up(&principal.edge, &caller, task, reason).await
}

fn id<T: std::str::FromStr>(fields: &mut Map<String, Value>, name: &'static str) -> Result<Option<T>, Failure> {
    let grammar = "must be 3 to 64 characters out of A-Z a-z 0-9 _ -";
    text(fields, name)?.map(|text| text.parse().map_err(|_| invalid(name, grammar))).transpose()
}

fn text(fields: &mut Map<String, Value>, name: &'static str) -> Result<Option<String>, Failure> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
        Some(_) => Err(invalid(name, "must be a text")),
    }
}

fn invalid(name: &'static str, rule: &str) -> Failure {
    Failure::new(&reason::INVALID_FIELD, format!("`{name}` {rule}")).field(name)
}
