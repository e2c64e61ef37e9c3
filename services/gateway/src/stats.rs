//! `GET /ws/stats` and `GET /ws/health`: who is connected.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use fault::Fault as _;
use http::StatusCode;
use serde::Serialize;
use service_kit::Scope;
use utoipa::ToSchema;

use crate::edge::Edge;
use crate::identity::Anyone;
use crate::openapi::ProblemView;
use crate::problem::Refusal;
use crate::view::{AllConnections, TenantConnections};

/// What `GET /ws/health` answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SocketHealth {
    status: &'static str,
    connections: usize,
    max_connections: usize,
}

/// Tells who is connected: a tenant is shown its own connections, an operator all of them.
#[utoipa::path(
    get, path = "/ws/stats", tag = "operation", operation_id = "getSocketStats",
    responses((status = 200, body = Object), (status = "default", response = ProblemView)),
)]
pub(crate) async fn stats(State(edge): State<Edge>, Anyone(caller): Anyone) -> Result<Response, Refusal> {
    if caller.scopes.contains(Scope::Admin) {
        let reports = edge.connections.reports(edge.sockets.most()).await.map_err(|error| error.failure())?;
        return Ok(Json(AllConnections::from(reports)).into_response());
    }
    let (tenant, tier) = caller.tenant()?;
    let connected = edge.connections.of_tenant(&tenant).await.map_err(|error| error.failure())?;
    let limits = (edge.config.connections[tier as usize], edge.config.connections_per_user);
    Ok(Json(TenantConnections::new(&tenant, tier, &connected, limits)).into_response())
}

/// Tells whether this process takes one more socket.
#[utoipa::path(
    get, path = "/ws/health", tag = "operation", operation_id = "getSocketHealth", security(()),
    responses((status = 200, body = SocketHealth), (status = 503, body = SocketHealth)),
)]
pub(crate) async fn health(State(edge): State<Edge>) -> (StatusCode, Json<SocketHealth>) {
    let (connections, max_connections) = (edge.sockets.open(), edge.sockets.most());
    let (code, status) = if edge.draining.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining")
    } else if connections >= max_connections {
        (StatusCode::SERVICE_UNAVAILABLE, "full")
    } else {
        (StatusCode::OK, "ok")
    };
    (code, Json(SocketHealth { status, connections, max_connections }))
}
