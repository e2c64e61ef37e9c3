//! `POST /api/v1/ws-tickets`: a word that opens one socket, for clients that can put a credential nowhere but into an address.
//! It may stand there because it is worth nothing a moment later.

use action::{SessionId, TenantId};
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
    let bearer = Caller { user, service: Some("gateway".to_owned()), ..caller };
    let identity = edge.signer.sign(&bearer, Tickets::LIFETIME);
    let ticket = edge.tickets.issue(&tenant, &Grant { session, identity }).await;
    let ticket = ticket.map_err(|error| crate::problem::refuse(&error))?;
    let view = TicketView { ticket, expires_in: Tickets::LIFETIME.as_secs() };
    let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((StatusCode::CREATED, no_store, Json(view)).into_response())
}

/// Takes a ticket that somebody shows for a session, and returns whose it is. Whatever is wrong with it looks the same.
pub(crate) async fn redeem(
    edge: &Edge,
    tenant: &TenantId,
    session: &SessionId,
    ticket: &Credential,
) -> Result<Caller, Failure> {
    let wrong = || {
        let text = "the ticket is unknown, was used, has expired, or is for another session";
        Failure::new(&reason::CREDENTIAL_INVALID, text).field("ticket")
    };
    let grant = edge.tickets.redeem(tenant, ticket.expose()).await.map_err(|error| error.failure())?;
    let grant = grant.filter(|grant| grant.session.as_ref().is_none_or(|only| only == session)).ok_or_else(wrong)?;
    let caller = edge.signer.verify(&grant.identity).map_err(|_| wrong())?;
    if caller.tenant()?.0 != *tenant {
        return Err(wrong());
    }
    Ok(Caller { service: None, ..caller })
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
