//! Limits and usage.

use std::collections::BTreeMap;

use action::{TenantId, Tier};
use quota::Window;
use serde::Serialize;
use utoipa::ToSchema;

/// How the limits of a tenant stand.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct RateLimitView {
    tenant: TenantView,
    /// Agent whose own limits are shown besides; null when none was asked for.
    agent_id: Option<String>,
    /// What is allowed, by policy, e.g. `minute`.
    limits: BTreeMap<&'static str, u64>,
    /// What is used of it.
    usage: BTreeMap<&'static str, u64>,
    /// What is left of it.
    remaining: BTreeMap<&'static str, u64>,
    /// Seconds until everything is left again; policies that do not end in time are absent.
    reset: BTreeMap<&'static str, u64>,
}

/// A tenant, as limits look at it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TenantView {
    tenant_id: String,
    tier: &'static str,
}

impl RateLimitView {
    /// Shows the windows of a tenant.
    pub(crate) fn of(tenant: &TenantId, tier: Tier, agent_id: Option<String>, windows: &[Window]) -> Self {
        let by = |number: fn(&Window) -> u64| windows.iter().map(|window| (window.name, number(window))).collect();
        let timed = windows.iter().filter(|window| !window.length.is_zero());
        Self {
            tenant: TenantView { tenant_id: tenant.to_string(), tier: tier.as_str() },
            agent_id,
            limits: by(|window| window.limit),
            usage: by(|window| window.limit - window.remaining),
            remaining: by(|window| window.remaining),
            reset: timed.map(|window| (window.name, window.reset_seconds())).collect(),
        }
    }
}

/// What a tenant did on a day, in UTC.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct UsageView {
    pub(crate) tenant_id: String,
    /// `YYYY-MM-DD`.
    pub(crate) date: String,
    pub(crate) total_requests: u64,
    pub(crate) agent_requests: u64,
    pub(crate) workflow_requests: u64,
    pub(crate) collection_requests: u64,
    pub(crate) query_requests: u64,
    pub(crate) total_tokens: u64,
}
