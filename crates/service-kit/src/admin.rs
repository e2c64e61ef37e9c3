//! The admin port: probes, metrics for Prometheus, and the queues of the process' domains as JSON. Without identity, so it
//! listens on the loopback unless told otherwise.
//!
//! | path | answers |
//! |---|---|
//! | `/livez` | 200 as long as the process answers |
//! | `/readyz` | 200 when it takes part: started and not draining; 503 otherwise |
//! | `/startupz` | 200 once it has started |
//! | `/metrics` | Prometheus' text format |
//! | `/metrics/overview` | health, and how much waits, runs and is dead by domain |
//! | `/metrics/queues` | what each queue holds, by tier |
//! | `/metrics/system` | waiting actions by domain and tier |
//!
//! Beside the counts stands what tells trouble: the age of the oldest waiting action, claims, parked tenants, pauses, and the
//! mean run. Ages and runs are seconds, and null where there is none.

use std::sync::Arc;

use action::Domain;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use fault::{Fault as _, Problem};
use proto::queue::v1::DomainStats;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::Kit;
use crate::queue_view as view;

#[derive(Clone)]
struct Admin {
    kit: Kit,
    domains: Arc<[Domain]>,
}

/// Serves until it is told to stop.
pub(crate) async fn serve(listener: TcpListener, kit: Kit, mut domains: Vec<Domain>, stop: CancellationToken) {
    domains.sort_unstable();
    domains.dedup();
    let app = router(Admin { kit, domains: domains.into() });
    // Nobody waits for a probe that hangs: what is open when the process ends is dropped.
    tokio::select! {
        () = stop.cancelled() => {}
        ended = async { axum::serve(listener, app).await } => {
            if let Err(error) = ended {
                tracing::error!(%error, "the admin port ended");
            }
        }
    }
}

fn router(admin: Admin) -> Router {
    Router::new()
        .route("/livez", get(|| async { "alive" }))
        .route("/readyz", get(ready))
        .route("/startupz", get(started))
        .route("/metrics", get(metrics))
        .route("/metrics/overview", get(overview))
        .route("/metrics/queues", get(queues))
        .route("/metrics/system", get(system))
        .with_state(admin)
}

async fn ready(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    match (admin.kit.health.started(), admin.kit.health.draining()) {
        (_, true) => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
        (true, false) => (StatusCode::OK, "ready"),
    }
}

async fn started(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    if admin.kit.health.started() { (StatusCode::OK, "started") } else { (StatusCode::SERVICE_UNAVAILABLE, "starting") }
}

async fn metrics() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], telemetry::metric::render())
}

async fn overview(State(admin): State<Admin>) -> Result<Json<Value>, Response> {
    let stats = admin.stats().await?;
    let report = admin.kit.health.report();
    Ok(Json(json!({
        "service": &*admin.kit.service,
        "version": env!("CARGO_PKG_VERSION"),
        "ready": report.ready,
        "redis": report.redis,
        "services": report.services,
        "domains": view::by_domain(&stats, view::totals),
    })))
}

async fn queues(State(admin): State<Admin>) -> Result<Json<Value>, Response> {
    let stats = admin.stats().await?;
    let tiers = Arc::clone(&admin.kit.tiers);
    Ok(Json(view::by_domain(&stats, |domain| view::tiers(domain, &tiers))))
}

async fn system(State(admin): State<Admin>) -> Result<Json<Value>, Response> {
    Ok(Json(view::by_domain(&admin.stats().await?, view::system)))
}

impl Admin {
    async fn stats(&self) -> Result<Vec<DomainStats>, Response> {
        let mut all = Vec::with_capacity(self.domains.len());
        for domain in self.domains.iter() {
            all.push(self.kit.queue.stats(*domain).await.map_err(|error| refusal(&error))?);
        }
        Ok(all)
    }
}

fn refusal(error: &queue::Error) -> Response {
    let problem = Problem::of(&error.failure());
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, headers, Json(problem)).into_response()
}
