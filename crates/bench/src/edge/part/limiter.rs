//! One of several processes that charge the same tenant at once.

use std::sync::Arc;
use std::time::Duration;

use action::{TenantId, Tier};
use anyhow::{Context as _, Result, bail};
use quota::{Charge, Config, Error, Quota, Tiers, UsageKind};
use serde::Deserialize;
use serde_json::json;

use super::commands::Commands;
use super::say;
use crate::edge::beside;

/// Callers at the same time.
const CALLERS: u32 = 50;

/// A tenant, its limits, and how often each caller asks.
#[derive(Clone, Debug, Deserialize)]
struct Round {
    tenant: String,
    minute: u32,
    day: u32,
    calls: u32,
}

impl Round {
    fn quota(&self, redis: &broker::Redis) -> Quota {
        let mut tiers = Tiers::default();
        let limits = tiers.of_mut(Tier::Professional);
        (limits.per_minute, limits.per_day) = (Some(self.minute), Some(self.day));
        // Long enough for any machine: a process that gives Redis up decides by itself, which is not what is looked at.
        let config = Config { timeout: Duration::from_secs(20), ..Config::default() };
        Quota::new(redis.clone(), Arc::new(tiers), config)
    }

    fn tenant(&self) -> Result<TenantId> {
        Ok(self.tenant.parse()?)
    }

    fn charge(&self) -> Result<Charge> {
        Ok(Charge::new(self.tenant()?, Tier::Professional, UsageKind::Agent))
    }
}

/// Does what it is told: `charge {…}` asks from 50 callers at once and answers how many were admitted; `standing {…}` answers what
/// was charged.
pub(super) async fn run(redis: &str) -> Result<()> {
    let redis = broker::Redis::connect(redis).await.context("reach Redis")?;
    say("ready", &json!({}))?;
    let mut commands = Commands::open()?;
    while let Some((word, round)) = commands.next().await? {
        let round: Round = serde_json::from_str(&round).context("read a round")?;
        let quota = round.quota(&redis);
        match word.as_str() {
            "charge" => charge(&quota, &round).await?,
            "standing" => {
                let windows = quota.status(&round.tenant()?, Tier::Professional).await?;
                let used = |name: &str| {
                    let window = windows.iter().find(|window| window.name == name);
                    window.map(|window| window.limit - window.remaining)
                };
                say("stands", &json!({ "minute": used("minute"), "day": used("day") }))?;
            }
            other => bail!("unknown command {other}"),
        }
    }
    Ok(())
}

async fn charge(quota: &Quota, round: &Round) -> Result<()> {
    let charge = round.charge()?;
    let callers = (0..CALLERS).map(|_| {
        let (quota, charge, calls) = (quota.clone(), charge.clone(), round.calls);
        beside(async move {
            let (mut allowed, mut failed) = (0u32, 0u32);
            for _ in 0..calls {
                match quota.admit(charge.clone()).await {
                    Ok(_) => allowed += 1,
                    Err(Error::Exceeded(_)) => {}
                    Err(_) => failed += 1,
                }
            }
            (allowed, failed)
        })
    });
    let (mut allowed, mut failed) = (0, 0);
    for caller in callers.collect::<Vec<_>>() {
        let (admitted, broken) = caller.await?;
        (allowed, failed) = (allowed + admitted, failed + broken);
    }
    say("charged", &json!({ "allowed": allowed, "failed": failed }))
}
