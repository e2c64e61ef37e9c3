//! `GET /health`: what an operator asks first.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use service_kit::Kit;
use tokio::sync::Mutex;

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
#[derive(Debug, Serialize)]
pub(crate) struct HealthView {
    status: &'static str,
    service: &'static str,
    version: &'static str,
    timestamp: String,
    details: Details,
}

#[derive(Debug, Serialize)]
struct Details {
    redis: Component,
    websocket: Websocket,
}

#[derive(Debug, Serialize)]
struct Component {
    status: &'static str,
}

#[derive(Debug, Serialize)]
struct Websocket {
    status: &'static str,
    connections: usize,
    max_connections: usize,
}

/// Handles the route: 200 while everything works, 503 while something does not.
pub(crate) async fn health(State(edge): State<Edge>) -> (StatusCode, Json<HealthView>) {
    let redis = edge.pulse.beats().await;
    let draining = edge.draining.is_cancelled();
    let code = if redis && !draining { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let connections = edge.sockets.open();
    let max_connections = edge.sockets.most();
    let view = HealthView {
        status: match (draining, redis) {
            (true, _) => "draining",
            (false, true) => "ok",
            (false, false) => "degraded",
        },
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
