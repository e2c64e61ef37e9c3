//! The scenarios that work as fast as they can.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use action::Action;
use anyhow::Result;
use serde_json::json;
use tokio::sync::{Notify, Semaphore};

use super::Numbers;
use super::ours::{Jobs, Ours};
use super::stage::{self, Stage};

/// Submits only.
pub(super) async fn enqueue(numbers: &Numbers) -> Result<()> {
    let (ours, jobs) = (Ours::connect(&numbers.url).await?, Jobs::new(numbers)?);
    let batch = numbers.batch.max(1);
    let how = if batch > 1 { format!("batches of {batch}") } else { "single submits".to_owned() };
    Stage::open()?.ready(&format!("{how}, {} in flight", numbers.in_flight)).await?;
    let start = Instant::now();
    submit(&ours, &jobs, numbers.jobs, numbers.in_flight, batch).await?;
    stage::end(numbers.jobs, start.elapsed().as_secs_f64(), &json!({}))
}

/// Works off what lies there.
pub(super) async fn drain(numbers: &Numbers) -> Result<()> {
    let (ours, jobs) = (Ours::connect(&numbers.url).await?, Jobs::new(numbers)?);
    submit(&ours, &jobs, numbers.jobs, 4, 100).await?;
    Stage::open()?.ready(&format!("one worker with {} slots", numbers.concurrency)).await?;
    let start = Instant::now();
    let done = work_off(&ours, numbers.jobs, numbers.concurrency).await?;
    stage::end(done, start.elapsed().as_secs_f64(), &json!({}))
}

/// Works off so many jobs and waits until they are settled.
pub(super) async fn work_off(ours: &Ours, jobs: usize, concurrency: usize) -> Result<usize> {
    let (done, all) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let crew = ours.work(concurrency, {
        let (done, all) = (Arc::clone(&done), Arc::clone(&all));
        move |_| {
            if done.fetch_add(1, Ordering::Relaxed) + 1 == jobs {
                all.notify_one();
            }
            std::future::ready(())
        }
    });
    all.notified().await;
    ours.settled().await?;
    crew.stop().await;
    Ok(done.load(Ordering::Relaxed))
}

/// Submits and works off beside each other, with a bounded number of jobs waiting.
pub(super) async fn end_to_end(numbers: &Numbers) -> Result<()> {
    let (ours, jobs) = (Ours::connect(&numbers.url).await?, Jobs::new(numbers)?);
    let batch = numbers.batch.max(1);
    Stage::open()?.ready(&format!("one worker with {} slots, batches of {batch}", numbers.concurrency)).await?;
    let start = Instant::now();
    let (room, done) = (Arc::new(Semaphore::new(numbers.window)), Arc::new(AtomicUsize::new(0)));
    let (over, all) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
    let crew = ours.work(numbers.concurrency, {
        let (room, done, over, all) = (Arc::clone(&room), Arc::clone(&done), Arc::clone(&over), Arc::clone(&all));
        move |_| {
            done.fetch_add(1, Ordering::Relaxed);
            room.add_permits(1);
            if over.load(Ordering::Relaxed) {
                all.notify_one();
            }
            std::future::ready(())
        }
    });
    let submitted = AtomicUsize::new(0);
    let producer = async || -> Result<()> {
        while start.elapsed() < Duration::from_secs_f64(numbers.seconds) {
            room.acquire_many(u32::try_from(batch)?).await?.forget();
            let from = submitted.fetch_add(batch, Ordering::Relaxed);
            ours.submit_all((from..from + batch).map(|i| jobs.make(i)).collect()).await?;
        }
        Ok(())
    };
    futures::future::try_join_all((0..PRODUCERS).map(|_| producer())).await?;
    over.store(true, Ordering::SeqCst);
    let submitted = submitted.load(Ordering::Relaxed);
    while done.load(Ordering::SeqCst) < submitted {
        // A handler may have passed just before it could see that the time is over.
        let _ = tokio::time::timeout(Duration::from_millis(5), all.notified()).await;
    }
    ours.settled().await?;
    stage::end(submitted, start.elapsed().as_secs_f64(), &json!({}))?;
    crew.stop().await;
    Ok(())
}

/// Producers beside a worker.
const PRODUCERS: usize = 2;

/// Submits one job, so that the harness sees how long its stored body is.
pub(super) async fn probe(numbers: &Numbers) -> Result<()> {
    let (ours, jobs) = (Ours::connect(&numbers.url).await?, Jobs::new(numbers)?);
    ours.submit(jobs.make(0)).await?;
    Stage::open()?.ready("").await?;
    stage::end(1, 0.0, &json!({}))
}

/// Submits jobs with so many submits in flight.
pub(super) async fn submit(ours: &Ours, jobs: &Jobs, count: usize, in_flight: usize, batch: usize) -> Result<()> {
    let jobs = jobs.clone();
    submit_by(ours, move |i| jobs.make(i), count, in_flight, batch).await
}

/// The same with jobs that somebody else makes.
pub(super) async fn submit_by(
    ours: &Ours,
    make: impl Fn(usize) -> Action + Clone + Send + 'static,
    count: usize,
    in_flight: usize,
    batch: usize,
) -> Result<()> {
    let (next, batch) = (Arc::new(AtomicUsize::new(0)), batch.max(1));
    let mut loops = tokio::task::JoinSet::new();
    for _ in 0..in_flight.max(1) {
        let (ours, make, next) = (ours.clone(), make.clone(), Arc::clone(&next));
        loops.spawn(async move {
            loop {
                let from = next.fetch_add(batch, Ordering::Relaxed);
                if from >= count {
                    return anyhow::Ok(());
                }
                if batch == 1 {
                    ours.submit(make(from)).await?;
                } else {
                    ours.submit_all((from..count.min(from + batch)).map(&make).collect()).await?;
                }
            }
        });
    }
    while let Some(ended) = loops.join_next().await {
        ended??;
    }
    Ok(())
}
