//! `POST /api/v1/ws-tickets`: a word that opens one socket, for clients that can put a credential nowhere but into an address.
//! It may stand there because it is worth nothing a moment later.

use action::{SessionId, TenantId, UserId};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use fault::{Failure, Fault as _, reason};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::Value;
use service_kit::Caller;
use session::{Grant, Tickets};
use utoipa::ToSchema;

use crate::body;
use crate::credential::Credential;
use crate::edge::Edge;
use crate::headers::{self, name};
use crate::identity::Proved;
use crate::openapi::ProblemView;
use crate::problem::Refusal;

/// What is answered.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TicketView {
    ticket: String,
    /// Seconds.
    expires_in: u64,
}

/// For whom a ticket is.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the contract's picture of a body that is read field by field")]
pub(crate) struct TicketBody {
    /// The only session that it opens; any of the tenant's when absent.
    #[schema(pattern = "^[A-Za-z0-9_-]{3,64}$")]
    session_id: Option<String>,
}

/// Issues a ticket that opens one WebSocket, for clients that can put a credential nowhere but into an address.
#[utoipa::path(
    post, path = "/api/v1/ws-tickets", tag = "chat", operation_id = "issueTicket",
    params(
        ("X-User-ID" = Option<String>, Header, description = "Person for whom it is"),
    ),
    request_body = Option<TicketBody>,
    responses((status = 201, body = TicketView), (status = "default", response = ProblemView)),
)]
pub(crate) async fn issue(
    State(edge): State<Edge>,
    Proved(caller): Proved,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    edge.accept_work()?;
    let user = caller.assert_user(headers::id(&headers, name::USER)?, name::USER)?;
    let session = session(&edge, &headers, body).await?;
    let (tenant, _) = caller.tenant()?;
    let credential = Credential::of(&headers)?.expose().to_owned();
    let ticket = edge.tickets.issue(&tenant, &Grant { session, user, credential }).await;
    let ticket = ticket.map_err(|error| crate::problem::refuse(&error))?;
    let view = TicketView { ticket, expires_in: Tickets::LIFETIME.as_secs() };
    let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((StatusCode::CREATED, no_store, Json(view)).into_response())
}

/// Somebody who shows a ticket.
pub(crate) struct Holder {
    /// What the ticket stands for.
    pub(crate) credential: Credential,
    /// The person that the ticket is for.
    pub(crate) user: Option<UserId>,
    /// Whom both belong to.
    pub(crate) caller: Caller,
}

/// Returns who shows a ticket for a session; the ticket is not taken yet. Whatever is wrong with it looks the same.
pub(crate) async fn look(
    edge: &Edge,
    tenant: &TenantId,
    session: &SessionId,
    ticket: &Credential,
) -> Result<Holder, Failure> {
    let grant = edge.tickets.find(tenant, ticket.expose()).await.map_err(|error| error.failure())?;
    let grant = grant.filter(|grant| grant.session.as_ref().is_none_or(|only| only == session)).ok_or_else(wrong)?;
    let credential = Credential::new(&grant.credential)?;
    let caller = match edge.resolve(&credential).await {
        // What has become of the credential is for who has it.
        Err(failure) if failure.reason().code == fault::Code::Unauthenticated => return Err(wrong()),
        caller => caller?,
    };
    if caller.tenant()?.0 != *tenant {
        return Err(wrong());
    }
    let user = caller.assert_user(grant.user.clone(), "user_id")?;
    Ok(Holder { credential, user: grant.user, caller: Caller { user, ..caller } })
}

/// Takes a ticket that is good: it opens this socket, and no other.
pub(crate) async fn take(edge: &Edge, tenant: &TenantId, ticket: &Credential) -> Result<(), Failure> {
    let taken = edge.tickets.take(tenant, ticket.expose()).await.map_err(|error| error.failure())?;
    if taken { Ok(()) } else { Err(wrong()) }
}

fn wrong() -> Failure {
    let text = "the ticket is unknown, was used, has expired, or is for another session";
    Failure::new(&reason::CREDENTIAL_INVALID, text).field("ticket")
}

async fn session(edge: &Edge, headers: &HeaderMap, body: Body) -> Result<Option<SessionId>, Failure> {
    let wrong = || {
        let text = "`session_id` must be 3 to 64 characters out of A-Z a-z 0-9 _ -";
        Failure::new(&reason::INVALID_FIELD, text).field("session_id")
    };
    let mut fields = body::optional_object(headers, body, edge.body()).await?;
    match fields.remove("session_id") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => text.parse().map(Some).map_err(|_| wrong()),
        Some(_) => Err(wrong()),
    }
}
