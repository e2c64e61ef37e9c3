//! Messages to many sockets in turn, at a rate that does not wait for anybody.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior};

use super::commands::Commands;
use super::say;

/// Time between two handfuls.
const TICK: Duration = Duration::from_millis(2);

/// Pushes when it is told so: `push <messages> <per second>` makes `push(0)`, `push(1)` … and answers `pushed`; `count` answers how
/// many sockets there are.
pub(super) async fn obey(push: impl Fn(usize), sockets: impl Fn() -> usize) -> Result<()> {
    let mut commands = Commands::open()?;
    while let Some((word, rest)) = commands.next().await? {
        match word.as_str() {
            "push" => {
                let (messages, rate) = rest.split_once(' ').context("push <messages> <per second>")?;
                let begun = Instant::now();
                paced(messages.parse()?, rate.parse()?, &push).await;
                say("pushed", &json!({ "seconds": begun.elapsed().as_secs_f64() }))?;
            }
            "count" => say("counted", &json!({ "sockets": sockets() }))?,
            other => bail!("unknown command {other}"),
        }
    }
    Ok(())
}

async fn paced(messages: usize, per_second: u32, push: impl Fn(usize)) {
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sent = 0;
    while sent < messages {
        ticks.tick().await;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of messages, from 0 up")]
        let due = (begun.elapsed().as_secs_f64() * f64::from(per_second)) as usize;
        while sent < due.min(messages) {
            push(sent);
            sent += 1;
        }
    }
}
