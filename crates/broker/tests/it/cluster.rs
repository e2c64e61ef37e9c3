//! A cluster that nobody disturbs, and one whose slots move.

use broker::{Error, NO_ARGUMENTS, Redis, Script, UrlProblem};
use futures::StreamExt as _;
use testkit::Cluster;

use crate::support::{PATIENCE, echo, keys, works};

/// Returns a key that a node owns.
fn key_of(cluster: &Cluster, node: usize) -> String {
    keys(1000).into_iter().find(|key| cluster.master_of(key) == Some(node)).expect("a key in a thousand")
}

#[tokio::test]
async fn a_cluster_does_all_that_one_server_does() {
    let cluster = Cluster::start(3, 0).await;
    let redis = Redis::connect(&cluster.url()).await.expect("the cluster is there");
    assert!(redis.is_cluster());
    works(&redis).await;
    let sizes = cluster.command_each(&["DBSIZE"]);
    assert!(sizes.iter().all(|size| size != "0"), "every master took its share: {sizes:?}");

    let both = Script::new("both", "return {KEYS[1], KEYS[2]}");
    let crossing = redis.run::<()>(&both, &["key:1", "key:2"], NO_ARGUMENTS).await;
    assert!(matches!(crossing, Err(Error::Refused(_))), "{crossing:?}");
    let crossing = redis.pipeline::<()>(redis::pipe().atomic().incr("key:1", 1).incr("key:2", 1)).await;
    assert!(matches!(crossing, Err(Error::Refused(_))), "{crossing:?}");
}

#[tokio::test]
async fn scripts_are_told_to_each_node_that_lost_them() {
    let cluster = Cluster::start(3, 0).await;
    let redis = Redis::connect(&cluster.url()).await.expect("the cluster is there");
    let script = Script::new("echo", "return KEYS[1]");
    let function = echo();
    for _ in 0..2 {
        for key in keys(20) {
            let answer: String = redis.run(&script, &[&key], NO_ARGUMENTS).await.expect("the script runs");
            assert_eq!(answer, key);
            let answer: (String, String) = redis.run(&function, &[&key], &[b"v".to_vec()]).await.expect("it runs");
            assert_eq!(answer.0, key);
        }
        cluster.command_each(&["SCRIPT", "FLUSH"]);
        cluster.command_each(&["FUNCTION", "FLUSH"]);
    }
}

#[tokio::test]
async fn of_all_masters_the_weakest_counts() {
    let cluster = Cluster::start_with(3, 0, &["--save", "", "--appendonly", "yes", "--appendfsync", "always"]).await;
    let redis = Redis::connect(&cluster.url()).await.expect("the cluster is there");
    let info = redis.server().await.expect("all answer");
    assert!(info.aof && info.aof_always && !info.evicts() && info.replicas == 0, "{info:?}");
    assert_eq!(info.run_id.split(',').count(), 3);
    cluster.command(2, &["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    cluster.command(1, &["CONFIG", "SET", "appendonly", "no"]);
    let info = redis.server().await.expect("all answer");
    assert!(!info.aof && !info.aof_always && info.evicts(), "{info:?}");
}

#[tokio::test]
async fn a_url_that_hides_the_cluster_is_refused_by_its_first_command() {
    let cluster = Cluster::start(2, 0).await;
    let other = key_of(&cluster, 1);
    let redis = Redis::connect(&format!("redis://127.0.0.1:{}", cluster.port(0))).await.expect("it answers a ping");
    let refused = redis.query::<()>(redis::cmd("GET").arg(&other)).await;
    assert!(matches!(refused, Err(Error::Url(UrlProblem::Clustered))), "{refused:?}");
}

/// The slot moves from node 0 to node 1 as `redis-cli --cluster reshard` would move it.
#[tokio::test]
async fn keys_of_a_slot_on_the_move_are_found_at_every_step() {
    let cluster = Cluster::start(2, 0).await;
    let redis = Redis::connect(&cluster.url()).await.expect("the cluster is there");
    let key = key_of(&cluster, 0);
    let (slot, ids) = (cluster.slot(&key).to_string(), [cluster.id(0), cluster.id(1)]);
    let of = |part: &str| format!("{{{key}}}:{part}");
    let set = async |part: &str| redis.query::<()>(redis::cmd("SET").arg(of(part)).arg(part)).await.expect("it is set");
    let read = async || {
        let mut pipeline = redis::pipe();
        pipeline.get("elsewhere").ignore().get(of("before")).get(of("meanwhile"));
        redis.pipeline::<Vec<Option<String>>>(&pipeline).await.expect("all are answered")
    };
    set("before").await;
    cluster.command(1, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &ids[0]]);
    cluster.command(0, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &ids[1]]);
    set("meanwhile").await;
    assert_eq!(cluster.command(0, &["CLUSTER", "COUNTKEYSINSLOT", &slot]), "1");
    assert_eq!(cluster.command(1, &["CLUSTER", "COUNTKEYSINSLOT", &slot]), "1");
    let both = [Some("before".to_owned()), Some("meanwhile".to_owned())];
    assert_eq!(read().await, both);

    let mut waiting = redis.blocking(&of("list")).await.expect("a connection to node 0");
    let port = cluster.port(1).to_string();
    cluster.command(0, &["MIGRATE", "127.0.0.1", &port, &of("before"), "0", "5000"]);
    for node in [1, 0] {
        cluster.command(node, &["CLUSTER", "SETSLOT", &slot, "NODE", &ids[1]]);
    }
    assert_eq!(read().await, both);
    let mut pop = redis::cmd("BLPOP");
    pop.arg(of("list")).arg(20);
    let moved = waiting.query::<(String, String)>(&pop).await;
    assert!(matches!(moved, Err(Error::Unavailable(_))), "{moved:?}");
    redis.query::<()>(redis::cmd("RPUSH").arg(of("list")).arg("there")).await.expect("it is pushed");
    testkit::eventually(PATIENCE, || async {
        let mut waiting = redis.blocking(&of("list")).await.expect("another connection");
        waiting.query::<(String, String)>(&pop).await.is_ok_and(|popped| popped.1 == "there")
    })
    .await;
}

#[tokio::test]
async fn who_listens_on_a_node_that_dies_can_listen_on_another() {
    let mut cluster = Cluster::start(3, 0).await;
    let redis = Redis::connect(&cluster.url()).await.expect("the cluster is there");
    let mut subscriber = redis.subscriber().await.expect("a connection for messages");
    subscriber.subscribe("news").await.expect("it subscribes");
    let listens = |node: &usize| !cluster.command(*node, &["PUBSUB", "CHANNELS"]).is_empty();
    let node = (0..3).find(listens).expect("it listens somewhere");
    cluster.kill(node);
    let ended = tokio::time::timeout(PATIENCE, subscriber.on_message().next()).await.expect("it ends");
    assert!(ended.is_none());
    let mut subscriber = redis.subscriber().await.expect("another connection");
    subscriber.subscribe("news").await.expect("it subscribes");
    cluster.command((node + 1) % 3, &["PUBLISH", "news", "still here"]);
    let next = tokio::time::timeout(PATIENCE, subscriber.on_message().next()).await.expect("it comes");
    assert_eq!(next.expect("a message").get_payload::<String>().expect("text"), "still here");
}
