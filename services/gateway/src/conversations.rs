//! `/api/v1/conversations`: what was said.

use action::{AgentId, ConversationId, SessionId};
use axum::Json;
use axum::extract::State;
use fault::{Failure, reason};
use proto::conversation::v1::ListMessagesRequest;

use crate::edge::Edge;
use crate::identity::Proved;
use crate::openapi::ProblemView;
use crate::params::{GRAMMAR, Params, wrong};
use crate::problem::Refusal;
use crate::router::Segment;
use crate::view::{MessageView, MessagesView, filled};

/// Lists the messages of a conversation, oldest first.
#[utoipa::path(
    get, path = "/api/v1/conversations/{id}/messages", tag = "conversations", operation_id = "listMessages",
    params(
        ("id" = String, Path, description = "The conversation's id"),
        ("page_size" = Option<i32>, Query, minimum = 1, maximum = 100, description = "Most entries; 50 when absent"),
        ("page_token" = Option<String>, Query, description = "Where to go on, from the answer before"),
    ),
    responses((status = 200, body = MessagesView), (status = "default", response = ProblemView)),
)]
pub(crate) async fn messages(
    State(edge): State<Edge>,
    Proved(caller): Proved,
    Segment(id): Segment,
    params: Params,
) -> Result<Json<MessagesView>, Refusal> {
    let id: ConversationId = id.parse().map_err(|_| wrong("id", GRAMMAR))?;
    let request = ListMessagesRequest { conversation_id: id.to_string(), ..ListMessagesRequest::default() };
    read(&edge, &caller, &params, request).await
}

/// Lists the messages of the conversation that a session has with an agent, oldest first.
#[utoipa::path(
    get, path = "/api/v1/conversations", tag = "conversations", operation_id = "listSessionMessages",
    params(
        ("session_id" = String, Query, description = "The session"),
        ("agent_id" = String, Query, description = "The agent that was spoken to"),
        ("page_size" = Option<i32>, Query, minimum = 1, maximum = 100, description = "Most entries; 50 when absent"),
        ("page_token" = Option<String>, Query, description = "Where to go on, from the answer before"),
    ),
    responses((status = 200, body = MessagesView), (status = "default", response = ProblemView)),
)]
pub(crate) async fn of_session(
    State(edge): State<Edge>,
    Proved(caller): Proved,
    params: Params,
) -> Result<Json<MessagesView>, Refusal> {
    let missing =
        |name: &'static str| Failure::new(&reason::INVALID_REQUEST, format!("`{name}` is required")).field(name);
    let session: SessionId = params.id("session_id")?.ok_or_else(|| missing("session_id"))?;
    let agent: AgentId = params.id("agent_id")?.ok_or_else(|| missing("agent_id"))?;
    let request = ListMessagesRequest {
        session_id: session.to_string(),
        agent_id: agent.to_string(),
        ..ListMessagesRequest::default()
    };
    read(&edge, &caller, &params, request).await
}

async fn read(
    edge: &Edge,
    caller: &service_kit::Caller,
    params: &Params,
    request: ListMessagesRequest,
) -> Result<Json<MessagesView>, Refusal> {
    let page = params.page()?;
    let request = ListMessagesRequest { page_size: page.size, page_token: page.token, ..request };
    let response = edge.peers.conversation(caller).list_messages(edge.call(request)).await?.into_inner();
    Ok(Json(MessagesView {
        conversation_id: response.conversation_id,
        messages: response.messages.into_iter().map(MessageView::from).collect(),
        next_page_token: filled(response.next_page_token),
    }))
}
