//! A message through the whole policy: token, headers, assertions, access, limits in Redis, spans; then one gRPC call.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Stage, figures, per, turns};
use crate::edge::child::Meter;
use crate::edge::load::Load;

const CONNECTIONS: usize = 32;
const WARM_UP: Duration = Duration::from_millis(500);

/// Who is measured: axum that calls tonic, and the gateway with every tenth trace sent to a collector, or none.
#[derive(Clone, Copy, Debug)]
enum Who {
    Hop,
    Traced,
    Untraced,
}

impl Who {
    const fn name(self) -> &'static str {
        match self {
            Self::Hop => "hop",
            Self::Traced => "gateway",
            Self::Untraced => "gateway without traces",
        }
    }
}

pub(super) fn run(stage: &mut Stage<'_>) -> Result<()> {
    let collector = format!("http://{}", stage.world.upstream.address("grpc")?);
    let tenth = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.as_str()), ("OTEL_TRACES_SAMPLER_ARG", "0.1")];
    let traced = stage.world.gateway("traced", &tenth)?;
    let untraced = stage.world.gateway("untraced", &[("OTEL_TRACES_SAMPLER_ARG", "0")])?;
    for round in 0..stage.size.rounds {
        for who in turns(round, [Who::Hop, Who::Traced, Who::Untraced]) {
            let (load, meter) = match who {
                Who::Hop => (Load::plain(stage.world.bare.address("http")?, "/hop"), stage.world.bare.meter()),
                Who::Traced => (Load::chat(traced.address("http")?, &stage.world.tenant), traced.meter()),
                Who::Untraced => (Load::chat(untraced.address("http")?, &stage.world.tenant), untraced.meter()),
            };
            measure(stage, who, &load, meter)?;
        }
    }
    traced.stop();
    untraced.stop();
    Ok(())
}

fn measure(stage: &mut Stage<'_>, who: Who, load: &Load, process: Meter) -> Result<()> {
    // Tasks that are never settled pile up in Redis; nobody shall pay for those of others.
    stage.world.redis.clear()?;
    let upstream = stage.world.upstream.meter();
    stage.runtime.block_on(load.run(CONNECTIONS, WARM_UP))?.all(200).with_context(|| who.name())?;
    let before = (process.used()?, upstream.used()?, stage.world.redis.used()?);
    let outcome = stage.runtime.block_on(load.run(CONNECTIONS, stage.size.run))?;
    let after = (process.used()?, upstream.used()?, stage.world.redis.used()?);
    outcome.all(200).with_context(|| who.name())?;
    let requests = outcome.requests();
    let own = per(after.0.cpu_us - before.0.cpu_us, requests);
    let beyond = per(after.1.cpu_us - before.1.cpu_us, requests);
    let shown = figures([
        ("cpu_us", own),
        ("upstream_cpu_us", beyond),
        ("path_cpu_us", own + beyond),
        ("redis_cpu_us", per(after.2.cpu_us - before.2.cpu_us, requests)),
        ("per_s", outcome.per_second()),
        ("p50_ms", outcome.latency.percentile(50.0)),
        ("p99_ms", outcome.latency.percentile(99.0)),
    ]);
    stage.results.add("chat", who.name(), shown);
    Ok(())
}
