//! The direction of dependencies.

use std::collections::BTreeMap;

use anyhow::Result;
use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// Which crates of the workspace a crate may build on. Services may use every one of `SERVICE` and no other service.
const ALLOWED: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("fault", &[]),
    ("telemetry", &[]),
    ("action", &["proto", "fault"]),
    ("broker", &["fault"]),
    ("models", &["fault"]),
    ("store", &["action", "fault"]),
    ("idempotency", &["action", "broker", "fault"]),
    ("quota", &["action", "broker", "fault", "telemetry"]),
    ("session", &["action", "broker", "fault", "proto", "telemetry"]),
    ("queue", &["action", "broker", "fault", "proto", "telemetry"]),
    ("service-kit", &["action", "broker", "fault", "proto", "queue", "quota", "session", "telemetry"]),
    ("testkit", &["proto"]),
    ("xtask", &[]),
];

/// What a service may build on.
const SERVICE: &[&str] = &[
    "action",
    "fault",
    "idempotency",
    "models",
    "proto",
    "queue",
    "quota",
    "service-kit",
    "session",
    "store",
    "telemetry",
];

/// Crates that hold the whole together and may use everything.
const TOP: &[&str] = &["nooble", "bench", "e2e"];

/// Outside crates that only some of ours may know.
const WARDENS: &[(&str, &[&str])] = &[
    ("redis", &["broker", "queue", "quota", "service-kit", "session"]),
    ("sqlx", &["store", "management", "conversation", "query", "ingestion"]),
    ("opentelemetry", &["telemetry"]),
    ("opentelemetry_sdk", &["telemetry"]),
    ("opentelemetry-otlp", &["telemetry"]),
    ("opentelemetry-prometheus", &["telemetry"]),
    ("tracing-subscriber", &["telemetry"]),
    ("axum", &["gateway", "service-kit", "testkit", "bench"]),
    ("candle-core", &["models"]),
    ("reqwest", &["models", "nooble", "bench", "e2e", "service-kit"]),
    ("ring", &["service-kit", "session"]),
];

/// Names that cannot say no.
const FORBIDDEN: &[&str] = &["common", "core", "utils", "util", "helpers", "types", "misc"];

/// Returns every dependency that goes the wrong way.
pub(super) fn check() -> Result<Vec<String>> {
    let metadata = MetadataCommand::new().no_deps().manifest_path(crate::root().join("Cargo.toml")).exec()?;
    let packages: BTreeMap<&str, &Package> =
        metadata.packages.iter().map(|package| (package.name.as_str(), package)).collect();
    let mut broken = Vec::new();
    for (&name, package) in &packages {
        if FORBIDDEN.contains(&name) {
            broken.push(format!("crate `{name}`: a name that cannot say no"));
        }
        for dependency in &package.dependencies {
            if dependency.kind == DependencyKind::Development {
                continue;
            }
            let on = dependency.name.as_str();
            let ours = packages.contains_key(on);
            if ours && !allowed(name, is_service(package)).is_none_or(|list| list.contains(&on)) {
                broken.push(format!("crate `{name}` may not depend on `{on}`"));
            }
            let warden = WARDENS.iter().find(|(outside, _)| *outside == on);
            if warden.is_some_and(|(_, keepers)| !keepers.contains(&name)) {
                broken.push(format!("crate `{name}` may not know `{on}`"));
            }
        }
    }
    Ok(broken)
}

/// Returns what a crate may build on; nothing for those that may use everything.
fn allowed(name: &str, service: bool) -> Option<&'static [&'static str]> {
    if TOP.contains(&name) {
        return None;
    }
    let listed = ALLOWED.iter().find(|(crate_name, _)| *crate_name == name).map(|(_, list)| *list);
    Some(listed.unwrap_or(if service { SERVICE } else { &[] }))
}

fn is_service(package: &Package) -> bool {
    package.manifest_path.as_str().contains("/services/")
}
