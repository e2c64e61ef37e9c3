//! Our side of the benchmark: the hidden command `bench-part`, one process that does one scenario through the public API of
//! the queue crate and speaks the protocol of [`crate::protocol`].

mod load;
mod ours;
mod paced;
mod special;
mod stage;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::edge;

/// Numbers of a scenario, as the harness tells them to every process. Peers read the same.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Numbers {
    /// Where Redis is.
    pub url: String,
    /// Jobs to do.
    pub jobs: usize,
    /// Tenants in each of the tiers.
    pub tenants_per_tier: usize,
    /// Tiers that are used.
    pub tiers: usize,
    /// Contexts of a tenant.
    pub contexts: usize,
    /// Length of what is stored for a job.
    pub body: usize,
    /// Length of our payload that makes the stored body that long.
    pub payload: usize,
    /// Submits that wait for their answer at the same time.
    pub in_flight: usize,
    /// Jobs of one submit.
    pub batch: usize,
    /// Jobs that are worked on at the same time.
    pub concurrency: usize,
    /// Jobs that may wait while a producer and a worker run beside each other.
    pub window: usize,
    /// How long that goes on.
    pub seconds: f64,
    /// Whether tasks are recorded.
    pub recorded: bool,
    /// Whether the action is that of a chat, with all that it carries.
    pub chat: bool,
    /// How long a job takes.
    pub handler_ms: u64,
    /// Jobs of a tenant that has many.
    pub noisy: usize,
    /// Tenants that have few.
    pub quiet: usize,
    /// Time between two released jobs, in nanoseconds.
    pub period_ns: u64,
    /// `fill` or `work`, in the scenario that kills.
    pub role: String,
}

/// Does one scenario.
pub async fn run(scenario: &str, numbers: &str) -> Result<()> {
    if let Some(name) = scenario.strip_prefix(edge::part::PREFIX) {
        return edge::part::run(name, numbers).await;
    }
    let numbers: Numbers = serde_json::from_str(numbers).context("read the numbers of the scenario")?;
    match scenario {
        "enqueue" => load::enqueue(&numbers).await,
        "drain" => load::drain(&numbers).await,
        "end_to_end" => load::end_to_end(&numbers).await,
        "pickup" => paced::pickup(&numbers).await,
        "fairness" => paced::fairness(&numbers).await,
        "tiers" => special::tiers(&numbers).await,
        "crash" => special::crash(&numbers).await,
        "scale" => special::scale(&numbers).await,
        "probe" => load::probe(&numbers).await,
        other => bail!("unknown scenario {other}"),
    }
}
