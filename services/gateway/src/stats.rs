//! `GET /ws/stats` and `GET /ws/health`: who is connected.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use fault::Fault as _;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use service_kit::Scope;

use crate::credential::Credential;
use crate::edge::Edge;
use crate::problem::Refusal;
use crate::view::{AllConnections, TenantConnections};

/// What `GET /ws/health` answers.
#[derive(Debug, Serialize)]
pub(crate) struct SocketHealth {
    status: &'static str,
    connections: usize,
    max_connections: usize,
}

/// Handles `GET /ws/stats`: a tenant is shown its own connections, an operator all of them.
pub(crate) async fn stats(State(edge): State<Edge>, headers: HeaderMap) -> Result<Response, Refusal> {
    let caller = edge.resolver.resolve(Credential::of(&headers)?.expose()).await?;
    if caller.scopes.contains(Scope::Admin) {
        let reports = edge.connections.reports(edge.sockets.most()).await.map_err(|error| error.failure())?;
        return Ok(Json(AllConnections::from(reports)).into_response());
    }
    let (tenant, tier) = caller.tenant()?;
    let connected = edge.connections.of_tenant(&tenant).await.map_err(|error| error.failure())?;
    let limits = (edge.config.connections[tier as usize], edge.config.connections_per_user);
    Ok(Json(TenantConnections::new(&tenant, tier, &connected, limits)).into_response())
}

/// Handles `GET /ws/health`: whether this process takes one more socket.
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
