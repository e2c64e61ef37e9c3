//! The queues in the mission's words.

use action::Tier;
use proto::queue::v1::{DomainStats, TierDepth};
use quota::Tiers;
use serde_json::{Map, Value, json};

/// Renders each domain under its name.
pub(super) fn by_domain(stats: &[DomainStats], render: impl Fn(&DomainStats) -> Value) -> Value {
    stats.iter().map(|domain| (domain.domain.clone(), render(domain))).collect::<Map<_, _>>().into()
}

/// How much there is, over all tiers.
pub(super) fn totals(stats: &DomainStats) -> Value {
    json!({
        "waiting": waiting(stats),
        "in_flight": stats.in_flight,
        "delayed": stats.delayed,
        "dead": stats.dead,
        "callbacks": stats.callbacks,
        "outbox": stats.outbox,
    })
}

/// What each tier holds, with the rate limit of its tenants.
pub(super) fn tiers(stats: &DomainStats, tiers: &Tiers) -> Value {
    by_tier(stats, |tier, depth| {
        json!({
            "queue_count": depth.tenants,
            "total_items": depth.waiting,
            "rate_limit": tiers.of(tier).per_minute,
        })
    })
}

/// Waiting actions by tier, and their sum.
pub(super) fn system(stats: &DomainStats) -> Value {
    let tiers = by_tier(stats, |_, depth| json!({ "queue_count": depth.tenants, "items": depth.waiting }));
    json!({ "tiers": tiers, "total_items": waiting(stats) })
}

fn by_tier(stats: &DomainStats, render: impl Fn(Tier, &TierDepth) -> Value) -> Value {
    let known = stats.tiers.iter().filter_map(|depth| Some((Tier::from_proto(depth.tier).ok()?, depth)));
    known.map(|(tier, depth)| (tier.to_string(), render(tier, depth))).collect::<Map<_, _>>().into()
}

fn waiting(stats: &DomainStats) -> u64 {
    stats.tiers.iter().map(|tier| tier.waiting).sum()
}
