//! What operators see of a domain.

use std::collections::HashMap;

use action::{Domain, Tier, time};
use prost::Message as _;
use prost_types::Any;
use proto::action::v1::{DomainAction, ErrorDetail};
use proto::queue::v1::{DeadLetter, DomainStats, TierDepth};

use crate::queue::Inner;
use crate::{Error, stored};

/// Numbers by lane, leases, delayed, outbox, dead letters, and tenants of the four tiers.
type Answer = (HashMap<String, String>, u64, u64, u64, u64, u64, u64, u64, u64);

pub(crate) async fn stats(inner: &Inner, domain: Domain) -> Result<DomainStats, Error> {
    let tier = |tier: Tier| TierDepth { tier: tier.to_proto().into(), waiting: 0, tenants: 0 };
    let mut stats = DomainStats {
        domain: domain.as_str().to_owned(),
        tiers: Tier::ALL.into_iter().map(tier).collect(),
        ..DomainStats::default()
    };
    for part in inner.parts_of(domain) {
        let tag = part.engine.tag();
        let mut pipeline = redis::pipe();
        pipeline.hgetall(format!("{tag}n"));
        for key in ["lease", "d", "o"] {
            pipeline.zcard(format!("{tag}{key}"));
        }
        pipeline.xlen(format!("{tag}dead"));
        for tier in Tier::ALL {
            pipeline.zcard(format!("{tag}r:{tier}"));
        }
        let (numbers, leases, delayed, outbox, dead, a, b, c, d): Answer = inner.redis.pipeline(&pipeline).await?;
        let waiting = |lane: &str| numbers.get(lane).and_then(|number| number.parse().ok()).unwrap_or(0);
        for ((depth, tier), tenants) in stats.tiers.iter_mut().zip(Tier::ALL).zip([a, b, c, d]) {
            depth.waiting += waiting(tier.as_str());
            depth.tenants += tenants;
        }
        stats.in_flight += leases;
        stats.delayed += delayed;
        stats.dead += dead;
        stats.outbox += outbox;
        stats.callbacks += waiting("callbacks");
    }
    Ok(stats)
}

pub(crate) async fn dead_letters(
    inner: &Inner,
    domain: Domain,
    page_size: usize,
    page_token: &str,
) -> Result<(Vec<DeadLetter>, String), Error> {
    let size = page_size.clamp(1, 100);
    let (partition, after) = read_token(page_token)?;
    let mut letters = Vec::new();
    for (number, part) in inner.parts_of(domain).iter().enumerate().skip(partition) {
        let start = match &after {
            Some(after) if number == partition => format!("({after}"),
            _ => "-".to_owned(),
        };
        let mut command = redis::cmd("XRANGE");
        command.arg(format!("{}dead", part.engine.tag())).arg(start).arg("+");
        command.arg("COUNT").arg(size - letters.len());
        let entries: Vec<(String, HashMap<String, Vec<u8>>)> = inner.redis.query(&command).await?;
        letters.extend(entries.iter().map(|(entry, fields)| letter(entry, fields)));
        if letters.len() == size {
            let next = entries.last().map(|(entry, _)| format!("{number}.{entry}")).unwrap_or_default();
            return Ok((letters, next));
        }
    }
    Ok((letters, String::new()))
}

fn read_token(token: &str) -> Result<(usize, Option<String>), Error> {
    if token.is_empty() {
        return Ok((0, None));
    }
    let (partition, entry) = token.split_once('.').ok_or(Error::PageToken)?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !entry.split_once('-').is_some_and(|(ms, seq)| digits(ms) && digits(seq)) {
        return Err(Error::PageToken);
    }
    Ok((partition.parse().map_err(|_| Error::PageToken)?, Some(entry.to_owned())))
}

fn letter(entry: &str, fields: &HashMap<String, Vec<u8>>) -> DeadLetter {
    let bytes = |name: &str| fields.get(name).map(Vec::as_slice).unwrap_or_default();
    let text = |name: &str| String::from_utf8_lossy(bytes(name)).into_owned();
    let error = ErrorDetail::decode(bytes("error")).map(|detail| detail.message).unwrap_or_default();
    let action = stored::decode(bytes("body")).map(|(_, action)| Any {
        type_url: <DomainAction as prost::Name>::type_url(),
        value: action.to_proto().encode_to_vec(),
    });
    DeadLetter {
        entry_id: entry.to_owned(),
        action_id: text("id"),
        tenant_id: text("tenant"),
        queue_name: text("queue"),
        why: text("why"),
        error,
        at: text("at").parse().ok().map(time::from_unix_ms),
        attempts: text("attempts").parse().unwrap_or_default(),
        action,
    }
}
