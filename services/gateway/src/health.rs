//! `GET /health`: what an operator asks first.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use service_kit::Kit;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use crate::edge::Edge;
use crate::view::now;

/// How long an answer of Redis is believed: health may be asked by anybody, as often as they like.
const BELIEVED: Duration = Duration::from_millis(500);
/// Time for Redis to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Knows whether Redis answers.
#[derive(Debug)]
pub(crate) struct Pulse {
    kit: Kit,
    last: Mutex<Option<(Instant, bool)>>,
}

impl Pulse {
    pub(crate) fn new(kit: Kit) -> Self {
        Self { kit, last: Mutex::new(None) }
    }

    /// Tells whether Redis answered within the last moment.
    pub(crate) async fn beats(&self) -> bool {
        let mut last = self.last.lock().await;
        if let Some((at, answered)) = *last
            && at.elapsed() < BELIEVED
        {
            return answered;
        }
        let answered = matches!(tokio::time::timeout(PATIENCE, self.kit.redis.ping()).await, Ok(Ok(())));
        *last = Some((Instant::now(), answered));
        answered
    }
}

/// What is answered.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HealthView {
    status: &'static str,
    service: &'static str,
    version: &'static str,
    timestamp: String,
    details: Details,
}

#[derive(Debug, Serialize, ToSchema)]
struct Details {
    redis: Component,
    websocket: Websocket,
}

#[derive(Debug, Serialize, ToSchema)]
struct Component {
    status: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
struct Websocket {
    status: &'static str,
    connections: usize,
    max_connections: usize,
}

/// Tells whether everything works, in a status and a word.
pub(crate) async fn verdict(edge: &Edge) -> (StatusCode, &'static str) {
    let redis = edge.pulse.beats().await;
    match (edge.draining.is_cancelled(), redis) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        (false, true) => (StatusCode::OK, "ok"),
        (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "degraded"),
    }
}

/// Tells whether everything works: 200 while it does, 503 while something does not.
#[utoipa::path(
    get, path = "/health", tag = "operation", operation_id = "getHealth", security(()),
    responses((status = 200, body = HealthView), (status = 503, body = HealthView)),
)]
pub(crate) async fn health(State(edge): State<Edge>) -> (StatusCode, Json<HealthView>) {
    let (code, status) = verdict(&edge).await;
    let redis = edge.pulse.beats().await;
    let connections = edge.sockets.open();
    let max_connections = edge.sockets.most();
    let view = HealthView {
        status,
        service: "gateway",
        version: env!("CARGO_PKG_VERSION"),
        timestamp: now(),
        details: Details {
            redis: Component { status: if redis { "ok" } else { "unavailable" } },
            websocket: Websocket {
                status: if connections < max_connections { "ok" } else { "full" },
                connections,
                max_connections,
            },
        },
    };
    (code, Json(view))
}

/// How the parts are that the edge stands on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DetailedView {
    status: &'static str,
    service: &'static str,
    version: &'static str,
    timestamp: String,
    details: Details,
    /// Services behind the edge: `ok`, or `unavailable` when they do not answer.
    services: BTreeMap<&'static str, &'static str>,
}

/// Tells how each part is, for operators and tenants: 200 while everything works, 503 while something does not.
#[utoipa::path(
    get, path = "/health/detailed", tag = "operation", operation_id = "getHealthDetailed", security(()),
    responses((status = 200, body = DetailedView), (status = 503, body = DetailedView)),
)]
pub(crate) async fn detailed(State(edge): State<Edge>) -> (StatusCode, Json<DetailedView>) {
    let services = edge.neighbours.look(&edge).await;
    let (code, Json(HealthView { status, service, version, timestamp, details })) = health(State(edge)).await;
    let well = services.values().all(|status| *status == "ok");
    let (code, status) =
        if well || status != "ok" { (code, status) } else { (StatusCode::SERVICE_UNAVAILABLE, "degraded") };
    (code, Json(DetailedView { status, service, version, timestamp, details, services }))
}

/// Knows how the services behind the edge are.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    last: Mutex<Option<(Instant, BTreeMap<&'static str, &'static str>)>>,
}

impl Neighbours {
    /// Asks the services, unless that was done a moment ago.
    async fn look(&self, edge: &Edge) -> BTreeMap<&'static str, &'static str> {
        let mut last = self.last.lock().await;
        if let Some((at, services)) = &*last
            && at.elapsed() < BELIEVED
        {
            return services.clone();
        }
        let answered = edge.peers.reachable(PATIENCE).await;
        let services: BTreeMap<_, _> =
            answered.into_iter().map(|(name, answers)| (name, if answers { "ok" } else { "unavailable" })).collect();
        *last = Some((Instant::now(), services.clone()));
        services
    }
}
