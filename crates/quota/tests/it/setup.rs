//! What the tests begin with.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use action::{TaskId, TenantId, Tier};
use quota::{Charge, Config, Error, Exceeded, Quota, Tiers, UsageKind};

/// 2024-02-29 12:00:00 UTC: a leap day, at the beginning of a minute.
pub(crate) const NOON: u64 = 1_709_208_000;

/// The beginning of a minute after noon, in milliseconds.
pub(crate) const fn minute(number: u64) -> u64 {
    (NOON + number * 60) * 1000
}

pub(crate) async fn quota(redis: &testkit::Redis) -> Quota {
    with(redis, Tiers::default()).await
}

pub(crate) async fn with(redis: &testkit::Redis, tiers: Tiers) -> Quota {
    configured(redis, tiers, Config::default()).await
}

pub(crate) async fn configured(redis: &testkit::Redis, tiers: Tiers, config: Config) -> Quota {
    let redis = broker::Redis::connect(&redis.url()).await.expect("the server is there");
    Quota::new(redis, Arc::new(tiers), config)
}

pub(crate) fn acme() -> TenantId {
    "acme".parse().expect("a tenant")
}

/// A message to an agent without limits of its own.
pub(crate) fn chat(tier: Tier) -> Charge {
    Charge::new(acme(), tier, UsageKind::Agent)
}

/// A message that becomes a task.
pub(crate) fn task(tier: Tier, tokens: u64) -> Charge {
    Charge { task: Some(TaskId::new()), tokens, ..chat(tier) }
}

pub(crate) fn at(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(ms)
}

/// Asks `times` times at one moment and returns how often it was admitted.
pub(crate) async fn admitted(quota: &Quota, ms: u64, times: u32) -> u32 {
    let quota = quota.clone().at(at(ms));
    let mut admitted = 0;
    for _ in 0..times {
        admitted += u32::from(quota.admit(chat(Tier::Free)).await.is_ok());
    }
    admitted
}

/// Returns what is used up.
pub(crate) fn exceeded(error: &Error) -> &Exceeded {
    let Error::Exceeded(exceeded) = error else { panic!("a limit is used up, and not: {error}") };
    exceeded
}

/// Returns how many are left of a limit.
pub(crate) fn left(windows: &[quota::Window], name: &str) -> Option<u64> {
    windows.iter().find(|window| window.name == name).map(|window| window.remaining)
}

/// Returns how often the server ran a command since its statistics were reset.
pub(crate) fn calls(redis: &testkit::Redis, command: &str) -> u64 {
    let stats = redis.command(&["INFO", "commandstats"]);
    let line = stats.lines().find(|line| line.starts_with(&format!("cmdstat_{command}:")));
    line.map_or(0, |line| {
        let count = line.split("calls=").nth(1).and_then(|rest| rest.split(',').next());
        count.expect("a count").parse().expect("a number")
    })
}
