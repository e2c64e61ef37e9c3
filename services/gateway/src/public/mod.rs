//! Agents that anybody may talk to: `/{tenant_slug}/{slug}`, or `/{slug}` at `{tenant_slug}.{domain}`.
//!
//! Nobody proves anything here. The agent's tenant pays: its tier and limits hold, and besides them a limit for each address. An
//! answer comes with the request, because there is nobody who could ask for it later.

mod place;
mod resolver;
mod visits;

use std::convert::Infallible;
use std::net::IpAddr;
use std::time::Duration;

use action::{ContextType, SessionId, agent_run};
use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use fault::{Failure, Fault as _, Problem, reason};
use futures::{Stream, StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use proto::execution::v1::AgentRun;
use quota::Window;
use serde::{Deserialize, Serialize};
use serde_json::json;
use service_kit::NotAdmitted;
use utoipa::ToSchema;
use uuid::Uuid;

pub(crate) use resolver::{ExecutionContextResolver, Resolved};
pub(crate) use visits::Visits;

use crate::body;
use crate::chat::ChatBody;
use crate::client::ClientAddress;
use crate::edge::Edge;
use crate::headers::Destination;
use crate::idempotent::{self, Sender};
use crate::identity::recognise;
use crate::limits;
use crate::made::NewTask;
use crate::openapi::ProblemView;
use crate::problem::Refusal;
use crate::router::{method_not_allowed, not_found};
use crate::view::kind_word;
use crate::watch::{Answer, Seen, Watch};
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
    #[schema(min_length = 1, max_length = 4000)]
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
    /// Documents that it rests on.
    sources: Vec<PublicSourceView>,
}

/// A document that an answer rests on, by its number in the text. Its passages are the tenant's.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PublicSourceView {
    index: u32,
    title: String,
}

impl PublicAnswerView {
    fn of(session: Uuid, answer: Answer) -> Self {
        let sources = answer.sources.iter().map(|source| {
            let (index, title) = source.cited();
            PublicSourceView { index, title: title.to_owned() }
        });
        Self { session, response: answer.text, sources: sources.collect() }
    }
}

/// What a public address takes.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST");

/// Answers whatever has no route: a public address, or nothing.
pub(crate) async fn or_not_found(State(edge): State<Edge>, request: Request) -> Response {
    let Some(place) = Place::of(&request, edge.config.public_domain.as_deref()) else {
        recognise(&edge, request.headers(), request.extensions()).await;
        return not_found().into_response();
    };
    let address = request.extensions().get::<ClientAddress>().map(|client| client.0);
    let visits = match edge.visits.take(address, &place).await {
        Ok(visits) => visits,
        Err(refused) => return limits::refused(refused).into_response(),
    };
    let answered = match *request.method() {
        Method::GET | Method::HEAD => describe(&edge, &place).await.map(IntoResponse::into_response),
        Method::POST if idempotent::has_key(&request) => ask_once(&edge, &place, request).await,
        Method::POST => ask(&edge, &place, request).await,
        _ => edge.contexts.resolve_from_url(&place.tenant, &place.slug).await.map_or_else(
            |failure| Err(failure.into()),
            |_| Err(method_not_allowed().with_headers(HeaderMap::from_iter([(header::ALLOW, METHODS)]))),
        ),
    };
    let mut response = answered.unwrap_or_else(IntoResponse::into_response);
    // Which limit a visitor met says the refusal itself, if it is the visitor's.
    if response.status() != StatusCode::TOO_MANY_REQUESTS {
        limits::show_at_least(response.headers_mut(), &visits);
    }
    response
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
        ("Idempotency-Key" = Option<String>, Header, description = "Makes sending it again safe, and lets the agent answer without its client"),
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
    let task = NewTask::of(&parts.extensions);
    // A message that is sent again begins the same conversation.
    let begun = || if task.repeats { edge.signer.name(&task.id.to_string()) } else { Uuid::new_v4() };
    let session = session.unwrap_or_else(begun);
    let to = destination(edge, &resolved, session, address)?;
    let place = edge.visitors_watches.seat(&resolved.owner.tenant()?.0).map_err(|_| busy())?;
    let sent = Watch::send(edge, resolved.owner.clone(), to, text, task, place).await;
    let (watch, windows) = sent.map_err(to_anybody)?;
    let limits = limits::headers(&windows.into_iter().filter(is_address).collect::<Vec<_>>());
    if wants_events(&parts.headers) {
        let events = events(watch, session).map(Ok::<_, Infallible>);
        return Ok((limits, Sse::new(events).keep_alive(KeepAlive::default())).into_response());
    }
    let answer = watch.answer().await?;
    Ok((limits, Json(PublicAnswerView::of(session, answer))).into_response())
}

/// How many visitors of a tenant there are does not concern a visitor.
fn busy() -> Failure {
    let text = "the agent answers as many visitors as it can; come back a little later";
    Failure::new(&reason::OVERLOADED, text).retry_after(Duration::from_secs(5))
}

/// Tells whether a window is the visitor's own.
fn is_address(window: &Window) -> bool {
    window.name == "address"
}

/// Like [`ask`], of a message that may be sent again. A key is known to the address that it came from, and for the agent that it was
/// sent to.
async fn ask_once(edge: &Edge, place: &Place, request: Request) -> Result<Response, Refusal> {
    let resolved = edge.contexts.resolve_from_url(&place.tenant, &place.slug).await?;
    let (tenant, _) = resolved.owner.tenant()?;
    let address = request.extensions().get::<ClientAddress>().map(|client| quota::network(client.0));
    let route = format!("public\n{}\n{}", resolved.agent.agent_id, address.ok_or_else(Failure::internal)?);
    let asked = (edge.clone(), place.clone());
    let handler = tower::service_fn(move |request| {
        let (edge, place) = asked.clone();
        async move { Ok::<_, Infallible>(ask(&edge, &place, request).await.unwrap_or_else(IntoResponse::into_response)) }
    });
    let most = edge.config.max_body_bytes as u64;
    Box::pin(idempotent::once_for(edge, Sender { tenant, route, most }, request, handler)).await
}

/// Says to a visitor what concerns a visitor: which limit of the owner is used up, and how large it is, does not.
fn to_anybody(NotAdmitted { failure, windows }: NotAdmitted) -> Refusal {
    let is_own = failure.metadata().iter().any(|(name, value)| name == "window" && value == "address");
    if failure.reason() != &reason::RATE_LIMIT_EXCEEDED || is_own {
        return limits::refused(NotAdmitted { failure, windows: windows.into_iter().filter(is_address).collect() });
    }
    let told = Failure::new(&reason::RATE_LIMIT_EXCEEDED, "the agent takes no more messages for now");
    told.retry_after(failure.retry_delay().unwrap_or_default()).into()
}

async fn read(edge: &Edge, headers: &HeaderMap, body: Body) -> Result<(ChatBody, Option<Uuid>), Failure> {
    let fields = body::json_object(headers, body, edge.body()).await?;
    let PublicBody { message, session } = body::typed(fields)?;
    let run = AgentRun { message, ..AgentRun::default() };
    let run = agent_run::checked(run).map_err(|wrong| wrong.failure())?;
    Ok((ChatBody::of(run), session))
}

/// Sessions of the public have names of their own, so that nobody gets into one of the tenant's.
fn destination(edge: &Edge, resolved: &Resolved, session: Uuid, address: IpAddr) -> Result<Destination, Failure> {
    let agent = resolved.agent.agent_id.parse().map_err(|_| Failure::internal())?;
    let session: SessionId = format!("public-{session}").parse().map_err(|_| Failure::internal())?;
    Ok(Destination {
        agent,
        session: Some(session),
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
                let data = serde_json::to_string(&PublicAnswerView::of(session, answer)).unwrap_or_default();
                (Event::default().event("answer").data(data), (None, attempt, None))
            }
            Err(failure) => {
                let data = serde_json::to_string(&Problem::of(&failure)).unwrap_or_default();
                (Event::default().event("problem").data(data), (None, attempt, None))
            }
        })
    })
}
