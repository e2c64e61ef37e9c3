//! What operators see of a domain.

use std::collections::HashMap;
use std::time::{Duration, UNIX_EPOCH};

use action::{Domain, Tier, time};
use proto::queue::v1::{DomainStats, TenantLoad, TierDepth};

use crate::Error;
use crate::part::Part;
use crate::queue::Inner;

/// Most tenants of a tier, and queues of a tenant, whose heads are looked at for the age of the oldest action.
const LOOK: isize = 100;
/// Most tenants that are gone through for the busiest ones, a partition.
const TENANTS: usize = 200_000;

/// Numbers by lane, limits and pauses, leases, delayed, outbox, dead letters, parked tenants, time.
type Answer = (HashMap<String, String>, HashMap<String, String>, u64, u64, u64, u64, Vec<String>, (u64, u64));

pub(crate) async fn of(inner: &Inner, domain: Domain) -> Result<DomainStats, Error> {
    let spread = inner.spreads.of(domain);
    let tier = |tier: Tier| TierDepth { tier: tier.to_proto().into(), ..TierDepth::default() };
    let mut stats = DomainStats {
        domain: domain.as_str().to_owned(),
        tiers: Tier::ALL.into_iter().map(tier).collect(),
        partitions: spread.counts[0],
        ..DomainStats::default()
    };
    for (number, part) in spread.parts.iter().enumerate() {
        let holds = add_part(inner, part, &mut stats).await?;
        if number >= spread.counts[0] as usize && holds {
            stats.draining_partitions += 1;
        }
    }
    Ok(stats)
}

/// Adds what a partition holds, and tells whether it holds anything.
async fn add_part(inner: &Inner, part: &Part, stats: &mut DomainStats) -> Result<bool, Error> {
    let tag = part.engine.tag();
    let mut pipeline = redis::pipe();
    pipeline.hgetall(format!("{tag}n")).hgetall(format!("{tag}cfg"));
    for key in ["lease", "d", "o"] {
        pipeline.zcard(format!("{tag}{key}"));
    }
    pipeline.xlen(format!("{tag}dead")).zrange(format!("{tag}park"), 0, -1).cmd("TIME");
    let answer: Answer = inner.redis.pipeline(&pipeline).await?;
    let (numbers, rules, leases, delayed, outbox, dead, parked, (seconds, micros)) = answer;
    let number = |name: &str| numbers.get(name).and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
    let now = seconds * 1_000 + micros / 1_000;
    for (depth, tier) in stats.tiers.iter_mut().zip(Tier::ALL) {
        let tenants: u64 = inner.redis.query(&redis::Cmd::zcard(format!("{tag}r:{tier}"))).await?;
        depth.waiting += number(tier.as_str());
        depth.claimed += number(&format!("claimed:{tier}"));
        // Some of them may just have got all that they had; none waits where nothing does.
        depth.tenants += if number(tier.as_str()) > 0 { tenants } else { 0 };
        depth.parked += parked.iter().filter(|member| member.starts_with(&format!("{tier}:"))).count() as u64;
        depth.paused |= rules.contains_key(&format!("pause:{tier}"));
        let run = numbers.get(&format!("run:{tier}")).and_then(|run| run.parse::<f64>().ok());
        let run = run.and_then(|ms| Duration::try_from_secs_f64(ms / 1_000.0).ok()).map(time::duration_to_proto);
        depth.mean_run = depth.mean_run.or(run);
        if number(tier.as_str()) > 0
            && let Some(at) = oldest(inner, part, tier, &parked).await?
        {
            let age = Duration::from_millis(now.saturating_sub(at / 1_000));
            let before = depth.oldest.as_ref().and_then(time::duration_from_proto).unwrap_or_default();
            depth.oldest = Some(time::duration_to_proto(age.max(before)));
        }
    }
    stats.in_flight += leases;
    stats.delayed += delayed;
    stats.dead += dead;
    stats.outbox += outbox;
    stats.callbacks += number("callbacks");
    stats.paused |= rules.contains_key("pause");
    stats.at = Some(time::to_proto(UNIX_EPOCH + Duration::from_millis(now)));
    let waiting: u64 = Tier::ALL.iter().map(|tier| number(tier.as_str())).sum();
    Ok(waiting + leases + delayed + number("callbacks") > 0)
}

/// Returns when the oldest action became visible, in microseconds, among the heads of the queues of the tenants that wait
/// longest for their turn and of some that are parked. In a queue the head is the oldest.
async fn oldest(inner: &Inner, part: &Part, tier: Tier, parked: &[String]) -> Result<Option<u64>, Error> {
    let tag = part.engine.tag();
    let ready = redis::Cmd::zrange(format!("{tag}r:{tier}"), 0, LOOK - 1);
    let mut tenants: Vec<String> = inner.redis.query(&ready).await?;
    let some = parked.iter().filter_map(|member| member.strip_prefix(&format!("{tier}:"))).take(LOOK.unsigned_abs());
    tenants.extend(some.map(str::to_owned));
    if tenants.is_empty() {
        return Ok(None);
    }
    let mut rings = redis::pipe();
    for tenant in &tenants {
        rings.lrange(format!("{tag}x:{tier}:{tenant}"), 0, LOOK - 1);
    }
    let rings: Vec<Vec<String>> = inner.redis.pipeline(&rings).await?;
    let mut heads = redis::pipe();
    for (tenant, middles) in tenants.iter().zip(&rings) {
        for middle in middles {
            heads.lindex(format!("{tag}q:{tenant}:{}:{middle}:{tier}", part.domain), 0);
        }
    }
    if heads.is_empty() {
        return Ok(None);
    }
    let heads: Vec<Option<String>> = inner.redis.pipeline(&heads).await?;
    if heads.iter().flatten().next().is_none() {
        return Ok(None);
    }
    let mut moments = redis::pipe();
    for id in heads.iter().flatten() {
        // A body begins with when it became visible.
        moments.getrange(format!("{tag}b:{id}"), 0, 6);
    }
    let moments: Vec<Vec<u8>> = inner.redis.pipeline(&moments).await?;
    let read = |bytes: &Vec<u8>| {
        let seven: [u8; 7] = bytes.as_slice().try_into().ok()?;
        Some(seven.iter().fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte)))
    };
    Ok(moments.iter().filter_map(read).min())
}

/// Returns what a tenant has waiting and running.
pub(crate) async fn load(inner: &Inner, domain: Domain, tenant: &str) -> Result<TenantLoad, Error> {
    let mut load = TenantLoad { tenant_id: tenant.to_owned(), ..TenantLoad::default() };
    for part in inner.parts_of(domain) {
        let tag = part.engine.tag();
        let mut pipeline = redis::pipe();
        pipeline.hget(format!("{tag}w"), tenant).hget(format!("{tag}inf"), tenant);
        let (waiting, running): (Option<u64>, Option<u64>) = inner.redis.pipeline(&pipeline).await?;
        load.waiting += waiting.unwrap_or_default();
        load.in_flight += running.unwrap_or_default();
    }
    Ok(load)
}

/// Returns the tenants with the most waiting actions.
pub(crate) async fn busiest(inner: &Inner, domain: Domain, most: usize) -> Result<Vec<TenantLoad>, Error> {
    let mut loads: HashMap<String, TenantLoad> = HashMap::new();
    for part in inner.parts_of(domain) {
        let tag = part.engine.tag();
        for (tenant, waiting) in all(inner, &format!("{tag}w")).await? {
            loads.entry(tenant).or_default().waiting += waiting;
        }
        for (tenant, running) in all(inner, &format!("{tag}inf")).await? {
            loads.entry(tenant).or_default().in_flight += running;
        }
    }
    let mut loads: Vec<TenantLoad> =
        loads.into_iter().map(|(tenant_id, load)| TenantLoad { tenant_id, ..load }).collect();
    loads.sort_by(|one, other| {
        let key = |load: &TenantLoad| (load.waiting, load.in_flight);
        key(other).cmp(&key(one)).then_with(|| one.tenant_id.cmp(&other.tenant_id))
    });
    loads.truncate(most);
    Ok(loads)
}

/// Goes through a hash of numbers page by page, so that nothing waits for long.
async fn all(inner: &Inner, key: &str) -> Result<HashMap<String, u64>, Error> {
    let (mut cursor, mut found) = ("0".to_owned(), HashMap::new());
    loop {
        let mut page = redis::cmd("HSCAN");
        page.arg(key).arg(&cursor).arg("COUNT").arg(1000);
        let (next, entries): (String, Vec<(String, u64)>) = inner.redis.query(&page).await?;
        found.extend(entries);
        if next == "0" || found.len() >= TENANTS {
            return Ok(found);
        }
        cursor = next;
    }
}
