//! How the figures of the queues look in a terminal and in JSON.

use std::io::Write;

use action::{Tier, time};
use anyhow::Result;
use proto::queue::v1::{DomainStats, GetSystemOverviewResponse, TenantLoad, TierDepth};
use serde_json::{Map, Value, json};

use crate::span;

/// Writes one line a domain.
pub(super) fn domains(out: &mut impl Write, domains: &[DomainStats]) -> Result<()> {
    writeln!(
        out,
        "{:<14}{:>26}{:>9}{:>8}{:>9}{:>11}{:>7}  state",
        "domain", "waiting ent/pro/adv/free", "oldest", "leased", "delayed", "callbacks", "dead"
    )?;
    for stats in domains {
        let waiting: Vec<String> = stats.tiers.iter().map(|tier| tier.waiting.to_string()).collect();
        let line = format!(
            "{:<14}{:>26}{:>9}{:>8}{:>9}{:>11}{:>7}  {}",
            stats.domain,
            waiting.join("/"),
            span::of(oldest(stats)),
            stats.in_flight,
            stats.delayed,
            stats.callbacks,
            stats.dead,
            state(stats)
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Writes one line a tier of a domain.
pub(super) fn tiers(out: &mut impl Write, stats: &DomainStats) -> Result<()> {
    writeln!(
        out,
        "\n{:<14}{:>9}{:>9}{:>10}{:>9}{:>8}{:>10}  state",
        "tier", "waiting", "oldest", "claimed", "tenants", "parked", "mean run"
    )?;
    for depth in &stats.tiers {
        let line = format!(
            "{:<14}{:>9}{:>9}{:>10}{:>9}{:>8}{:>10}  {}",
            tier_name(depth),
            depth.waiting,
            span::of(depth.oldest.as_ref()),
            depth.claimed,
            depth.tenants,
            depth.parked,
            span::of(depth.mean_run.as_ref()),
            if depth.paused { "paused" } else { "" }
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Writes the sums over all domains.
pub(super) fn sums(out: &mut impl Write, overview: &GetSystemOverviewResponse) -> Result<()> {
    let GetSystemOverviewResponse { waiting, in_flight, delayed, dead, .. } = overview;
    writeln!(out, "\n{waiting} waiting, {in_flight} leased, {delayed} delayed, {dead} dead")?;
    Ok(())
}

/// Writes one line a tenant.
pub(super) fn tenants(out: &mut impl Write, tenants: &[TenantLoad]) -> Result<()> {
    writeln!(out, "{:<40}{:>9}{:>8}", "tenant", "waiting", "leased")?;
    for load in tenants {
        writeln!(out, "{:<40}{:>9}{:>8}", load.tenant_id, load.waiting, load.in_flight)?;
    }
    Ok(())
}

/// Returns what a domain holds as JSON; spans are seconds.
pub(super) fn stats_json(stats: &DomainStats) -> Value {
    let tiers: Map<_, _> = stats.tiers.iter().map(|depth| (tier_name(depth), tier_json(depth))).collect();
    json!({
        "domain": stats.domain, "tiers": tiers, "in_flight": stats.in_flight, "delayed": stats.delayed,
        "callbacks": stats.callbacks, "outbox": stats.outbox, "dead": stats.dead, "paused": stats.paused,
        "partitions": stats.partitions, "draining_partitions": stats.draining_partitions,
        "at": stats.at.as_ref().map(ToString::to_string),
    })
}

fn tier_json(depth: &TierDepth) -> Value {
    json!({
        "waiting": depth.waiting, "tenants": depth.tenants, "oldest_seconds": span::json(depth.oldest.as_ref()),
        "claimed": depth.claimed, "parked": depth.parked, "paused": depth.paused,
        "mean_run_seconds": span::json(depth.mean_run.as_ref()),
    })
}

/// Returns all domains and their sums as JSON.
pub(super) fn overview_json(overview: &GetSystemOverviewResponse) -> Value {
    json!({
        "domains": overview.domains.iter().map(stats_json).collect::<Value>(),
        "waiting": overview.waiting, "in_flight": overview.in_flight, "delayed": overview.delayed,
        "dead": overview.dead,
    })
}

/// Returns what tenants have as JSON.
pub(super) fn tenants_json(tenants: &[TenantLoad]) -> Value {
    let load = |load: &TenantLoad| json!({ "tenant_id": load.tenant_id, "waiting": load.waiting, "in_flight": load.in_flight });
    tenants.iter().map(load).collect()
}

/// Returns how long the oldest waiting action of any tier has waited.
pub(super) fn oldest(stats: &DomainStats) -> Option<&prost_types::Duration> {
    let ages = stats.tiers.iter().filter_map(|tier| tier.oldest.as_ref());
    ages.max_by_key(|age| time::duration_from_proto(age))
}

/// Says what is out of the ordinary about a domain.
pub(super) fn state(stats: &DomainStats) -> String {
    let mut words = Vec::new();
    if stats.paused {
        words.push("paused".to_owned());
    }
    let tiers = stats.tiers.iter().filter(|tier| tier.paused);
    words.extend(tiers.map(|tier| format!("{} paused", tier_name(tier))));
    if stats.partitions > 1 {
        words.push(format!("{} partitions", stats.partitions));
    }
    if stats.draining_partitions > 0 {
        words.push(format!("{} draining", stats.draining_partitions));
    }
    words.join(", ")
}

/// Returns the word for a tier; a number for one of a later version.
pub(super) fn tier_name(depth: &TierDepth) -> String {
    Tier::from_proto(depth.tier).map_or_else(|_| depth.tier.to_string(), |tier| tier.to_string())
}
