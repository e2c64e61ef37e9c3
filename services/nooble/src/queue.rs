//! `nooble queue` and its dead letters: what the queues hold.

use std::io::Write as _;

use anyhow::Result;
use proto::queue::v1::queue_service_client::QueueServiceClient;
use proto::queue::v1::{DeadLetter, DomainStats, GetQueueStatsRequest, ListDeadLettersRequest};
use serde_json::json;

use crate::mesh::{Access, refused};

/// Shows what the queues hold.
#[derive(clap::Args, Debug)]
pub(crate) struct Queue {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Waiting, leased, delayed and dead actions by domain and tier.
    Stats {
        /// Domain to show, e.g. `execution`; all when absent.
        #[arg(default_value = "")]
        domain: String,
        #[command(flatten)]
        access: Access,
    },
    /// Actions of a domain that were given up, oldest first.
    Dead {
        /// Domain to show, e.g. `execution`.
        domain: String,
        #[command(flatten)]
        access: Access,
    },
}

impl Queue {
    /// Runs the command.
    pub(crate) async fn run(self) -> Result<()> {
        match self.command {
            Command::Stats { domain, access } => stats(domain, &access).await,
            Command::Dead { domain, access } => dead(domain, &access).await,
        }
    }
}

async fn stats(domain: String, access: &Access) -> Result<()> {
    let mut client = QueueServiceClient::new(access.connect().await?);
    let answer = client.get_queue_stats(GetQueueStatsRequest { domain }).await.map_err(|status| refused(&status))?;
    let domains = answer.into_inner().domains;
    let mut out = std::io::stdout().lock();
    if access.json {
        let rows: Vec<_> = domains.iter().map(stats_json).collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?;
        return Ok(());
    }
    writeln!(
        out,
        "{:<14}{:>32}{:>10}{:>9}{:>10}{:>7}",
        "domain", "waiting ent/pro/adv/free", "leased", "delayed", "callbacks", "dead"
    )?;
    for stats in domains {
        let waiting: Vec<String> = stats.tiers.iter().map(|tier| tier.waiting.to_string()).collect();
        let (leased, delayed, callbacks, dead) = (stats.in_flight, stats.delayed, stats.callbacks, stats.dead);
        writeln!(out, "{:<14}{:>32}{leased:>10}{delayed:>9}{callbacks:>10}{dead:>7}", stats.domain, waiting.join("/"))?;
    }
    Ok(())
}

fn stats_json(stats: &DomainStats) -> serde_json::Value {
    let tiers: serde_json::Map<_, _> = stats
        .tiers
        .iter()
        .filter_map(|depth| Some((action::Tier::from_proto(depth.tier).ok()?, depth)))
        .map(|(tier, depth)| (tier.to_string(), json!({ "waiting": depth.waiting, "tenants": depth.tenants })))
        .collect();
    json!({
        "domain": stats.domain, "tiers": tiers, "in_flight": stats.in_flight, "delayed": stats.delayed,
        "callbacks": stats.callbacks, "outbox": stats.outbox, "dead": stats.dead,
    })
}

async fn dead(domain: String, access: &Access) -> Result<()> {
    let mut client = QueueServiceClient::new(access.connect().await?);
    let request = ListDeadLettersRequest { domain, page_size: 100, page_token: String::new() };
    let letters = client.list_dead_letters(request).await.map_err(|status| refused(&status))?.into_inner().dead_letters;
    let mut out = std::io::stdout().lock();
    if access.json {
        let rows: Vec<_> = letters.iter().map(letter_json).collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?;
        return Ok(());
    }
    for letter in letters {
        writeln!(
            out,
            "{} {} {} {}: {}",
            letter.entry_id, letter.queue_name, letter.action_id, letter.why, letter.error
        )?;
    }
    Ok(())
}

fn letter_json(letter: &DeadLetter) -> serde_json::Value {
    json!({
        "entry_id": letter.entry_id, "action_id": letter.action_id, "tenant_id": letter.tenant_id,
        "queue_name": letter.queue_name, "why": letter.why, "error": letter.error, "attempts": letter.attempts,
    })
}
