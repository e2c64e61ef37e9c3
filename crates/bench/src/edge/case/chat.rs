//! A message through the whole policy: token, headers, assertions, access, limits in Redis, spans; then one gRPC call.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Stage, figures, per, turns};
use crate::edge::child::Meter;
use crate::edge::load::{Load, Outcome};
use crate::figures::Figures;

const CONNECTIONS: usize = 32;
const WARM_UP: Duration = Duration::from_millis(100);
/// A round's run is cut into so many pieces, one of everybody in turn: a machine that others share changes its speed from second
/// to second, and all shall meet the same.
const PIECES: u32 = 8;

/// A gateway sends what it gathered of traces within a second; that is part of what they cost. Both gateways have that second.
const TRACES_ARE_SENT: Duration = Duration::from_millis(1_200);

/// Who is measured: axum that calls tonic, and the gateway with every tenth trace sent to a collector, or none.
#[derive(Clone, Copy, Debug)]
enum Who {
    Hop,
    Traced,
    Untraced,
}

const ALL: [Who; 3] = [Who::Hop, Who::Traced, Who::Untraced];

impl Who {
    const fn name(self) -> &'static str {
        match self {
            Self::Hop => "hop",
            Self::Traced => "gateway",
            Self::Untraced => "gateway without traces",
        }
    }
}

/// What was used, in microseconds of CPU.
#[derive(Clone, Copy, Debug, Default)]
struct Used {
    own: f64,
    upstream: f64,
    redis: f64,
}

/// All pieces of somebody's run.
#[derive(Debug, Default)]
struct Whole {
    used: Used,
    outcome: Outcome,
}

pub(super) fn run(stage: &mut Stage<'_>) -> Result<()> {
    let collector = format!("http://{}", stage.world.upstream.address("grpc")?);
    // Metrics go there from both.
    let sampling = |share| [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.as_str()), ("OTEL_TRACES_SAMPLER_ARG", share)];
    let traced = stage.world.gateway("traced", &sampling("0.1"))?;
    let untraced = stage.world.gateway("untraced", &sampling("0"))?;
    let tenant = &stage.world.tenant;
    let all = [
        (Load::plain(stage.world.bare.address("http")?, "/hop"), stage.world.bare.meter()),
        (Load::chat(traced.address("http")?, tenant), traced.meter()),
        (Load::chat(untraced.address("http")?, tenant), untraced.meter()),
    ];
    for round in 0..stage.size.rounds {
        let mut wholes = ALL.map(|_| Whole::default());
        for piece in 0..PIECES as usize {
            for who in turns(round + piece, ALL) {
                let (load, process) = &all[who as usize];
                let rest = if matches!(who, Who::Hop) { Duration::ZERO } else { TRACES_ARE_SENT };
                wholes[who as usize].measure(stage, load, *process, rest).with_context(|| who.name())?;
            }
        }
        for (who, whole) in ALL.iter().zip(&wholes) {
            stage.results.add("chat", who.name(), whole.figures());
        }
    }
    traced.stop();
    untraced.stop();
    Ok(())
}

impl Whole {
    /// Adds a piece, with what is done within some time after it.
    fn measure(&mut self, stage: &Stage<'_>, load: &Load, process: Meter, rest: Duration) -> Result<()> {
        // Tasks that are never settled pile up in Redis; nobody shall pay for those of others.
        stage.world.redis.clear()?;
        stage.runtime.block_on(load.run(CONNECTIONS, WARM_UP))?.all(200)?;
        let before = Used::now(stage, process)?;
        let outcome = stage.runtime.block_on(load.run(CONNECTIONS, stage.size.run / PIECES))?;
        std::thread::sleep(rest);
        let after = Used::now(stage, process)?;
        outcome.all(200)?;
        self.used.own += after.own - before.own;
        self.used.upstream += after.upstream - before.upstream;
        self.used.redis += after.redis - before.redis;
        self.outcome.join(&outcome);
        Ok(())
    }

    fn figures(&self) -> Figures {
        let Self { used, outcome } = self;
        let requests = outcome.requests();
        figures([
            ("cpu_us", per(used.own, requests)),
            ("upstream_cpu_us", per(used.upstream, requests)),
            ("path_cpu_us", per(used.own + used.upstream, requests)),
            ("redis_cpu_us", per(used.redis, requests)),
            ("per_s", outcome.per_second()),
            ("p50_ms", outcome.latency.percentile(50.0)),
            ("p99_ms", outcome.latency.percentile(99.0)),
        ])
    }
}

impl Used {
    fn now(stage: &Stage<'_>, process: Meter) -> Result<Self> {
        Ok(Self {
            own: process.used()?.cpu_us,
            upstream: stage.world.upstream.meter().used()?.cpu_us,
            redis: stage.world.redis.used()?.cpu_us,
        })
    }
}
