//! The scenarios in which the harness releases each job at its moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use action::Action;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use tokio_util::task::TaskTracker;

use super::ours::{Jobs, Ours};
use super::stage::{self, Stage};
use super::{Numbers, load};
use crate::machine::monotonic_ns;

/// How long is waited for stragglers.
const LINGER: Duration = Duration::from_secs(3);

/// Jobs for a worker that has nothing else to do.
pub(super) async fn pickup(numbers: &Numbers) -> Result<()> {
    let (ours, jobs) = (Ours::connect(&numbers.url).await?, Jobs::new(numbers)?);
    released(&ours, numbers, move |i| jobs.make(i)).await
}

/// Jobs of quiet tenants, perhaps beside a noisy one.
pub(super) async fn fairness(numbers: &Numbers) -> Result<()> {
    let (ours, jobs) = (Ours::connect(&numbers.url).await?, Jobs::new(numbers)?);
    let noisy = jobs.clone();
    let first = numbers.jobs;
    load::submit_by(&ours, move |i| noisy.of_tenant(0, first + i), numbers.noisy, 4, 100).await?;
    let quiet = numbers.quiet.max(1);
    released(&ours, numbers, move |i| jobs.of_tenant(1 + i * 7 % quiet, i)).await
}

/// Submits each job when it is released, and tells how long each waited from the moment at which it was due.
async fn released(ours: &Ours, numbers: &Numbers, make: impl Fn(usize) -> Action) -> Result<()> {
    let mut stage = Stage::open()?;
    let go = stage.ready(&format!("one worker with {} slots", numbers.concurrency)).await?;
    let first: u64 = go.parse().context("go tells the moment of the first job")?;
    // When each job's handler started; 0 when it has not.
    let starts: Arc<[AtomicU64]> = (0..numbers.jobs).map(|_| AtomicU64::new(0)).collect();
    let (started, others) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let takes = Duration::from_millis(numbers.handler_ms);
    let crew = ours.work(numbers.concurrency, {
        let (starts, started, others) = (Arc::clone(&starts), Arc::clone(&started), Arc::clone(&others));
        move |i| {
            match starts.get(i) {
                Some(start) => {
                    start.store(monotonic_ns(), Ordering::Relaxed);
                    started.fetch_add(1, Ordering::Relaxed);
                }
                None => {
                    others.fetch_add(1, Ordering::Relaxed);
                }
            }
            async move {
                if !takes.is_zero() {
                    tokio::time::sleep(takes).await;
                }
            }
        }
    });
    let submits = TaskTracker::new();
    let (mut next, mut buffer) = (0, [0; 4096]);
    while next < numbers.jobs {
        let count = stage.bytes(&mut buffer).await?;
        anyhow::ensure!(count > 0, "the harness is gone");
        for _ in 0..count.min(numbers.jobs - next) {
            let (ours, action) = (ours.clone(), make(next));
            submits.spawn(async move { ours.submit(action).await });
            next += 1;
        }
    }
    let end = Instant::now() + LINGER;
    while started.load(Ordering::Relaxed) < numbers.jobs && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let seconds = seconds_since(first);
    let noisy = others.load(Ordering::Relaxed);
    let figures = if numbers.noisy > 0 { json!({ "noisy_done": noisy }) } else { json!({}) };
    let waits = waits(&starts, first, numbers.period_ns);
    stage::end(numbers.jobs, seconds, &json!({ "waits_us": waits, "figures": figures }))?;
    // What the noisy tenant still has is not worth waiting for.
    drop(crew);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of a run are far fewer than 2^52")]
fn seconds_since(moment: u64) -> f64 {
    monotonic_ns().saturating_sub(moment) as f64 / 1e9
}

fn waits(starts: &[AtomicU64], first: u64, period: u64) -> Value {
    let waits = starts.iter().zip(0_u64..).map(|(start, i)| {
        let (start, due) = (start.load(Ordering::Relaxed), first + i * period);
        if start == 0 { Value::Null } else { json!(start.saturating_sub(due) / 1_000) }
    });
    Value::Array(waits.collect())
}
