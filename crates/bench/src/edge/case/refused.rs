//! A tenant that goes on although its day is used up: what each 429 costs, and that Redis does not hear of it.

use std::time::Duration;

use anyhow::Result;

use super::{Stage, figures, per, turns};
use crate::edge::load::{Load, Outcome};
use crate::edge::world::SPENT_PER_DAY;

const CONNECTIONS: usize = 32;
const WARM_UP: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Echo,
    Gateway,
}

pub(super) fn run(stage: &mut Stage<'_>) -> Result<()> {
    let gateway = stage.world.gateway("refusing", &[("OTEL_TRACES_SAMPLER_ARG", "0.1")])?;
    let refused = Load::chat(gateway.address("http")?, &stage.world.spent);
    let echo = Load::plain(stage.world.bare.address("http")?, "/echo");
    stage.world.redis.clear()?;
    let mut allowed = 0;
    while allowed < u64::from(SPENT_PER_DAY) {
        let first = stage.runtime.block_on(refused.run(1, WARM_UP))?;
        let more = first.statuses.get(&200).copied().unwrap_or_default();
        anyhow::ensure!(more > 0, "the day is used up too early: {:?} after {allowed}", first.statuses);
        allowed += more;
    }
    anyhow::ensure!(allowed == u64::from(SPENT_PER_DAY), "{allowed} were let in where the day has {SPENT_PER_DAY}");
    for round in 0..stage.size.rounds {
        for who in turns(round, [Who::Echo, Who::Gateway]) {
            let (process, load, status, name) = match who {
                Who::Echo => (stage.world.bare.meter(), &echo, 200, "echo"),
                Who::Gateway => (gateway.meter(), &refused, 429, "gateway"),
            };
            stage.runtime.block_on(load.run(CONNECTIONS, WARM_UP))?.all(status)?;
            let idle = idle_commands(stage)?;
            let before = (process.used()?, stage.world.redis.used()?);
            let outcome: Outcome = stage.runtime.block_on(load.run(CONNECTIONS, stage.size.run))?;
            let after = (process.used()?, stage.world.redis.used()?);
            outcome.all(status)?;
            // What the process sends Redis also when nobody asks, and this reading itself, are no request's.
            let commands = (after.1.commands - before.1.commands - idle).max(0.0);
            let shown = figures([
                ("cpu_us", per(after.0.cpu_us - before.0.cpu_us, outcome.requests())),
                ("per_s", outcome.per_second()),
                ("redis_commands", per(commands, outcome.requests())),
                ("p50_ms", outcome.latency.percentile(50.0)),
                ("p99_ms", outcome.latency.percentile(99.0)),
            ]);
            stage.results.add("refused", name, shown);
        }
    }
    gateway.stop();
    Ok(())
}

/// Returns how many commands Redis is sent in the time of a run without any request.
fn idle_commands(stage: &Stage<'_>) -> Result<f64> {
    let before = stage.world.redis.used()?;
    std::thread::sleep(stage.size.run);
    Ok(stage.world.redis.used()?.commands - before.commands)
}
