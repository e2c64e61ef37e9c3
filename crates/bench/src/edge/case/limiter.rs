//! Whether limits are exact when many processes charge them at once.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};

use super::{Stage, figures};
use crate::edge::child::Child;

const PROCESSES: usize = 4;
/// As many as each process has.
const CALLERS: u32 = 50;
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn run(stage: &mut Stage<'_>) -> Result<()> {
    let redis = json!({ "redis": stage.world.redis.tcp_url() });
    let mut processes = (0..PROCESSES).map(|_| stage.world.part("limiter", &redis)).collect::<Result<Vec<_>>>()?;
    let mut sum = Sum::default();
    for seed in 0..stage.size.seeds {
        let mut attempt = 0;
        // A round in which a minute ends has two minutes to spend.
        while !sum.round(&mut processes, seed, attempt)? {
            attempt += 1;
        }
    }
    let shown = [
        ("seeds", f64::from(stage.size.seeds)),
        ("calls", sum.calls),
        ("allowed", sum.allowed),
        ("over", sum.over),
        ("under", sum.under),
        ("day_differs", sum.day_differs),
        ("failed", sum.failed),
    ];
    stage.results.add("limiter", "4 processes", figures(shown));
    processes.into_iter().for_each(Child::stop);
    Ok(())
}

/// What all rounds came to.
#[derive(Debug, Default)]
struct Sum {
    calls: f64,
    allowed: f64,
    over: f64,
    under: f64,
    day_differs: f64,
    failed: f64,
}

impl Sum {
    /// Lets all processes charge one tenant; false when it must be done again with another one.
    fn round(&mut self, processes: &mut [Child], seed: u32, attempt: u32) -> Result<bool> {
        let mut lot = StdRng::seed_from_u64(u64::from(seed));
        let mut draw = |most: u32| lot.random_range(1..=most);
        let (minute, day, calls) = (draw(120), draw(300), draw(4));
        let round = json!({ "tenant": format!("seed-{seed}-{attempt}"), "minute": minute, "day": day, "calls": calls });
        let begun = minute_now();
        for process in &mut *processes {
            process.tell(&format!("charge {round}"))?;
        }
        let (mut allowed, mut failed) = (0, 0);
        for process in &mut *processes {
            let charged: Value = serde_json::from_str(&process.line("charged ", PATIENCE)?)?;
            allowed += charged["allowed"].as_u64().context("a number")?;
            failed += charged["failed"].as_u64().context("a number")?;
        }
        processes[0].tell(&format!("standing {round}"))?;
        let stands: Value = serde_json::from_str(&processes[0].line("stands ", PATIENCE)?)?;
        if minute_now() != begun {
            return Ok(false);
        }
        let asked = u64::from(CALLERS * calls) * processes.len() as u64;
        let right = asked.min(u64::from(minute)).min(u64::from(day));
        self.calls += number(asked);
        self.allowed += number(allowed);
        self.over += number(allowed.saturating_sub(right));
        self.under += number(right.saturating_sub(allowed));
        self.failed += number(failed);
        self.day_differs += f64::from(u8::from(stands["day"].as_u64() != Some(allowed)));
        Ok(true)
    }
}

fn minute_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 60)
}

#[expect(clippy::cast_precision_loss, reason = "there are far fewer than 2^52 calls")]
fn number(count: u64) -> f64 {
    count as f64
}
