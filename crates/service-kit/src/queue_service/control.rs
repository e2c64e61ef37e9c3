//! What operators do to the queues: pause, purge, limits, repair, partitions.

use std::collections::HashSet;
use std::hash::Hash;

use action::{ContextId, TenantId, Tier};
use fault::{Failure, Fault as _};
use proto::queue::v1 as wire;
use queue::Selection;
use tonic::Status;

use super::{QueueFacade, field};

/// Most tenants whose limits are changed by one call.
const MOST_TENANTS: usize = 1_000;

/// Most partitions of a domain.
const MOST_PARTITIONS: u32 = 64;

impl QueueFacade {
    pub(super) async fn pause_claims(&self, asked: wire::PauseRequest) -> Result<wire::PauseResponse, Status> {
        self.queue.pause(&of_claims(asked.selection.as_ref())?).await?;
        Ok(wire::PauseResponse {})
    }

    pub(super) async fn resume_claims(&self, asked: wire::ResumeRequest) -> Result<wire::ResumeResponse, Status> {
        self.queue.resume(&of_claims(asked.selection.as_ref())?).await?;
        Ok(wire::ResumeResponse {})
    }

    pub(super) async fn end_waiting(&self, asked: wire::PurgeRequest) -> Result<wire::PurgeResponse, Status> {
        let (selection, context) = of_purge(&asked)?;
        let reason = field::why(&asked.reason)?;
        let purged = self.queue.purge(&selection, context.as_ref(), reason).await?;
        Ok(wire::PurgeResponse { purged })
    }

    pub(super) async fn limits(&self, asked: wire::GetLimitsRequest) -> Result<wire::GetLimitsResponse, Status> {
        let (limits, tenants) = self.queue.limits(field::domain(&asked.domain)?).await?;
        Ok(wire::GetLimitsResponse { limits: Some(limits), tenants })
    }

    pub(super) async fn change_limits(
        &self,
        asked: wire::UpdateLimitsRequest,
    ) -> Result<wire::UpdateLimitsResponse, Status> {
        let domain = field::domain(&asked.domain)?;
        let change = asked.limits.unwrap_or_default();
        check_limits(&change)?;
        check_tenants(&asked.tenants)?;
        let limits = self.queue.set_limits(domain, &change, &asked.tenants).await?;
        Ok(wire::UpdateLimitsResponse { limits: Some(limits) })
    }

    pub(super) async fn check(&self, asked: wire::CheckQueuesRequest) -> Result<wire::CheckQueuesResponse, Status> {
        let mut answer = wire::CheckQueuesResponse::default();
        for domain in field::domains(&asked.domain)? {
            let named = |text| wire::Violation { domain: domain.to_string(), text };
            answer.violations.extend(self.queue.check(domain).await?.into_iter().map(named));
            if asked.repair {
                answer.remaining.extend(self.queue.repair(domain).await?.into_iter().map(named));
            }
        }
        Ok(answer)
    }

    pub(super) async fn spread(
        &self,
        asked: wire::SetPartitionsRequest,
    ) -> Result<wire::SetPartitionsResponse, Status> {
        let domain = field::domain(&asked.domain)?;
        if !(1..=MOST_PARTITIONS).contains(&asked.partitions) {
            return Err(field::invalid("partitions", "`partitions` is 1 to 64").into());
        }
        let (epoch, partitions) = self.queue.set_partitions(domain, asked.partitions).await?;
        Ok(wire::SetPartitionsResponse { epoch, partitions })
    }
}

fn selection(asked: Option<&wire::Selection>) -> Result<Selection, Failure> {
    let asked = asked.ok_or_else(|| field::missing("selection"))?;
    let (domain, tier) = (field::domain(&asked.domain)?, field::tier(asked.tier)?);
    Ok(Selection { domain, tier, tenant: field::tenant(&asked.tenant_id)? })
}

/// Reads what is paused or resumed.
fn of_claims(asked: Option<&wire::Selection>) -> Result<Selection, Failure> {
    let selection = selection(asked)?;
    if selection.tier.is_some() && selection.tenant.is_some() {
        return Err(field::invalid("tenant_id", "name a tier or a tenant, not both: a tenant has one tier"));
    }
    Ok(selection)
}

/// Reads what is purged. Nothing is guessed: a whole domain has to be meant, and something else must not be.
fn of_purge(asked: &wire::PurgeRequest) -> Result<(Selection, Option<ContextId>), Failure> {
    let selection = selection(asked.selection.as_ref())?;
    let narrow = selection.tier.is_some() || selection.tenant.is_some();
    if asked.all && (narrow || !asked.context_id.is_empty()) {
        return Err(field::invalid("all", "`all` means the whole domain; leave out tier, tenant and context"));
    }
    if !asked.context_id.is_empty() && selection.tenant.is_none() {
        return Err(field::invalid("context_id", "a context is a tenant's: name the tenant too"));
    }
    if !asked.all && !narrow {
        return Err(field::invalid("all", "set `all` to purge a whole domain, or name a tier or a tenant"));
    }
    let context = match asked.context_id.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|error: action::Error| error.failure().field("context_id"))?),
    };
    Ok((selection, context))
}

fn check_limits(change: &wire::DomainLimits) -> Result<(), Failure> {
    if wire::Sharing::try_from(change.sharing).is_err() {
        return Err(field::invalid("sharing", "`sharing` is weighted or strict"));
    }
    if change.reserve_percent.is_some_and(|percent| percent > 100) {
        return Err(field::invalid("reserve_percent", "`reserve_percent` is 0 to 100"));
    }
    if change.quantum.is_some_and(|quantum| !(1..=64).contains(&quantum)) {
        return Err(field::invalid("quantum", "`quantum` is 1 to 64"));
    }
    let mut seen = HashSet::new();
    for limits in &change.tiers {
        let tier = Tier::from_proto(limits.tier).map_err(|error| error.failure())?;
        once(&mut seen, tier, "tiers")?;
        if limits.weight.is_some_and(|weight| !(1..=1_000).contains(&weight)) {
            return Err(field::invalid("weight", "`weight` is 1 to 1,000"));
        }
        let ageing = field::duration("ageing", limits.ageing)?;
        if ageing.is_some_and(|ageing| ageing > field::LONGEST) {
            return Err(field::invalid("ageing", "`ageing` is at most 366 days"));
        }
    }
    Ok(())
}

fn check_tenants(tenants: &[wire::TenantLimits]) -> Result<(), Failure> {
    if tenants.len() > MOST_TENANTS {
        return Err(field::invalid("tenants", "`tenants` has at most 1,000 entries"));
    }
    let mut seen = HashSet::new();
    for limits in tenants {
        let tenant: TenantId = limits.tenant_id.parse().map_err(|error: action::Error| error.failure())?;
        once(&mut seen, tenant, "tenants")?;
    }
    Ok(())
}

/// Refuses what stands there twice: which of the two is meant, nobody can tell.
fn once<T: Hash + Eq>(seen: &mut HashSet<T>, value: T, field: &'static str) -> Result<(), Failure> {
    if seen.insert(value) { Ok(()) } else { Err(field::invalid(field, format!("`{field}` names one twice"))) }
}
