//! What the queues hold.

use std::collections::HashMap;

use action::{Domain, TenantId};
use fault::Failure;
use proto::queue::v1 as wire;
use tonic::Status;

use super::{QueueFacade, field};

/// Tenants that are listed when no number is asked for, and the most.
const TENANTS: usize = 10;
const MOST_TENANTS: usize = 100;

impl QueueFacade {
    pub(super) async fn stats(&self, asked: wire::GetQueueStatsRequest) -> Result<wire::GetQueueStatsResponse, Status> {
        let domains = self.stats_of(&field::domains(&asked.domain)?).await?;
        Ok(wire::GetQueueStatsResponse { domains })
    }

    pub(super) async fn overview(&self) -> Result<wire::GetSystemOverviewResponse, Status> {
        let domains = self.stats_of(&Domain::ALL).await?;
        let sum = |of: fn(&wire::DomainStats) -> u64| domains.iter().map(of).sum();
        Ok(wire::GetSystemOverviewResponse {
            waiting: sum(|domain| domain.tiers.iter().map(|tier| tier.waiting).sum()),
            in_flight: sum(|domain| domain.in_flight),
            delayed: sum(|domain| domain.delayed),
            dead: sum(|domain| domain.dead),
            domains,
        })
    }

    pub(super) async fn busiest(
        &self,
        asked: wire::ListBusiestTenantsRequest,
    ) -> Result<wire::ListBusiestTenantsResponse, Status> {
        let (domain, most) = (field::domain(&asked.domain)?, limit(asked.limit)?);
        let tenants = self.queue.busiest(domain, most).await?;
        Ok(wire::ListBusiestTenantsResponse { tenants })
    }

    pub(super) async fn loads(&self, tenant: &TenantId) -> Result<wire::GetTenantLoadsResponse, Status> {
        let mut loads = HashMap::new();
        for domain in Domain::ALL {
            loads.insert(domain.to_string(), self.queue.load(domain, tenant).await?);
        }
        Ok(wire::GetTenantLoadsResponse { loads })
    }

    async fn stats_of(&self, domains: &[Domain]) -> Result<Vec<wire::DomainStats>, Status> {
        let mut all = Vec::with_capacity(domains.len());
        for domain in domains {
            all.push(self.queue.stats(*domain).await?);
        }
        Ok(all)
    }
}

/// Reads how many tenants are wanted: 10 when 0, more than 100 become 100, as with the sizes of pages.
fn limit(asked: i32) -> Result<usize, Failure> {
    match usize::try_from(asked) {
        Ok(0) => Ok(TENANTS),
        Ok(limit) => Ok(limit.min(MOST_TENANTS)),
        Err(_) => Err(field::invalid("limit", "`limit` must not be negative")),
    }
}
