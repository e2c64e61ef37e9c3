//! Masters that die or hand over while they are used.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use broker::{Error, Redis};
use testkit::{Cluster, Sentinels, Takeover};

use crate::support::{PATIENCE, Writers};

#[tokio::test]
async fn writers_go_on_at_the_next_master_when_the_one_that_sentinels_watch_is_killed() {
    let mut sentinels = Sentinels::start().await;
    let redis = Redis::connect(&sentinels.url()).await.expect("the master is there");
    let writers = Writers::start(&redis, 6);
    writers.go_on().await;
    let mut waiting = redis.blocking("wake").await.expect("a connection of its own");
    let old = sentinels.kill_master();
    let waited = waiting.query::<()>(redis::cmd("BLPOP").arg("wake").arg(20)).await;
    assert!(matches!(waited, Err(Error::Unavailable(_))), "{waited:?}");
    sentinels.promoted(old).await;
    let promoted = Instant::now();
    writers.go_on().await;
    assert!(promoted.elapsed() < Duration::from_secs(10), "it took {:?} to find the master", promoted.elapsed());
    redis
        .blocking("wake")
        .await
        .expect("a connection to the next master")
        .query::<()>(&redis::cmd("PING"))
        .await
        .unwrap();
    sentinels.restart(old).await;
    writers.go_on().await;
    writers.stop().await;
}

#[tokio::test]
async fn a_wait_at_a_master_that_hands_over_ends_and_goes_on_at_the_next() {
    let sentinels = Sentinels::start().await;
    let redis = Redis::connect(&sentinels.url()).await.expect("the master is there");
    let writers = Writers::start(&redis, 3);
    let mut waiting = redis.blocking("wake").await.expect("a connection of its own");
    let mut pop = redis::cmd("BLPOP");
    pop.arg("wake").arg(60);
    let (waited, _) = tokio::join!(waiting.query::<()>(&pop), sentinels.fail_over());
    assert!(matches!(waited, Err(Error::Unavailable(_))), "{waited:?}");
    writers.go_on().await;
    let mut waiting = redis.blocking("wake").await.expect("a connection to the next master");
    let push = async {
        let mut pushed = redis.query::<u64>(redis::cmd("RPUSH").arg("wake").arg("now")).await;
        while matches!(pushed, Err(Error::Unavailable(_))) {
            pushed = redis.query(redis::cmd("RPUSH").arg("wake").arg("now")).await;
        }
        pushed
    };
    let (popped, pushed) = tokio::join!(waiting.query::<(String, String)>(&pop), push);
    assert_eq!((popped.expect("popped").1.as_str(), pushed.expect("pushed")), ("now", 1));
    writers.stop().await;
}

#[tokio::test]
async fn writers_go_on_at_the_replica_when_a_master_of_a_cluster_is_killed() {
    let mut cluster = Cluster::start(3, 1).await;
    let redis = Redis::connect(&cluster.url()).await.expect("the cluster is there");
    let writers = Writers::start(&redis, 12);
    writers.go_on().await;
    let key = "log:key:0";
    let mut waiting = redis.blocking(key).await.expect("a connection of its own");
    let old = cluster.kill_master_of(key);
    let waited = waiting.query::<()>(redis::cmd("BLPOP").arg("{log:key:0}:none").arg(20)).await;
    assert!(matches!(waited, Err(Error::Unavailable(_))), "{waited:?}");
    testkit::eventually(PATIENCE, || async { cluster.master_of(key).is_some_and(|master| master != old) }).await;
    let promoted = Instant::now();
    writers.go_on().await;
    assert!(promoted.elapsed() < Duration::from_secs(10), "it took {:?} to find the master", promoted.elapsed());
    testkit::eventually(PATIENCE, || async { redis.ping().await.is_ok() }).await;
    cluster.restart(old).await;
    writers.go_on().await;
    writers.stop().await;
}

#[tokio::test]
async fn a_master_of_a_cluster_that_hangs_is_given_up_for_its_replica() {
    let cluster = Cluster::start(3, 1).await;
    let redis = Redis::connect(&cluster.url()).await.expect("the cluster is there");
    let writers = Writers::start(&redis, 6);
    writers.go_on().await;
    let key = "log:key:0";
    let old = cluster.master_of(key).expect("the key has an owner");
    let replica = cluster.replica_of(old).expect("it has a replica");
    cluster.pause(old);
    let promoted = || async { cluster.command(replica, &["ROLE"]).starts_with("master") };
    testkit::eventually(PATIENCE, promoted).await;
    writers.go_on().await;
    cluster.resume(old);
    testkit::eventually(PATIENCE, || async { cluster.command(old, &["ROLE"]).starts_with("slave") }).await;
    writers.go_on().await;
    writers.stop().await;
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_or_out_of_order_when_a_master_of_a_cluster_hands_over() {
    let cluster = Cluster::start(3, 1).await;
    let redis = Redis::connect(&cluster.url()).await.expect("the cluster is there");
    let writers = Writers::start(&redis, 8);
    writers.go_on().await;
    let key = "log:key:0";
    for _ in 0..2 {
        cluster.fail_over(key, Takeover::Agreed).await;
        writers.go_on().await;
        cluster.whole().await;
    }
    let mut acknowledged: HashMap<String, Vec<u64>> = HashMap::new();
    for (key, number) in writers.stop().await {
        acknowledged.entry(key).or_default().push(number);
    }
    for (key, numbers) in acknowledged {
        let mut kept: Vec<u64> = redis.query(redis::cmd("LRANGE").arg(&key).arg(0).arg(-1)).await.expect("it is read");
        // A write whose answer was lost was made again by the writer, and stands there twice.
        kept.dedup();
        kept.truncate(numbers.len());
        assert_eq!(kept, numbers, "{key}");
    }
}
