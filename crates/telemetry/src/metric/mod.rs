//! Metrics, one module an area, written through OpenTelemetry and read by Prometheus.
//!
//! | metric | labels | in |
//! |---|---|---|
//! | `nooble_queue_enqueued_total`, `nooble_queue_claimed_total` | `domain`, `tier` | [`queue`] |
//! | `nooble_queue_settled_total` | `domain`, `tier`, `outcome` | [`queue`] |
//! | `nooble_queue_wait_seconds`, `nooble_queue_run_seconds` | `domain`, `tier` | [`queue`] |
//! | `nooble_queue_refused_total` | `domain`, `tier` | [`queue`] |
//! | `nooble_queue_replies_dropped_total` | `domain` | [`queue`] |
//! | `nooble_queue_waiting`, `nooble_queue_oldest_seconds` | `domain`, `tier` | [`queue`] |
//! | `nooble_queue_script_seconds` | `script` | [`queue`] |
//! | `http_server_request_duration_seconds` | `http_request_method`, `http_route`, `http_response_status_code` | [`http`] |
//! | `http_server_active_requests` | | [`http`] |
//! | `rpc_server_call_duration_seconds` | `rpc_method`, `rpc_response_status_code` | [`grpc`] |
//! | `rpc_client_call_duration_seconds` | `rpc_method`, `rpc_response_status_code` | [`grpc`] |
//! | `nooble_quota_decisions_total` | `tier`, `outcome` | [`limit`] |
//! | `nooble_quota_near_limit_total` | `tier`, `policy` | [`limit`] |
//! | `nooble_quota_degraded` | | [`limit`] |
//! | `nooble_identity_credentials_total` | `credential`, `outcome` | [`identity`] |
//! | `nooble_identity_accesses_total` | `kind`, `source` | [`identity`] |
//! | `nooble_identity_key_fetches_total` | `outcome` | [`identity`] |
//! | `nooble_identity_changes_connected` | | [`identity`] |
//! | `nooble_session_connections` | `transport` | [`session`] |
//! | `nooble_session_frames_total` | `kind` | [`session`] |
//! | `nooble_session_appended_total` | `kind` | [`session`] |
//! | `nooble_session_gaps_total` | | [`session`] |
//! | `nooble_models_tokens_total` | `model`, `direction` | [`model`] |
//! | `nooble_models_call_seconds` | `model`, `operation`, `outcome` | [`model`] |
//! | `nooble_models_first_token_seconds` | `model` | [`model`] |
//! | `nooble_connection_refused_total` | `port`, `why` | [`connection`] |
//! | `nooble_tls_certificate_expiry_seconds` | `certificate` | [`tls`] |
//! | `nooble_telemetry_spans_lost_total` | | `trace` |
//!
//! Request metrics have the names of OpenTelemetry's semantic conventions, the others begin with `nooble_<crate>`.

mod bound;
pub mod connection;
pub mod grpc;
pub mod http;
pub mod identity;
pub mod limit;
pub mod model;
pub mod queue;
pub mod session;
pub mod tls;
pub(crate) mod trace;

use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider as _, UpDownCounter};
use opentelemetry_prometheus::PrometheusExporter;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Encoder as _, Registry, TextEncoder};

use crate::Error;

/// Seconds; from a script inside Redis up to the longest budget of a tier.
const SECONDS: [f64; 18] =
    [0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::new);
static INSTRUMENTS: OnceLock<Instruments> = OnceLock::new();

/// Every instrument there is, made once.
struct Instruments {
    queue: queue::Instruments,
    http: http::Instruments,
    grpc: grpc::Instruments,
    identity: identity::Instruments,
    limit: limit::Instruments,
    session: session::Instruments,
    model: model::Instruments,
    tls: tls::Instruments,
    connection: connection::Instruments,
    trace: trace::Instruments,
}

/// Returns all metrics in Prometheus' text format; an empty text before [`crate::init`].
pub fn render() -> String {
    let mut text = Vec::new();
    match TextEncoder::new().encode(&REGISTRY.gather(), &mut text) {
        Ok(()) => String::from_utf8(text).unwrap_or_default(),
        Err(error) => {
            tracing::warn!(%error, "metrics could not be rendered");
            String::new()
        }
    }
}

/// Returns the content type of what [`render`] returns.
pub fn content_type() -> &'static str {
    prometheus::TEXT_FORMAT
}

pub(crate) fn reader() -> Result<PrometheusExporter, Error> {
    let exporter = opentelemetry_prometheus::exporter().with_registry(REGISTRY.clone()).scope_info_enabled(false);
    exporter.build().map_err(|error| Error::Metrics(error.to_string()))
}

pub(crate) fn install(provider: &SdkMeterProvider) {
    let meter = provider.meter("nooble");
    let _ = INSTRUMENTS.set(Instruments {
        queue: queue::Instruments::new(&meter),
        http: http::Instruments::new(&meter),
        grpc: grpc::Instruments::new(&meter),
        identity: identity::Instruments::new(&meter),
        limit: limit::Instruments::new(&meter),
        session: session::Instruments::new(&meter),
        model: model::Instruments::new(&meter),
        tls: tls::Instruments::new(&meter),
        connection: connection::Instruments::new(&meter),
        trace: trace::Instruments::new(&meter),
    });
}

/// Uses the instruments if there are any.
fn with(record: impl FnOnce(&Instruments)) {
    if let Some(instruments) = INSTRUMENTS.get() {
        record(instruments);
    }
}

fn counter(meter: &Meter, name: &'static str, description: &'static str) -> Counter<u64> {
    meter.u64_counter(name).with_description(description).build()
}

fn level(meter: &Meter, name: &'static str, description: &'static str) -> UpDownCounter<i64> {
    meter.i64_up_down_counter(name).with_description(description).build()
}

fn seconds(meter: &Meter, name: &'static str, description: &'static str) -> Histogram<f64> {
    let builder = meter.f64_histogram(name).with_unit("s").with_description(description);
    builder.with_boundaries(SECONDS.to_vec()).build()
}

fn in_seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
