//! The queues on a cluster, behind sentinels, and behind a network that breaks.

use std::sync::Arc;
use std::time::Duration;

use action::{Action, Domain, Status, Tier};
use queue::{Config, Durability, Error, Queue};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::setup::{quick, search, searcher, tenant};

/// Failovers take seconds, more of them on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

async fn queue_at(url: &str, config: Config) -> Queue {
    Queue::start(broker::Redis::connect(url).await.unwrap(), config).await.unwrap()
}

fn patient() -> Config {
    Config { submit_patience: Duration::from_secs(30), ..quick() }
}

/// Submits actions of many tenants one after the other, and returns those that were acknowledged.
async fn submit_many(queue: Queue, many: usize) -> Vec<Action> {
    let mut taken = Vec::new();
    for i in 0..many {
        let tenant = tenant(&format!("tenant-{}", i % 20));
        let action = search(&tenant, Tier::ALL[i % 4], &i.to_string());
        if queue.submit(action.clone()).await.is_ok() {
            taken.push(action);
        }
    }
    taken
}

fn work(queue: &Queue) -> (CancellationToken, JoinHandle<()>) {
    let stop = CancellationToken::new();
    (stop.clone(), tokio::spawn(searcher(queue, 8).run(stop)))
}

/// Waits until every action has completed, then stops and checks.
async fn all_end(queue: Queue, actions: &[Action], (stop, worker): (CancellationToken, JoinHandle<()>)) {
    for action in actions {
        testkit::eventually(PATIENCE, || async {
            let task = queue.task(&action.tenant, action.task).await;
            task.is_ok_and(|task| task.is_some_and(|task| task.status() == Status::Completed))
        })
        .await;
    }
    stop.cancel();
    worker.await.unwrap();
    assert_eq!(queue.check(Domain::Query).await.unwrap(), Vec::<String>::new());
    queue.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_serves_all_domains_and_a_failover_of_it_loses_nothing() {
    let cluster = testkit::Cluster::start(3, 1).await;
    let queue = queue_at(&cluster.url(), patient()).await;
    queue.set_partitions(Domain::Query, 3).await.unwrap();
    for domain in Domain::ALL {
        assert_eq!(queue.stats(domain).await.unwrap().in_flight, 0, "{domain}");
    }
    let worker = work(&queue);
    let submitting = tokio::spawn(submit_many(queue.clone(), 300));
    for partition in 0..3 {
        let key = format!("{{nq:query:{partition}}}:b:x");
        // A master that was replaced comes back as a replica after a moment.
        testkit::eventually(PATIENCE, || async {
            cluster.master_of(&key).is_some_and(|master| cluster.replica_of(master).is_some())
        })
        .await;
        cluster.fail_over(&key, testkit::Takeover::Agreed).await;
    }
    let taken = submitting.await.unwrap();
    assert_eq!(taken.len(), 300, "a submit is tried until the new master answers");
    all_end(queue, &taken, worker).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_replica_confirmed_survives_the_death_of_the_master() {
    let mut sentinels = testkit::Sentinels::start().await;
    let config = Config { durability: Durability::Replicated, ..patient() };
    let queue = queue_at(&sentinels.url(), config).await;
    let worker = work(&queue);
    let submitting = tokio::spawn(submit_many(queue.clone(), 200));
    let old = sentinels.kill_master();
    sentinels.promoted(old).await;
    let taken = submitting.await.unwrap();
    assert!(taken.len() > 100, "only {} of 200 were taken", taken.len());
    all_end(queue, &taken, worker).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_cuts_stalls_and_resets_loses_nothing() {
    let redis = testkit::Redis::start().await;
    let proxy = Arc::new(testkit::Proxy::start(&redis.url()).await);
    let queue = queue_at(&proxy.url(), patient()).await;
    let worker = work(&queue);
    let submitting = tokio::spawn(submit_many(queue.clone(), 300));
    for round in 0..6 {
        match round % 3 {
            0 => proxy.cut(),
            1 => proxy.reset_mid_reply(10 + round * 7),
            _ => {
                proxy.stall();
                // The passing of time is the point: longer than a heartbeat, shorter than what counts as dead.
                tokio::time::sleep(Duration::from_millis(300)).await;
                proxy.go_on();
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let taken = submitting.await.unwrap();
    assert_eq!(taken.len(), 300);
    all_end(queue, &taken, worker).await;
}

#[tokio::test]
async fn a_mode_that_the_server_cannot_give_is_refused_at_the_start() {
    let redis = testkit::Redis::start_with(&["--save", "", "--appendonly", "no"]).await;
    let connection = broker::Redis::connect(&redis.url()).await.unwrap();
    let config = Config { durability_of: [(Domain::Query, Durability::Fsync)].into(), ..quick() };
    let refused = Queue::start(connection, config).await.unwrap_err();
    assert!(matches!(refused, Error::Server(text) if text.contains("append-only")));
}

#[tokio::test]
async fn a_submit_without_the_replica_that_it_needs_is_not_acknowledged() {
    let redis = testkit::Redis::start().await;
    let config = Config { durability: Durability::Replicated, ..quick() };
    let queue = queue_at(&redis.url(), config).await;
    let acme = tenant("acme");
    let refused = queue.submit(search(&acme, Tier::Free, "1")).await.unwrap_err();
    assert!(matches!(refused, Error::Broker(broker::Error::Unavailable(_))), "{refused:?}");
    queue.drain().await;
}

#[tokio::test]
async fn a_server_that_syncs_now_and_then_is_waited_for_or_refused_when_it_cannot_tell() {
    let mut redis =
        testkit::Redis::start_with(&["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"]).await;
    let connection = broker::Redis::connect(&redis.url()).await.unwrap();
    let tells = connection.server().await.unwrap().waitaof;
    let config = Config { durability_of: [(Domain::Query, Durability::Fsync)].into(), ..quick() };
    let queue = match Queue::start(connection, config).await {
        Ok(queue) => queue,
        Err(error) => {
            assert!(!tells && matches!(&error, Error::Server(text) if text.contains("WAITAOF")), "{error}");
            return;
        }
    };
    let acme = tenant("acme");
    let actions: Vec<_> = (0..20).map(|i| search(&acme, Tier::Free, &i.to_string())).collect();
    futures::future::try_join_all(actions.iter().map(|action| queue.submit(action.clone()))).await.unwrap();
    redis.restart().await;
    testkit::eventually(PATIENCE, || async { queue.task(&acme, actions[0].task).await.is_ok() }).await;
    for action in actions {
        assert!(queue.task(&acme, action.task).await.unwrap().is_some(), "it was acknowledged");
    }
    queue.drain().await;
}
