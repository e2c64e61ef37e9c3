//! `Idempotency-Key`: a request that creates something may be sent again, and is answered as before.
//!
//! The same key with the same body is given the same answer; with another body 422; while the first one still runs 409. What was
//! refused for a reason that may pass is not remembered: sending it again runs it, and makes what it makes under the same id. That
//! id follows from the key, so that a repetition finds what the first one made also when its answer was lost before it was remembered.
//!
//! Of an answer that comes in pieces only that it began is remembered: sending it again shows the same task from its beginning.

mod hash;

use action::{AgentId, TenantId, UserId};
use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request};
use axum::response::{IntoResponse, Response};
use fault::{Failure, reason};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body::Body as _;
use idempotency::{Begun, Lease};
use service_kit::Caller;
use tower::ServiceExt as _;

use crate::around::Handler;
use crate::body;
use crate::completions;
use crate::credential::Credential;
use crate::edge::Edge;
use crate::headers::{self, Asserted};
use crate::identity::Known;
use crate::made::{MadeBefore, MadeId};
use crate::problem::{PROBLEM_JSON, Refusal, Refused, refuse};
use hash::Hash;

/// The header that carries the key.
pub(crate) const KEY: &str = "Idempotency-Key";
const NAME: HeaderName = HeaderName::from_static("idempotency-key");
/// The routes that create something when they are posted to.
pub(crate) const CREATING: [&str; 5] =
    ["/api/chat/send", "/api/v1/agents", "/api/v1/collections", "/api/v1/documents", "/v1/chat/completions"];
/// Says that an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Most characters of a key.
const LONGEST: usize = 200;
/// What a form may add to its file.
const OVERHEAD: u64 = 64 * 1024;
/// Most bytes of an answer that is remembered; answers to requests that create are small. One that is larger is made anew of what is
/// there already.
const ANSWER: usize = 256 * 1024;
/// What is remembered of an answer that came in pieces.
const IN_PIECES: &[u8] = b"in pieces";

/// Whose keys they are.
pub(crate) struct Sender {
    pub(crate) tenant: TenantId,
    /// What the keys are for, and who of the tenant may have the answers.
    pub(crate) route: String,
    /// Most bytes of a body that is a form.
    pub(crate) most: u64,
}

/// Tells whether a request says that it may come again.
pub(crate) fn has_key(request: &Request) -> bool {
    request.headers().contains_key(NAME)
}

/// Tells whether a request is to be answered once: it creates, and has a key.
pub(crate) fn is_asked(request: &Request) -> bool {
    let creates = |path: &MatchedPath| CREATING.contains(&path.as_str());
    request.method() == Method::POST
        && has_key(request)
        && request.extensions().get::<MatchedPath>().is_some_and(creates)
}

/// Answers such a request.
pub(crate) async fn once(edge: &Edge, request: Request, handler: impl Handler) -> Response {
    let answered = async {
        let key = key(request.headers())?;
        let sender = sender(edge, request.headers(), request.extensions()).await?;
        run_once(edge, (sender, key), request, handler).await
    };
    answered.await.unwrap_or_else(IntoResponse::into_response)
}

/// Answers a request with a key that comes from somebody who has proved nothing.
pub(crate) async fn once_for(
    edge: &Edge,
    sender: Sender,
    request: Request,
    handler: impl Handler,
) -> Result<Response, Refusal> {
    let key = key(request.headers())?;
    run_once(edge, (sender, key), request, handler).await
}

/// Proves who sends a request before anything is looked up: the keys of a tenant are its own.
async fn sender(edge: &Edge, headers: &HeaderMap, about: &Extensions) -> Result<Sender, Refusal> {
    let caller = edge.resolve(&Credential::of(headers)?).await?;
    Known::note(about, &caller);
    let (tenant, tier) = caller.tenant()?;
    Asserted::parse(headers)?.agree(&caller)?;
    let most = edge.quota.tiers().of(tier).max_document_bytes;
    Ok(Sender { tenant, route: route(about, &caller), most })
}

async fn run_once(
    edge: &Edge,
    (sender, key): (Sender, String),
    request: Request,
    handler: impl Handler,
) -> Result<Response, Refusal> {
    let Sender { tenant, route, most } = sender;
    let is_openai = completions::speaks_to(request.uri().path());
    let (mut parts, body) = request.into_parts();
    let hash = Hash::of(&parts.headers);
    let mut body = if is_json(&parts.headers) {
        let bytes = body::all(&parts.headers, body, edge.body()).await?;
        hash.add(&bytes);
        hash.end();
        Taken::Whole(bytes)
    } else {
        Taken::Coming(body)
    };
    let print = matches!(body, Taken::Whole(_)).then(|| hash.print());
    let begun = edge.idempotency.begin(&tenant, &route, &key, print.as_ref()).await;
    let lease = match begun.map_err(|error| refuse(&error))? {
        Begun::First(lease) => lease,
        Begun::Again { answer, print, id } => {
            if let Taken::Coming(body) = &mut body {
                let body = std::mem::take(body);
                let draining = hash.drain(body, most.saturating_add(OVERHEAD));
                let drained = tokio::time::timeout(edge.config.upload_timeout, draining).await;
                drained.map_err(|_| Failure::new(&reason::INVALID_REQUEST, "the body did not arrive in time"))??;
            }
            if hash.print() != *print {
                return Err(other());
            }
            return match body {
                Taken::Whole(bytes) if answer == IN_PIECES => {
                    parts.extensions.insert(MadeId(id));
                    parts.extensions.insert(MadeBefore);
                    let Ok(response) = handler.oneshot(Request::from_parts(parts, Body::from(bytes))).await;
                    Ok(replayed(response))
                }
                _ => replay(&answer).map(replayed),
            };
        }
        Begun::Running => return Err(running()),
        Begun::Other => return Err(other()),
    };
    parts.extensions.insert(MadeId(lease.id()));
    let body = match body {
        Taken::Whole(bytes) => Body::from(bytes),
        Taken::Coming(body) => hash.watch(body),
    };
    let response = tokio::select! {
        Ok(response) = handler.oneshot(Request::from_parts(parts, body)) => response,
        // Somebody else has the lease; whatever came of this run, the other one makes the same.
        () = lease.keep() => return Err(Failure::internal().into()),
    };
    // Of a body that was not read to its end nobody knows whether it comes again.
    let print = hash.is_whole().then(|| hash.print());
    // Refusals of OpenAI's API are given their shape further out, and are the same every time.
    let print = print.filter(|_| !is_openai || response.status().is_success());
    let response = remember(lease, response, print).await;
    if is_other(&response) { Err(other()) } else { Ok(response) }
}

/// The body of a request, as far as it is there.
enum Taken {
    Whole(Vec<u8>),
    /// A file, which is not held.
    Coming(Body),
}

/// What a key is for: the route, and whoever may have the answer. Two people of a tenant have keys of their own.
fn route(about: &Extensions, caller: &Caller) -> String {
    let path = about.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let user = caller.user.as_ref().map(UserId::as_str).unwrap_or_default();
    let agents = caller.agents.iter().flatten().map(AgentId::as_str).collect::<Vec<_>>().join(" ");
    format!("{path}\n{user}\n{agents}")
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    !kind.trim_start().to_ascii_lowercase().starts_with("multipart/")
}

fn running() -> Refusal {
    let text = "a request with this key is still being worked on";
    let failure = Failure::new(&reason::IDEMPOTENCY_IN_FLIGHT, text).field(KEY);
    failure.retry_after(std::time::Duration::from_secs(1)).into()
}

fn other() -> Refusal {
    let text = "the key was used for a request with another body";
    Failure::new(&reason::IDEMPOTENCY_MISMATCH, text).field(KEY).into()
}

fn key(headers: &HeaderMap) -> Result<String, Failure> {
    headers::unique(headers, [KEY].iter())?;
    let text = headers::text(headers, KEY)?.unwrap_or_default();
    // The draft quotes it, most clients do not.
    let key = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    if (1..=LONGEST).contains(&key.len()) && key.bytes().all(|byte| (b'!'..=b'~').contains(&byte)) {
        return Ok(key.to_owned());
    }
    let text = format!("{KEY} is 1 to {LONGEST} visible ASCII characters");
    Err(Failure::new(&reason::INVALID_HEADER, text).field(KEY))
}

/// Remembers an answer that stands; lets go of a refusal.
async fn remember(lease: Lease, response: Response, print: Option<[u8; 32]>) -> Response {
    let is_small = response.body().size_hint().upper().is_none_or(|size| size <= ANSWER as u64);
    let comes_in_pieces = is_stream(&response);
    let print = print.filter(|_| stands(&response) && (is_small || comes_in_pieces));
    let Some(print) = print else {
        if let Err(error) = lease.release().await {
            tracing::debug!(%error, "a request was not let go; its lease ends by itself");
        }
        return response;
    };
    let (response, answer) = if comes_in_pieces { (response, IN_PIECES.to_vec()) } else { kept(response).await };
    if let Err(error) = lease.finish(&answer, Some(&print)).await {
        // What was made was made under an id that a repetition is given, too.
        tracing::warn!(%error, "an answer was not remembered");
    }
    response
}

fn is_stream(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    kind.starts_with(b"text/event-stream")
}

/// Returns an answer, and the text that it is remembered by.
async fn kept(response: Response) -> (Response, Vec<u8>) {
    let (parts, body) = response.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, ANSWER).await else {
        return (Refusal::from(Failure::internal()).into_response(), Vec::new());
    };
    let kind = parts.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let mut answer = parts.status.as_u16().to_be_bytes().to_vec();
    answer.extend((kind.len() as u64).to_be_bytes());
    answer.extend(kind);
    answer.extend(&bytes);
    (Response::from_parts(parts, Body::from(bytes)), answer)
}

/// Tells whether something was made, so that the answer is the one for good. What was refused made nothing: the same body may come again
/// with its key, with headers that are mended, or when what stood against it has passed.
fn stands(response: &Response) -> bool {
    response.status().is_success()
}

/// Tells whether a service found that the key made something else, which is not remembered here any more.
fn is_other(response: &Response) -> bool {
    let refused = response.extensions().get::<Refused>();
    refused.is_some_and(|refused| refused.failure.reason() == &reason::IDEMPOTENCY_MISMATCH)
}

fn replay(answer: &[u8]) -> Result<Response, Refusal> {
    let read = || {
        let (status, rest) = answer.split_first_chunk::<2>()?;
        let (length, rest) = rest.split_first_chunk::<8>()?;
        let (kind, body) = rest.split_at_checked(usize::try_from(u64::from_be_bytes(*length)).ok()?)?;
        let status = StatusCode::from_u16(u16::from_be_bytes(*status)).ok()?;
        Some((status, HeaderValue::from_bytes(kind).ok()?, Bytes::copy_from_slice(body)))
    };
    let (status, kind, body) = read().ok_or_else(Failure::internal)?;
    let mut response = (status, body).into_response();
    if kind == PROBLEM_JSON {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

fn replayed(mut response: Response) -> Response {
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
