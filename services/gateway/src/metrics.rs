//! `/metrics/overview`, `/metrics/queues`, `/metrics/system` and `/api/chat/stats`: numbers for people. A tenant sees its own,
//! an operator everything. Prometheus has a port of its own.

use action::Domain;
use axum::Json;
use axum::extract::State;
use proto::queue::v1::{DomainStats, GetQueueStatsRequest, GetTenantLoadsRequest, TenantLoad};
use serde_json::{Map, Value, json};
use service_kit::{Caller, Scope, queue_view};

use crate::edge::Edge;
use crate::identity::Anyone;
use crate::openapi::ProblemView;
use crate::problem::Refusal;
use crate::view::now;

/// Tells how much waits, runs and is dead: of the tenant, or for an operator of everybody.
#[utoipa::path(
    get, path = "/metrics/overview", tag = "operation", operation_id = "getMetricsOverview",
    responses((status = 200, body = Object), (status = "default", response = ProblemView)),
)]
pub(crate) async fn overview(State(edge): State<Edge>, Anyone(caller): Anyone) -> Result<Json<Value>, Refusal> {
    if let Some(own) = own(&edge, &caller).await? {
        return Ok(Json(own));
    }
    let stats = stats(&edge, &caller, "").await?;
    Ok(Json(json!({
        "service": "gateway",
        "version": env!("CARGO_PKG_VERSION"),
        "timestamp": now(),
        "redis": edge.pulse.beats().await,
        "websocket": { "connections": edge.sockets.open(), "max_connections": edge.sockets.most() },
        "domains": queue_view::by_domain(&stats, queue_view::totals),
    })))
}

/// Tells what the queues hold, by domain and tier; for a tenant what it has in them.
#[utoipa::path(
    get, path = "/metrics/queues", tag = "operation", operation_id = "getMetricsQueues",
    responses((status = 200, body = Object), (status = "default", response = ProblemView)),
)]
pub(crate) async fn queues(State(edge): State<Edge>, Anyone(caller): Anyone) -> Result<Json<Value>, Refusal> {
    if let Some(own) = own(&edge, &caller).await? {
        return Ok(Json(own));
    }
    let stats = stats(&edge, &caller, "").await?;
    Ok(Json(queue_view::by_domain(&stats, |domain| queue_view::tiers(domain, edge.quota.tiers()))))
}

/// Tells how many actions wait, by domain and tier; for a tenant its own.
#[utoipa::path(
    get, path = "/metrics/system", tag = "operation", operation_id = "getMetricsSystem",
    responses((status = 200, body = Object), (status = "default", response = ProblemView)),
)]
pub(crate) async fn system(State(edge): State<Edge>, Anyone(caller): Anyone) -> Result<Json<Value>, Refusal> {
    if let Some(own) = own(&edge, &caller).await? {
        return Ok(Json(own));
    }
    Ok(Json(queue_view::by_domain(&stats(&edge, &caller, "").await?, queue_view::system)))
}

/// Tells how the tenant's messages stand; an operator is told of all queues.
#[utoipa::path(
    get, path = "/api/chat/stats", tag = "chat", operation_id = "getChatStats",
    responses((status = 200, body = Object), (status = "default", response = ProblemView)),
)]
pub(crate) async fn chat(State(edge): State<Edge>, Anyone(caller): Anyone) -> Result<Json<Value>, Refusal> {
    let queue_stats = if let Some(own) = own(&edge, &caller).await? {
        own["domains"]["execution"].clone()
    } else {
        let stats = stats(&edge, &caller, Domain::Execution.as_str()).await?;
        stats.first().map_or(Value::Null, |stats| queue_view::tiers(stats, edge.quota.tiers()))
    };
    let tenant = caller.tenant.as_ref().map(|tenant| tenant.id.to_string());
    Ok(Json(json!({ "tenant_id": tenant, "queue_stats": queue_stats, "timestamp": now() })))
}

/// Returns what a tenant may see; nothing for an operator, who may see everything.
async fn own(edge: &Edge, caller: &Caller) -> Result<Option<Value>, Refusal> {
    if caller.scopes.contains(Scope::Admin) {
        return Ok(None);
    }
    let (tenant, tier) = caller.tenant()?;
    let request = edge.call(GetTenantLoadsRequest::default());
    let loads = edge.peers.queues(Domain::Orchestrator, caller).get_tenant_loads(request).await?.into_inner().loads;
    let held = |load: &TenantLoad| json!({ "waiting": load.waiting, "in_flight": load.in_flight });
    let domains: Map<_, _> = loads.iter().map(|(domain, load)| (domain.clone(), held(load))).collect();
    Ok(Some(json!({
        "tenant_id": tenant.to_string(),
        "tenant_tier": tier.as_str(),
        "timestamp": now(),
        "domains": domains,
    })))
}

async fn stats(edge: &Edge, caller: &Caller, domain: &str) -> Result<Vec<DomainStats>, Refusal> {
    let request = edge.call(GetQueueStatsRequest { domain: domain.to_owned() });
    Ok(edge.peers.queues(Domain::Orchestrator, caller).get_queue_stats(request).await?.into_inner().domains)
}
