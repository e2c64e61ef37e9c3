//! A worker process for tests that kill it: runs agents that search, and searches that take a moment, until it is ended.
//!
//! Arguments: URL of Redis, lease in milliseconds, how long a search takes in milliseconds.

use std::time::Duration;

use action::Domain;
use fault::Failure;
use proto::execution::v1::{AgentRun, AgentRunResult};
use proto::query::v1::{SearchPassages, SearchPassagesResult};
use queue::{CallError, Config, Queue, Work, Worker};
use tokio_util::sync::CancellationToken;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().expect("three arguments");
    let url = next();
    let lease = Duration::from_millis(next().parse().expect("a lease in milliseconds"));
    let takes = Duration::from_millis(next().parse().expect("a time in milliseconds"));
    let config = Config {
        lease,
        heartbeat: lease / 5,
        retry_base: Duration::from_millis(50),
        tick: Duration::from_millis(200),
        ..Config::default()
    };
    let redis = broker::Redis::connect(&url).await.expect("redis answers");
    let queue = Queue::start(redis, config).await.expect("redis can be used");
    let stop = CancellationToken::new();
    let agents =
        Worker::new(queue.clone(), Domain::Execution, 16).on::<AgentRun, _, _, _>(|work: Work, _| async move {
            work.call(work.action().context.clone(), &SearchPassages::default()).await?;
            Ok::<_, CallError>(AgentRunResult::default())
        });
    let searches = Worker::new(queue, Domain::Query, 16).on::<SearchPassages, _, _, _>(move |_: Work, _| async move {
        tokio::time::sleep(takes).await;
        Ok::<_, Failure>(SearchPassagesResult::default())
    });
    tokio::join!(agents.run(stop.clone()), searches.run(stop));
}
