//! `nooble queue`: shows what the queues hold, and operates them.

mod control;
mod limits;
mod show;
mod submit;
mod top;

use anyhow::Result;
use proto::queue::v1::{
    CheckQueuesRequest, GetQueueStatsRequest, GetSystemOverviewRequest, ListBusiestTenantsRequest, SetPartitionsRequest,
};
use serde_json::json;

use crate::mesh::{Operator, print_json, refused};

/// Shows what the queues hold, and operates them.
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
        operator: Operator,
    },
    /// All domains and their sums.
    Overview {
        #[command(flatten)]
        operator: Operator,
    },
    /// The tenants with the most waiting and running actions of a domain.
    Tenants {
        /// Domain to show, e.g. `execution`.
        domain: String,
        /// Most tenants to show, 1 to 100.
        #[arg(long, default_value_t = 10)]
        limit: i32,
        #[command(flatten)]
        operator: Operator,
    },
    /// Watch the queues live; changes nothing.
    Top(top::Top),
    /// Stop claims of a domain, a tier or a tenant; submits go on.
    Pause(control::Claims),
    /// Let claims go on.
    Resume(control::Claims),
    /// End waiting and delayed actions as cancelled; running ones are left alone.
    Purge(control::Purge),
    /// Show or change limits and shares of a domain.
    #[command(subcommand)]
    Limits(limits::Limits),
    /// Find what contradicts the rules of the queues; fails when something does, or still does after repairing.
    Check {
        /// Domain to check, e.g. `execution`; all when absent.
        #[arg(default_value = "")]
        domain: String,
        /// Repair what is found.
        #[arg(long)]
        repair: bool,
        #[command(flatten)]
        operator: Operator,
    },
    /// Spread a domain's tenants over another number of partitions, while work goes on.
    Partitions {
        /// Domain, e.g. `execution`.
        domain: String,
        /// Partitions, 1 to 64.
        partitions: u32,
        #[command(flatten)]
        operator: Operator,
    },
    /// Put an action into its queue, now or later.
    Submit(submit::Submit),
}

impl Queue {
    /// Runs the command.
    pub(crate) async fn run(self) -> Result<()> {
        match self.command {
            Command::Stats { domain, operator } => stats(domain, &operator).await,
            Command::Overview { operator } => overview(&operator).await,
            Command::Tenants { domain, limit, operator } => tenants(domain, limit, &operator).await,
            Command::Top(top) => Box::pin(top.run()).await,
            Command::Pause(claims) => claims.pause().await,
            Command::Resume(claims) => claims.resume().await,
            Command::Purge(purge) => purge.run().await,
            Command::Limits(limits) => limits.run().await,
            Command::Check { domain, repair, operator } => {
                let request = CheckQueuesRequest { domain, repair };
                let answer = operator.queues().await?.check_queues(request).await.map_err(|status| refused(&status))?;
                control::checked(&answer.into_inner(), repair, operator.json)
            }
            Command::Partitions { domain, partitions, operator } => spread(domain, partitions, &operator).await,
            Command::Submit(submit) => submit.run().await,
        }
    }
}

async fn stats(domain: String, operator: &Operator) -> Result<()> {
    let single = !domain.is_empty();
    let request = GetQueueStatsRequest { domain };
    let answer = operator.queues().await?.get_queue_stats(request).await.map_err(|status| refused(&status))?;
    let domains = answer.into_inner().domains;
    if operator.json {
        return print_json(&domains.iter().map(show::stats_json).collect());
    }
    let mut out = std::io::stdout().lock();
    show::domains(&mut out, &domains)?;
    if single { domains.iter().try_for_each(|stats| show::tiers(&mut out, stats)) } else { Ok(()) }
}

async fn overview(operator: &Operator) -> Result<()> {
    let request = GetSystemOverviewRequest {};
    let answer = operator.queues().await?.get_system_overview(request).await.map_err(|status| refused(&status))?;
    let overview = answer.into_inner();
    if operator.json {
        return print_json(&show::overview_json(&overview));
    }
    let mut out = std::io::stdout().lock();
    show::domains(&mut out, &overview.domains)?;
    show::sums(&mut out, &overview)
}

async fn tenants(domain: String, limit: i32, operator: &Operator) -> Result<()> {
    let request = ListBusiestTenantsRequest { domain, limit };
    let answer = operator.queues().await?.list_busiest_tenants(request).await.map_err(|status| refused(&status))?;
    let tenants = answer.into_inner().tenants;
    if operator.json {
        return print_json(&show::tenants_json(&tenants));
    }
    show::tenants(&mut std::io::stdout().lock(), &tenants)
}

async fn spread(domain: String, partitions: u32, operator: &Operator) -> Result<()> {
    let request = SetPartitionsRequest { domain, partitions };
    let answer = operator.queues().await?.set_partitions(request).await.map_err(|status| refused(&status))?;
    let spread = answer.into_inner();
    if operator.json {
        return print_json(&json!({ "epoch": spread.epoch, "partitions": spread.partitions }));
    }
    control::say(&format!("{} partitions since change {}", spread.partitions, spread.epoch))
}

#[cfg(test)]
mod tests;
