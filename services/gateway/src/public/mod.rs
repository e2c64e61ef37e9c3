//! Agents that anybody may talk to: `/{tenant_slug}/{slug}`, or `/{slug}` at `{tenant_slug}.{domain}`.
//!
//! Nobody proves anything here. The agent's tenant pays: its tier and limits hold, and besides them a limit for each address. An
//! answer comes with the request, because there is nobody who could ask for it later.

mod place;
mod resolver;

use std::convert::Infallible;
use std::net::IpAddr;

use action::{ContextType, SessionId, TaskId, agent_run};
use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use fault::{Failure, Fault as _, Problem};
use futures::{Stream, StreamExt as _, stream};
use http::{HeaderMap, Method, header};
use proto::execution::v1::AgentRun;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

pub(crate) use resolver::{ExecutionContextResolver, Resolved};

use crate::chat::{self, ChatBody};
use crate::client::ClientAddress;
use crate::edge::Edge;
use crate::headers::Destination;
use crate::openapi::ProblemView;
use crate::problem::Refusal;
use crate::router::not_found;
use crate::view::{AgentInfo, Source, kind_word};
use crate::watch::{Seen, Watch};
use crate::{body, limits};
use place::Place;

/// A public agent, as anybody sees it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PublicAgentView {
    tenant: String,
    name: String,
    description: String,
    slug: String,
    /// `conversational` or `rag`.
    #[serde(rename = "type")]
    kind: &'static str,
}

/// A message to a public agent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublicBody {
    /// 1 to 4000 characters.
    message: String,
    /// `session` of an earlier answer, to go on with that conversation.
    #[serde(default)]
    session: Option<Uuid>,
}

/// What a public agent answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PublicAnswerView {
    /// Goes on with this conversation; whoever has it can.
    session: Uuid,
    response: String,
    sources: Vec<Source>,
    agent_info: Option<AgentInfo>,
}

/// Answers whatever has no route: a public address, or nothing.
pub(crate) async fn or_not_found(State(edge): State<Edge>, request: Request) -> Response {
    let Some(place) = Place::of(&request, edge.config.public_domain.as_deref()) else {
        return not_found().into_response();
    };
    let answered = match *request.method() {
        Method::GET | Method::HEAD => describe(&edge, &place).await.map(IntoResponse::into_response),
        Method::POST => ask(&edge, &place, request).await,
        _ => Err(not_found()),
    };
    answered.unwrap_or_else(IntoResponse::into_response)
}

/// Describes an agent that anybody may talk to.
#[utoipa::path(
    get, path = "/{tenant_slug}/{slug}", tag = "public", operation_id = "describePublicAgent", security(()),
    params(
        ("tenant_slug" = String, Path, description = "The tenant's id"),
        ("slug" = String, Path, description = "The agent's slug, or `agent-` and the slug"),
    ),
    responses((status = 200, body = PublicAgentView), (status = "default", response = ProblemView)),
)]
async fn describe(edge: &Edge, place: &Place) -> Result<Json<PublicAgentView>, Refusal> {
    let resolved = edge.contexts.resolve_from_url(&place.tenant, &place.slug).await?;
    let agent = &resolved.agent;
    Ok(Json(PublicAgentView {
        tenant: resolved.tenant_name.clone(),
        name: agent.name.clone(),
        description: agent.description.clone(),
        slug: agent.slug.clone(),
        kind: kind_word(agent.r#type()),
    }))
}

/// Talks to an agent that anybody may talk to; the answer comes whole, or with `Accept: text/event-stream` in pieces.
#[utoipa::path(
    post, path = "/{tenant_slug}/{slug}", tag = "public", operation_id = "askPublicAgent", security(()),
    params(
        ("tenant_slug" = String, Path, description = "The tenant's id"),
        ("slug" = String, Path, description = "The agent's slug, or `agent-` and the slug"),
    ),
    request_body = PublicBody,
    responses((status = 200, body = PublicAnswerView), (status = "default", response = ProblemView)),
)]
async fn ask(edge: &Edge, place: &Place, request: Request) -> Result<Response, Refusal> {
    edge.accept_work()?;
    let resolved = edge.contexts.resolve_from_url(&place.tenant, &place.slug).await?;
    let (parts, body) = request.into_parts();
    let address = parts.extensions.get::<ClientAddress>().map(|client| client.0);
    let address = address.ok_or_else(Failure::internal)?;
    let (text, session) = read(edge, &parts.headers, body).await?;
    let to = destination(edge, &resolved, session, address)?;
    let posted = chat::post(edge, resolved.owner.clone(), to, text, TaskId::new()).await;
    // The limits of the owner are nobody else's business.
    let (accepted, _) = posted.map_err(limits::refused)?;
    let watch = Watch::open(edge, &resolved.owner, accepted.task_id()).await?;
    if wants_events(&parts.headers) {
        let events = events(watch, session).map(Ok::<_, Infallible>);
        return Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response());
    }
    let answer = watch.answer().await?;
    let view = PublicAnswerView { session, response: answer.text, sources: answer.sources, agent_info: answer.agent };
    Ok(Json(view).into_response())
}

async fn read(edge: &Edge, headers: &HeaderMap, body: Body) -> Result<(ChatBody, Uuid), Failure> {
    let fields = body::json_object(headers, body, edge.body()).await?;
    let PublicBody { message, session } = body::typed(fields)?;
    let run = AgentRun { message, ..AgentRun::default() };
    let run = agent_run::checked(run).map_err(|wrong| wrong.failure())?;
    Ok((ChatBody::of(run), session.unwrap_or_else(Uuid::new_v4)))
}

/// Sessions of the public have names of their own, so that nobody gets into one of the tenant's.
fn destination(edge: &Edge, resolved: &Resolved, session: Uuid, address: IpAddr) -> Result<Destination, Failure> {
    let agent = resolved.agent.agent_id.parse().map_err(|_| Failure::internal())?;
    let session: SessionId = format!("public-{session}").parse().map_err(|_| Failure::internal())?;
    Ok(Destination {
        agent,
        session,
        context: ContextType::Agent,
        collection: None,
        user: None,
        conversation: None,
        source: "web".to_owned(),
        version: String::new(),
        address: Some((address, edge.config.public_per_minute)),
    })
}

fn wants_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|kind| kind.trim().starts_with("text/event-stream"))
}

/// Streams `delta {text}`, then `answer`, or `problem`. A second attempt begins anew with `restarted`.
fn events(watch: Watch, session: Uuid) -> impl Stream<Item = Event> + Send {
    stream::unfold((Some(watch), 0, None), move |(watch, attempt, waiting)| async move {
        if let Some(event) = waiting {
            return Some((event, (watch, attempt, None)));
        }
        let mut watch = watch?;
        Some(match watch.next().await {
            Ok(Seen::Piece { attempt: now, text }) => {
                let delta = Event::default().event("delta").data(json!({ "text": text }).to_string());
                if attempt != 0 && now != attempt {
                    let restarted = Event::default().event("restarted").data("{}");
                    (restarted, (Some(watch), now, Some(delta)))
                } else {
                    (delta, (Some(watch), now, None))
                }
            }
            Ok(Seen::Answer(answer)) => {
                let view = PublicAnswerView {
                    session,
                    response: answer.text,
                    sources: answer.sources,
                    agent_info: answer.agent,
                };
                let data = serde_json::to_string(&view).unwrap_or_default();
                (Event::default().event("answer").data(data), (None, attempt, None))
            }
            Err(failure) => {
                let data = serde_json::to_string(&Problem::of(&failure)).unwrap_or_default();
                (Event::default().event("problem").data(data), (None, attempt, None))
            }
        })
    })
}
