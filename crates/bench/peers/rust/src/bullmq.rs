//! The official Rust port of BullMQ: the same scripts and keys as BullMQ on Node, without Node.

mod stage;

use std::sync::Arc;

use bullmq::options::RedisConnectionOptions;
use bullmq::{BulkJob, Job, JobOptions, Queue, QueueOptions, Worker, WorkerOptions};
use stage::{Data, OnJob, Peer};

#[derive(Clone)]
struct BullMq {
    queue: Arc<Queue>,
    connection: RedisConnectionOptions,
}

impl Peer for BullMq {
    const VERSION: &'static str = "bullmq-official 1.4.4";

    fn settings(&self) -> String {
        "one worker, add_bulk for batches, completed jobs removed".to_owned()
    }

    async fn add(&self, data: Data) {
        self.queue.add("job", data).await.expect("a job is added");
    }

    async fn add_many(&self, data: Vec<Data>) {
        let jobs = data.into_iter().map(|data| BulkJob::new("job", data)).collect();
        self.queue.add_bulk(jobs).await.expect("jobs are added");
    }

    async fn work(&self, concurrency: usize, on_job: OnJob) {
        let processor = move |job: Job, _token| {
            let on_job = Arc::clone(&on_job);
            async move {
                on_job(job.data()["i"].as_u64().and_then(|i| usize::try_from(i).ok()).expect("a number"));
                Ok(serde_json::Value::Null)
            }
        };
        let options = WorkerOptions { connection: self.connection.clone(), concurrency, ..WorkerOptions::default() };
        let worker = Worker::with_options("bench", processor, options).await.expect("a worker");
        // It works until the process ends; what it tells about jobs is taken off, so that it does not pile up.
        tokio::spawn(async move { while worker.next_event().await.is_some() {} });
    }
}

#[tokio::main]
async fn main() {
    let (scenario, numbers) = stage::arguments();
    let connection = RedisConnectionOptions { url: numbers.url.clone(), ..RedisConnectionOptions::default() };
    let jobs = JobOptions {
        remove_on_complete: Some(bullmq::types::RemoveOnFinish::Bool(true)),
        remove_on_fail: Some(bullmq::types::RemoveOnFinish::Bool(true)),
        ..JobOptions::default()
    };
    let options = QueueOptions { connection: connection.clone(), default_job_options: jobs, ..QueueOptions::default() };
    let queue = Arc::new(Queue::with_options("bench", options).await.expect("a queue"));
    stage::run(BullMq { queue, connection }, &scenario, numbers).await;
}
