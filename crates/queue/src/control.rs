//! What operators do to the queues while they run.

use std::collections::HashMap;
use std::time::Duration;

use action::{ContextId, Domain, TenantId, Tier, time};
use proto::queue::v1 as wire;
use proto::queue::v1::{DeadLetter, DomainLimits, TenantLimits, TenantLoad, TierLimits};

use crate::engine::{Change, Purge};
use crate::{Error, Queue, Sharing, keys, letters, spread, stats};

/// A domain, a tier of it, or a tenant in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The domain.
    pub domain: Domain,
    /// One tier; all when none.
    pub tier: Option<Tier>,
    /// One tenant; all when none.
    pub tenant: Option<TenantId>,
}

/// Which dead letters of a domain are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Letters {
    /// Those at these positions.
    Named(Vec<String>),
    /// Those that match all of this; everything when nothing is given.
    Matching {
        /// Why they were given up.
        why: Option<String>,
        /// Whose they are.
        tenant: Option<TenantId>,
        /// How old they are at least.
        older_than: Option<Duration>,
    },
}

impl Letters {
    /// All of a domain.
    pub const ALL: Self = Self::Matching { why: None, tenant: None, older_than: None };
}

/// What became of dead letters that were to be submitted again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Submitted again.
    pub replayed: u64,
    /// Left where they are: malformed, or not known any more.
    pub left: u64,
}

/// Most tenants with limits of their own that are shown.
const TENANTS: usize = 1_000;

impl Queue {
    /// Stops claims of what is selected. A tier and a tenant at once is [`Error::Field`].
    pub async fn pause(&self, selection: &Selection) -> Result<(), Error> {
        self.rule(selection.domain, &[selection.pause("1")?]).await
    }

    /// Lets claims go on.
    pub async fn resume(&self, selection: &Selection) -> Result<(), Error> {
        self.rule(selection.domain, &[selection.pause("")?]).await
    }

    /// Ends waiting and delayed actions as cancelled and returns how many.
    pub async fn purge(&self, selection: &Selection, context: Option<&ContextId>, reason: &str) -> Result<u64, Error> {
        let reason: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
        let purge = Purge {
            tier: selection.tier,
            tenant: selection.tenant.as_ref().map(TenantId::as_str).unwrap_or_default(),
            middle: context.map(ContextId::as_str).unwrap_or_default(),
            reason: &reason,
        };
        let mut purged = 0;
        for part in self.inner.parts_of(selection.domain) {
            purged += part.engine.purge(0, &purge).await?;
            self.inner.sweep_soon(&part);
        }
        Ok(purged)
    }

    /// Returns the limits in force, and the tenants with limits of their own.
    pub async fn limits(&self, domain: Domain) -> Result<(DomainLimits, Vec<TenantLimits>), Error> {
        // All partitions are ruled alike.
        let tag = self.inner.spreads.of(domain).parts[0].engine.tag().to_owned();
        let set: HashMap<String, String> = self.inner.redis.query(&redis::Cmd::hgetall(format!("{tag}cfg"))).await?;
        let caps: Vec<(String, u64)> = self.inner.redis.query(&redis::Cmd::hgetall(format!("{tag}cap"))).await?;
        let caps = caps.into_iter().take(TENANTS);
        let tenants = caps.map(|(tenant_id, in_flight)| TenantLimits { tenant_id, in_flight }).collect();
        Ok((self.in_force(&set), tenants))
    }

    /// Changes limits and returns those in force. What is out of range is [`Error::Field`], and nothing changes.
    pub async fn set_limits(
        &self,
        domain: Domain,
        change: &DomainLimits,
        tenants: &[TenantLimits],
    ) -> Result<DomainLimits, Error> {
        let mut changes = changes_of(change)?;
        for tenant in tenants {
            keys::check_id("tenants.tenant_id", &tenant.tenant_id)?;
            let value = if tenant.in_flight == 0 { String::new() } else { tenant.in_flight.to_string() };
            changes.push(("cap", tenant.tenant_id.clone(), value));
        }
        self.rule(domain, &changes).await?;
        Ok(self.limits(domain).await?.0)
    }

    /// Returns what a tenant has waiting and running.
    pub async fn load(&self, domain: Domain, tenant: &TenantId) -> Result<TenantLoad, Error> {
        stats::load(&self.inner, domain, tenant.as_str()).await
    }

    /// Returns the tenants with the most waiting actions.
    pub async fn busiest(&self, domain: Domain, most: usize) -> Result<Vec<TenantLoad>, Error> {
        stats::busiest(&self.inner, domain, most).await
    }

    /// Returns one dead letter with its stored bytes.
    pub async fn dead_letter(&self, domain: Domain, entry: &str) -> Result<Option<DeadLetter>, Error> {
        letters::get(&self.inner, domain, entry).await
    }

    /// Submits dead letters again, with fresh counters.
    pub async fn replay(&self, domain: Domain, letters: &Letters) -> Result<Replayed, Error> {
        letters::replay(&self.inner, domain, letters).await
    }

    /// Throws dead letters away and returns how many.
    pub async fn delete_dead_letters(&self, domain: Domain, letters: &Letters) -> Result<u64, Error> {
        letters::delete(&self.inner, domain, letters).await
    }

    /// Repairs what contradicts the invariants of a domain's queues and returns what still does.
    pub async fn repair(&self, domain: Domain) -> Result<Vec<String>, Error> {
        for part in self.inner.parts_of(domain) {
            part.engine.repair(0).await?;
        }
        self.check(domain).await
    }

    /// Spreads a domain's tenants over another number of partitions; returns the epoch and the number in force. Other processes
    /// follow within a tick; until then they put work where it was put before, and it is done from there.
    pub async fn set_partitions(&self, domain: Domain, partitions: u32) -> Result<(u64, u32), Error> {
        if !(1..=spread::MOST).contains(&partitions) {
            let rule = format!("`partitions` is 1 to {}", spread::MOST);
            return Err(Error::Field { field: "partitions", rule });
        }
        let spread = self.inner.spreads.change(domain, partitions).await?;
        Ok((spread.epoch, spread.counts[0]))
    }

    async fn rule(&self, domain: Domain, changes: &[Change]) -> Result<(), Error> {
        for part in self.inner.parts_of(domain) {
            part.engine.control(changes).await?;
        }
        Ok(())
    }

    /// Puts what is set at run time over what the process was started with.
    fn in_force(&self, set: &HashMap<String, String>) -> DomainLimits {
        let limits = &self.inner.config.limits;
        let number = |name: &str, other: u64| set.get(name).and_then(|value| value.parse().ok()).unwrap_or(other);
        let small = |name: &str, other: u32| u32::try_from(number(name, other.into())).unwrap_or(other);
        let sharing = set.get("sharing").and_then(|word| word.parse().ok()).unwrap_or(limits.sharing);
        let tier = |(place, tier): (usize, Tier)| TierLimits {
            tier: tier.to_proto().into(),
            weight: Some(small(&format!("weight:{tier}"), limits.weights[place])),
            depth: Some(number(&format!("depth:{tier}"), limits.tier_depth)),
            ageing: {
                let ms = u64::try_from(limits.ageing[place].as_millis()).unwrap_or(u64::MAX);
                Some(time::duration_to_proto(Duration::from_millis(number(&format!("ageing:{tier}"), ms))))
            },
        };
        DomainLimits {
            sharing: match sharing {
                Sharing::Weighted => wire::Sharing::Weighted,
                Sharing::Strict => wire::Sharing::Strict,
            }
            .into(),
            reserve_percent: Some(small("reserve", limits.reserve)),
            quantum: Some(small("quantum", limits.quantum)),
            tenant_in_flight: Some(number("cap", limits.tenant_in_flight)),
            queue_depth: Some(number("depth:queue", limits.queue_depth)),
            tenant_depth: Some(number("depth:tenant", limits.tenant_depth)),
            tiers: Tier::ALL.into_iter().enumerate().map(tier).collect(),
        }
    }
}

impl Selection {
    /// Returns the change that pauses or resumes it.
    fn pause(&self, value: &str) -> Result<Change, Error> {
        let value = value.to_owned();
        match (&self.tier, &self.tenant) {
            (None, None) => Ok(("cfg", "pause".to_owned(), value)),
            (Some(tier), None) => Ok(("cfg", format!("pause:{tier}"), value)),
            (None, Some(tenant)) => Ok(("pt", tenant.to_string(), value)),
            (Some(_), Some(_)) => {
                let rule = "a tier or a tenant is paused, not a tenant within a tier".to_owned();
                Err(Error::Field { field: "selection", rule })
            }
        }
    }
}

/// Returns what has to be set, or what is out of range.
fn changes_of(change: &DomainLimits) -> Result<Vec<Change>, Error> {
    let mut changes: Vec<Change> = Vec::new();
    match change.sharing() {
        wire::Sharing::Unspecified => {}
        wire::Sharing::Weighted => changes.push(("cfg", "sharing".to_owned(), "weighted".to_owned())),
        wire::Sharing::Strict => changes.push(("cfg", "sharing".to_owned(), "strict".to_owned())),
    }
    let mut put = |field: &'static str, name: &str, value: Option<u64>, least: u64, most: u64| {
        let Some(value) = value else { return Ok(()) };
        if !(least..=most).contains(&value) {
            return Err(Error::Field { field, rule: format!("`{field}` is {least} to {most}") });
        }
        changes.push(("cfg", name.to_owned(), value.to_string()));
        Ok(())
    };
    // Numbers that Lua holds exactly.
    let most = 1_u64 << 50;
    put("reserve_percent", "reserve", change.reserve_percent.map(u64::from), 0, 100)?;
    put("quantum", "quantum", change.quantum.map(u64::from), 1, 64)?;
    put("tenant_in_flight", "cap", change.tenant_in_flight, 0, most)?;
    put("queue_depth", "depth:queue", change.queue_depth, 0, most)?;
    put("tenant_depth", "depth:tenant", change.tenant_depth, 0, most)?;
    for limits in &change.tiers {
        let tier = Tier::from_proto(limits.tier)?;
        put("tiers.weight", &format!("weight:{tier}"), limits.weight.map(u64::from), 1, 1_000)?;
        put("tiers.depth", &format!("depth:{tier}"), limits.depth, 0, most)?;
        let ageing = limits.ageing.as_ref().map(|ageing| {
            time::duration_from_proto(ageing).ok_or_else(|| Error::Field {
                field: "tiers.ageing",
                rule: "`tiers.ageing` must not be negative".to_owned(),
            })
        });
        let ageing = ageing.transpose()?.map(|ageing| u64::try_from(ageing.as_millis()).unwrap_or(u64::MAX));
        put("tiers.ageing", &format!("ageing:{tier}"), ageing, 0, most)?;
    }
    Ok(changes)
}
