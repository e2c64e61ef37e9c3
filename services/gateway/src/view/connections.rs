//! Who is connected.

use std::collections::{BTreeMap, BTreeSet};

use action::{TenantId, Tier};
use serde::Serialize;
use session::connections::{Connected, Report};

/// Tenants that an operator is shown; those with the most connections.
const SHOWN: usize = 100;

/// The connections of one tenant, all processes together.
#[derive(Debug, Serialize)]
pub(crate) struct TenantConnections {
    tenant_id: String,
    tenant_tier: &'static str,
    connections: usize,
    sessions: usize,
    users: usize,
    limits: Limits,
}

#[derive(Debug, Serialize)]
struct Limits {
    connections: u32,
    connections_per_user: u32,
}

/// All connections, as the processes last reported them.
#[derive(Debug, Serialize)]
pub(crate) struct AllConnections {
    connections: u64,
    max_connections: u64,
    by_tier: BTreeMap<&'static str, u64>,
    tenants: Vec<OneTenant>,
    nodes: Vec<Process>,
}

#[derive(Debug, Serialize)]
struct OneTenant {
    tenant_id: String,
    tenant_tier: &'static str,
    connections: u64,
}

#[derive(Debug, Serialize)]
struct Process {
    node: String,
    connections: u64,
    max_connections: u64,
}

impl TenantConnections {
    /// Counts what a tenant has; `limits` are those of the tenant and of one user.
    pub(crate) fn new(tenant: &TenantId, tier: Tier, connected: &[Connected], limits: (u32, u32)) -> Self {
        let sessions: BTreeSet<&str> = connected.iter().map(|one| one.session.as_str()).collect();
        let users: BTreeSet<&str> = connected.iter().filter_map(|one| one.user.as_deref()).collect();
        Self {
            tenant_id: tenant.to_string(),
            tenant_tier: tier.as_str(),
            connections: connected.len(),
            sessions: sessions.len(),
            users: users.len(),
            limits: Limits { connections: limits.0, connections_per_user: limits.1 },
        }
    }
}

impl From<Vec<Report>> for AllConnections {
    fn from(reports: Vec<Report>) -> Self {
        let mut by_tier: BTreeMap<&str, u64> = Tier::ALL.into_iter().map(|tier| (tier.as_str(), 0)).collect();
        let mut tenants: BTreeMap<String, (Tier, u64)> = BTreeMap::new();
        for report in &reports {
            for tier in Tier::ALL {
                *by_tier.entry(tier.as_str()).or_default() += report.by_tier[tier as usize];
            }
            for one in &report.tenants {
                tenants.entry(one.tenant.clone()).or_insert((one.tier, 0)).1 += one.connections;
            }
        }
        let mut tenants: Vec<_> = tenants
            .into_iter()
            .map(|(tenant_id, (tier, connections))| OneTenant { tenant_id, tenant_tier: tier.as_str(), connections })
            .collect();
        tenants.sort_by_key(|tenant| std::cmp::Reverse(tenant.connections));
        tenants.truncate(SHOWN);
        let nodes = reports.iter().map(|report| Process {
            node: report.node.clone(),
            connections: report.connections(),
            max_connections: report.most,
        });
        let mut nodes: Vec<_> = nodes.collect();
        nodes.sort_by(|one, other| one.node.cmp(&other.node));
        Self {
            connections: nodes.iter().map(|node| node.connections).sum(),
            max_connections: nodes.iter().map(|node| node.max_connections).sum(),
            by_tier,
            tenants,
            nodes,
        }
    }
}
