//! What a process says about its connections, for operators: one line that any other process can read.

use action::{TenantId, Tier};

use super::Connections;
use crate::Error;

/// Tenants that a report names; those with the most connections.
const NAMED: usize = 100;

/// What one process says about its connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The process.
    pub node: String,
    /// Connections that it may hold.
    pub most: u64,
    /// Connections that it holds, by tier.
    pub by_tier: [u64; 4],
    /// The tenants with the most connections.
    pub tenants: Vec<TenantCount>,
}

/// Connections of one tenant to one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantCount {
    /// The tenant.
    pub tenant: String,
    /// Its tier.
    pub tier: Tier,
    /// Its connections.
    pub connections: u64,
}

impl Report {
    pub(super) fn new<'a>(node: &str, most: usize, counts: impl Iterator<Item = (&'a TenantId, Tier, usize)>) -> Self {
        let mut by_tier = [0; 4];
        let mut tenants: Vec<_> = counts
            .map(|(tenant, tier, connections)| {
                by_tier[tier as usize] += connections as u64;
                TenantCount { tenant: tenant.to_string(), tier, connections: connections as u64 }
            })
            .collect();
        tenants.sort_by(|one, other| (other.connections, &one.tenant).cmp(&(one.connections, &other.tenant)));
        tenants.truncate(NAMED);
        Self { node: node.to_owned(), most: most as u64, by_tier, tenants }
    }

    /// Returns how many connections the process holds.
    pub fn connections(&self) -> u64 {
        self.by_tier.iter().sum()
    }

    /// Writes `<node> <most> <free> <advance> <professional> <enterprise> <tenant>=<tier>=<count> …`.
    pub(super) fn to_text(&self) -> String {
        let Self { node, most, by_tier: [free, advance, professional, enterprise], tenants } = self;
        let own = format!("{node} {most} {free} {advance} {professional} {enterprise}");
        let tenants =
            tenants.iter().map(|TenantCount { tenant, tier, connections }| format!("{tenant}={tier}={connections}"));
        std::iter::once(own).chain(tenants).collect::<Vec<_>>().join(" ")
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let node = words.next()?.to_owned();
        let most = words.next()?.parse().ok()?;
        let mut by_tier = [0; 4];
        for count in &mut by_tier {
            *count = words.next()?.parse().ok()?;
        }
        let tenants = words.map(|word| {
            let mut parts = word.split('=');
            let (tenant, tier, connections) = (parts.next()?, parts.next()?, parts.next()?);
            Some(TenantCount {
                tenant: tenant.to_owned(),
                tier: tier.parse().ok()?,
                connections: connections.parse().ok()?,
            })
        });
        Some(Self { node, most, by_tier, tenants: tenants.collect::<Option<_>>()? })
    }
}

impl Connections {
    /// Returns what all processes say, this one as it is now; `most` is how many connections it may hold.
    pub async fn reports(&self, most: usize) -> Result<Vec<Report>, Error> {
        let own = self.inner.own_report(most);
        let reports = self.inner.exchange(Some(&own.to_text())).await?;
        Ok(reports.iter().filter_map(|text| Report::parse(text)).collect())
    }
}
