//! Processes beside the product: what it is compared with, what it calls, and what strains it. Each says `ready {…}` when it
//! serves, does what lines on its standard input tell it, and ends when that is closed.

mod bare;
mod commands;
mod limiter;
mod pusher;
mod receiver;
mod upstream;

use std::io::Write as _;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::Value;

/// The beginning of the names of these processes.
pub(crate) const PREFIX: &str = "edge.";

/// What a process is told when it starts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Numbers {
    /// Where Redis is.
    redis: String,
    /// Where the other services are, `http://host:port`.
    upstream: String,
    /// Sessions to follow.
    sessions: usize,
}

/// Runs one of them.
pub(crate) async fn run(name: &str, numbers: &str) -> Result<()> {
    let numbers: Numbers = serde_json::from_str(numbers).context("read what the process is told")?;
    match name {
        "bare" => bare::run(&numbers.upstream).await,
        "upstream" => upstream::run().await,
        "receiver" => receiver::run(&numbers.upstream, numbers.sessions).await,
        "limiter" => limiter::run(&numbers.redis).await,
        other => bail!("there is no part {other}"),
    }
}

/// Says one line.
fn say(word: &str, facts: &Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{word} {facts}")?;
    Ok(out.flush()?)
}
