//! The scenarios that look at one property: shares of the tiers, crashes, growth.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use action::Tier;
use anyhow::Result;
use serde_json::{Map, json};

use super::ours::{Jobs, Ours};
use super::stage::{self, Stage};
use super::{Numbers, load};

/// Fills every tier and tells how the first jobs that start are shared among them.
pub(super) async fn tiers(numbers: &Numbers) -> Result<()> {
    let (ours, jobs) = (Ours::connect(&numbers.url).await?, Jobs::new(numbers)?);
    load::submit(&ours, &jobs, numbers.jobs * 4, 4, 100).await?;
    Stage::open()?.ready(&format!("one worker with {} slots", numbers.concurrency)).await?;
    let start = Instant::now();
    // The highest tier has more than half of the starts; it must not run out while they are counted.
    let counted = numbers.jobs * 3 / 2;
    let (started, of_tier) = (AtomicUsize::new(0), Arc::new([const { AtomicUsize::new(0) }; 4]));
    let crew = ours.work(numbers.concurrency, {
        let of_tier = Arc::clone(&of_tier);
        move |i| {
            if started.fetch_add(1, Ordering::Relaxed) < counted {
                of_tier[i % 4].fetch_add(1, Ordering::Relaxed);
            }
            std::future::ready(())
        }
    });
    let sum = || of_tier.iter().map(|count| count.load(Ordering::Relaxed)).sum::<usize>();
    while sum() < counted {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    #[expect(clippy::cast_precision_loss, reason = "jobs are few")]
    let share = |tier: usize| of_tier[tier].load(Ordering::Relaxed) as f64 / counted as f64;
    let figures: Map<_, _> =
        Tier::ALL.iter().enumerate().map(|(i, tier)| (tier.as_str().to_owned(), json!(share(i)))).collect();
    stage::end(counted, start.elapsed().as_secs_f64(), &json!({ "figures": figures }))?;
    drop(crew);
    Ok(())
}

/// Fills the queues, or works on them until it is killed, telling of each job when it starts and when it is done.
pub(super) async fn crash(numbers: &Numbers) -> Result<()> {
    let (ours, jobs) = (Ours::connect(&numbers.url).await?, Jobs::new(numbers)?);
    let mut stage = Stage::open()?;
    if numbers.role == "fill" {
        stage.ready("").await?;
        load::submit(&ours, &jobs, numbers.jobs, 4, 100).await?;
        return stage::end(numbers.jobs, 0.0, &json!({}));
    }
    stage.ready(&format!("one worker with {} slots, leases of 10 s", numbers.concurrency)).await?;
    let takes = Duration::from_millis(numbers.handler_ms);
    let _crew = ours.work(numbers.concurrency, move |i| async move {
        tell('s', i);
        tokio::time::sleep(takes).await;
        tell('d', i);
    });
    let mut buffer = [0; 64];
    while stage.bytes(&mut buffer).await? > 0 {}
    Ok(())
}

/// Writes a line at once: what is in the pipe outlives the process.
fn tell(mark: char, i: usize) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{mark} {i}");
    let _ = out.flush();
}

/// Fills, works off, and is idle, each when the harness says so.
pub(super) async fn scale(numbers: &Numbers) -> Result<()> {
    let (ours, jobs) = (Ours::connect(&numbers.url).await?, Jobs::new(numbers)?);
    let mut stage = Stage::open()?;
    let settings = format!("batches of {}, one worker with {} slots", numbers.batch, numbers.concurrency);
    stage.ready(&settings).await?;
    let start = Instant::now();
    load::submit(&ours, &jobs, numbers.jobs, numbers.in_flight, numbers.batch).await?;
    stage::end(numbers.jobs, start.elapsed().as_secs_f64(), &json!({}))?;
    if numbers.chat {
        return Ok(());
    }
    stage.ready(&settings).await?;
    let start = Instant::now();
    let done = load::work_off(&ours, numbers.jobs, numbers.concurrency).await?;
    stage::end(done, start.elapsed().as_secs_f64(), &json!({}))?;
    let _crew = ours.work(numbers.concurrency, |_| std::future::ready(()));
    // Figures of queues are written behind; what is left of them is not idleness.
    tokio::time::sleep(Duration::from_secs_f64(numbers.seconds.min(3.0))).await;
    stage.ready(&settings).await?;
    tokio::time::sleep(Duration::from_secs_f64(numbers.seconds)).await;
    stage::end(0, numbers.seconds, &json!({}))
}
