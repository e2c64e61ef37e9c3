//! apalis on Redis.

mod stage;

use apalis::prelude::*;
use apalis_redis::{Config, RedisStorage};
use stage::{Data, OnJob, Peer};

#[derive(Clone)]
struct Apalis {
    storage: RedisStorage<Data>,
}

impl Peer for Apalis {
    const VERSION: &'static str = "apalis-redis 1.0.0";

    fn settings(&self) -> String {
        "one worker, batches of 128, results and events off; jobs are pushed one by one, or as a stream".to_owned()
    }

    async fn add(&self, data: Data) {
        self.storage.clone().push(data).await.expect("a job is pushed");
    }

    async fn add_many(&self, data: Vec<Data>) {
        self.storage.clone().push_stream(&mut futures::stream::iter(data)).await.expect("jobs are pushed");
    }

    async fn work(&self, concurrency: usize, on_job: OnJob) {
        // On a thread of its own: the compiler cannot see that the worker's future may move to another thread.
        let (storage, runtime) = (self.storage.clone(), tokio::runtime::Handle::current());
        std::thread::spawn(move || {
            let handler = move |data: Data, on_job: apalis::prelude::Data<OnJob>| async move {
                (*on_job)(data.i);
                Ok::<(), BoxDynError>(())
            };
            let worker =
                WorkerBuilder::new("bench").backend(storage).data(on_job).concurrency(concurrency).build(handler);
            runtime.block_on(worker.run())
        });
    }
}

#[tokio::main]
async fn main() {
    let (scenario, numbers) = stage::arguments();
    let connection = apalis_redis::connect(numbers.url.clone()).await.expect("Redis answers");
    let config = Config::default().batch_size(128).persist_results(false).emit_events(false);
    let storage = RedisStorage::new(connection).with_config(config);
    stage::run(Apalis { storage }, &scenario, numbers).await;
}
