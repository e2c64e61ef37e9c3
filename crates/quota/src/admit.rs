//! The decision.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use action::{TenantId, Tier};
use broker::Script;

use crate::{Error, TierLimits, Tiers};

/// What a request is counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UsageKind {
    /// A message to an agent.
    Agent,
    /// A run of a workflow.
    Workflow,
    /// Work on a collection, such as a document.
    Collection,
    /// A search or a question outside a chat.
    Query,
}

impl UsageKind {
    /// Returns the field of the tenant's usage.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Agent => "agent_requests",
            Self::Workflow => "workflow_requests",
            Self::Collection => "collection_requests",
            Self::Query => "query_requests",
        }
    }
}

/// One limited window of a tenant as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// `minute` or `day`.
    pub name: &'static str,
    /// Requests that it allows.
    pub limit: u32,
    /// Requests that are left.
    pub remaining: u32,
    /// Time until it ends and everything is left again.
    pub reset: Duration,
}

/// A request was admitted and charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The windows after the charge; a tier without limits has none.
    pub windows: Vec<Window>,
}

#[derive(Debug)]
struct Scripts {
    admit: Script,
    tier: Script,
}

/// Decides about requests. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Quota {
    redis: broker::Redis,
    tiers: Arc<Tiers>,
    scripts: Arc<Scripts>,
    now: Option<SystemTime>,
}

impl Quota {
    /// Takes the server that counts and the limits that hold.
    pub fn new(redis: broker::Redis, tiers: Arc<Tiers>) -> Self {
        let scripts = Scripts {
            admit: Script::new("quota_admit", concat!(include_str!("tier.lua"), include_str!("admit.lua"))),
            tier: Script::new("quota_tier", concat!(include_str!("tier.lua"), "count_of_tier(KEYS[1])")),
        };
        Self { redis, tiers, scripts: Arc::new(scripts), now: None }
    }

    /// Decides as if it were `now`, instead of by Redis' clock.
    #[must_use]
    pub fn at(mut self, now: SystemTime) -> Self {
        self.now = Some(now);
        self
    }

    /// Returns the limits that hold.
    pub fn tiers(&self) -> &Tiers {
        &self.tiers
    }

    /// Admits a request and charges it, or refuses it and charges nothing.
    pub async fn admit(&self, tenant: &TenantId, tier: Tier, kind: UsageKind) -> Result<Admitted, Error> {
        let decided = self.decide(tenant, tier, kind.field()).await;
        telemetry::metric::limit::decided(tier.as_str(), outcome(decided.as_ref().map(|_| ())));
        decided.map(|windows| Admitted { windows })
    }

    /// Returns the windows as they stand, and charges nothing.
    pub async fn status(&self, tenant: &TenantId, tier: Tier) -> Result<Vec<Window>, Error> {
        let limits = self.tiers.of(tier);
        let answer = self.ask(tenant, tier, limits, "").await?;
        Ok(windows(limits, &answer))
    }

    async fn decide(&self, tenant: &TenantId, tier: Tier, field: &'static str) -> Result<Vec<Window>, Error> {
        let limits = self.tiers.of(tier);
        let answer = self.ask(tenant, tier, limits, field).await?;
        let windows = windows(limits, &answer);
        if answer.admitted {
            if self.redis.is_cluster() {
                self.count_of_tier(tier, &answer.today).await;
            }
            return Ok(windows);
        }
        // Waiting for the first of two windows that are used up would only end at the second.
        let used_up = windows.into_iter().filter(|window| window.remaining == 0).max_by_key(|window| window.reset);
        let window = used_up.ok_or(Error::Malformed("refused with every window open"))?;
        Err(Error::Exceeded { window: window.name, limit: window.limit, retry_after: window.reset })
    }

    async fn ask(&self, tenant: &TenantId, tier: Tier, limits: &TierLimits, field: &str) -> Result<Answer, Error> {
        let (rates, usage, of_tier);
        let keys: &[&str] = if self.redis.is_cluster() {
            (rates, usage) = (format!("rate_limit:{{{tenant}}}"), format!("usage:{{{tenant}}}"));
            &[&rates, &usage]
        } else {
            (rates, usage) = (format!("rate_limit:{tenant}"), format!("usage:{tenant}"));
            of_tier = usage_of_tier(tier);
            &[&rates, &usage, &of_tier]
        };
        let now = self.now.and_then(|now| now.duration_since(UNIX_EPOCH).ok()).map_or(0, |since| since.as_millis());
        let limit = |limit: Option<u32>| limit.map_or(-1, i64::from).to_string().into_bytes();
        let arguments =
            [now.to_string().into_bytes(), limit(limits.per_minute), limit(limits.per_day), field.as_bytes().to_vec()];
        let (admitted, minute_used, minute_left, day_used, day_left, today): (i64, i64, i64, i64, i64, String) =
            self.redis.run(&self.scripts.admit, keys, &arguments).await?;
        Ok(Answer { admitted: admitted == 1, minute: (minute_used, minute_left), day: (day_used, day_left), today })
    }

    /// Counts an admitted request for its tier where the script could not, because the key lies in another slot.
    async fn count_of_tier(&self, tier: Tier, today: &str) {
        let key = format!("{}:{today}", usage_of_tier(tier));
        // The request is admitted and charged, and this is a figure for people: refusing it now would be worse than one too few.
        if let Err(error) = self.redis.run::<()>(&self.scripts.tier, &[&key], &[]).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "a request was not counted for its tier");
        }
    }
}

fn usage_of_tier(tier: Tier) -> String {
    format!("usage:tier:{tier}")
}

/// What the script says: per window the requests used and the milliseconds until it ends, and the date.
struct Answer {
    admitted: bool,
    minute: (i64, i64),
    day: (i64, i64),
    today: String,
}

fn windows(limits: &TierLimits, answer: &Answer) -> Vec<Window> {
    let both = [("minute", limits.per_minute, answer.minute), ("day", limits.per_day, answer.day)];
    let limited = both.into_iter().filter_map(|(name, limit, (used, left))| {
        let limit = limit?;
        let used = u32::try_from(used).unwrap_or(u32::MAX);
        let reset = Duration::from_millis(u64::try_from(left).unwrap_or_default());
        Some(Window { name, limit, remaining: limit.saturating_sub(used), reset })
    });
    limited.collect()
}

fn outcome(decided: Result<(), &Error>) -> &'static str {
    match decided {
        Ok(()) => "admitted",
        Err(Error::Exceeded { window: "minute", .. }) => "refused_minute",
        Err(Error::Exceeded { .. }) => "refused_day",
        Err(Error::Malformed(_) | Error::Broker(_)) => "unavailable",
    }
}
