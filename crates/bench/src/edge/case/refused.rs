//! A tenant that goes on although its day is used up: what each 429 costs, and that Redis is not asked about it.

use std::time::Duration;

use anyhow::Result;

use super::{Stage, figures, per, turns};
use crate::edge::load::{Load, Outcome};
use crate::edge::world::{SPENT, SPENT_PER_DAY};

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
    let watch = stage.world.redis.watch()?;
    let mut allowed = 0;
    while allowed < u64::from(SPENT_PER_DAY) {
        let first = stage.runtime.block_on(refused.run(1, WARM_UP))?;
        let more = first.statuses.get(&200).copied().unwrap_or_default();
        anyhow::ensure!(more > 0, "the day is used up too early: {:?} after {allowed}", first.statuses);
        allowed += more;
    }
    anyhow::ensure!(allowed == u64::from(SPENT_PER_DAY), "{allowed} were let in where the day has {SPENT_PER_DAY}");
    let asked = u64::from(watch.naming(SPENT)?);
    anyhow::ensure!(asked >= allowed, "{allowed} were let in, and Redis was asked {asked} times about their tenant");
    for round in 0..stage.size.rounds {
        for who in turns(round, [Who::Echo, Who::Gateway]) {
            let (process, load, status, name) = match who {
                Who::Echo => (stage.world.bare.meter(), &echo, 200, "echo"),
                Who::Gateway => (gateway.meter(), &refused, 429, "gateway"),
            };
            stage.runtime.block_on(load.run(CONNECTIONS, WARM_UP))?.all(status)?;
            let watch = stage.world.redis.watch()?;
            let before = process.used()?;
            let outcome: Outcome = stage.runtime.block_on(load.run(CONNECTIONS, stage.size.run))?;
            let after = process.used()?;
            outcome.all(status)?;
            let commands = watch.naming(SPENT)?;
            let shown = figures([
                ("cpu_us", per(after.cpu_us - before.cpu_us, outcome.requests())),
                ("per_s", outcome.per_second()),
                ("redis_commands", per(f64::from(commands), outcome.requests())),
                ("p50_ms", outcome.latency.percentile(50.0)),
                ("p99_ms", outcome.latency.percentile(99.0)),
            ]);
            stage.results.add("refused", name, shown);
        }
    }
    gateway.stop();
    Ok(())
}
