//! The queues in the mission's words, as JSON.

use action::{Tier, time};
use proto::queue::v1::{DomainStats, TierDepth};
use quota::Tiers;
use serde_json::{Map, Value, json};

/// Renders each domain under its name.
pub fn by_domain(stats: &[DomainStats], render: impl Fn(&DomainStats) -> Value) -> Value {
    stats.iter().map(|domain| (domain.domain.clone(), render(domain))).collect::<Map<_, _>>().into()
}

/// How much there is, over all tiers.
pub fn totals(stats: &DomainStats) -> Value {
    json!({
        "waiting": waiting(stats),
        "in_flight": stats.in_flight,
        "delayed": stats.delayed,
        "dead": stats.dead,
        "callbacks": stats.callbacks,
        "outbox": stats.outbox,
        "oldest_seconds": oldest(stats),
        "claimed": sum(stats, |tier| tier.claimed),
        "parked": sum(stats, |tier| tier.parked),
        "paused": stats.paused,
        "partitions": stats.partitions,
        "draining_partitions": stats.draining_partitions,
    })
}

/// What each tier holds, with the rate limit of its tenants.
pub fn tiers(stats: &DomainStats, tiers: &Tiers) -> Value {
    by_tier(stats, |tier, depth| {
        json!({
            "queue_count": depth.tenants,
            "total_items": depth.waiting,
            "rate_limit": tiers.of(tier).per_minute,
            "oldest_seconds": seconds(depth.oldest.as_ref()),
            "claimed": depth.claimed,
            "parked": depth.parked,
            "paused": stats.paused || depth.paused,
            "mean_run_seconds": seconds(depth.mean_run.as_ref()),
        })
    })
}

/// Waiting actions by tier, and their sum.
pub fn system(stats: &DomainStats) -> Value {
    let tiers = by_tier(stats, |_, depth| {
        json!({
            "queue_count": depth.tenants,
            "items": depth.waiting,
            "oldest_seconds": seconds(depth.oldest.as_ref()),
            "parked": depth.parked,
            "paused": stats.paused || depth.paused,
        })
    });
    json!({ "tiers": tiers, "total_items": waiting(stats), "oldest_seconds": oldest(stats), "paused": stats.paused })
}

fn by_tier(stats: &DomainStats, render: impl Fn(Tier, &TierDepth) -> Value) -> Value {
    let known = stats.tiers.iter().filter_map(|depth| Some((Tier::from_proto(depth.tier).ok()?, depth)));
    known.map(|(tier, depth)| (tier.to_string(), render(tier, depth))).collect::<Map<_, _>>().into()
}

fn waiting(stats: &DomainStats) -> u64 {
    sum(stats, |tier| tier.waiting)
}

fn sum(stats: &DomainStats, of: fn(&TierDepth) -> u64) -> u64 {
    stats.tiers.iter().map(of).sum()
}

/// Returns how long the oldest waiting action of any tier has waited; null when none waits.
fn oldest(stats: &DomainStats) -> Value {
    let ages = stats.tiers.iter().filter_map(|tier| time::duration_from_proto(tier.oldest.as_ref()?));
    ages.max().map_or(Value::Null, |age| age.as_secs_f64().into())
}

fn seconds(duration: Option<&prost_types::Duration>) -> Value {
    duration.and_then(time::duration_from_proto).map_or(Value::Null, |duration| duration.as_secs_f64().into())
}
