//! Requests that come again, against a real Redis.

use std::time::Duration;

use action::TenantId;
use idempotency::{Begun, Config, Error, Idempotency, Lease};

const PRINT: [u8; 32] = [7; 32];

async fn memory(redis: &testkit::Redis, lease: Duration) -> Idempotency {
    let broker = broker::Redis::connect(&redis.url()).await.expect("the server is there");
    Idempotency::new(broker, Config { lease, ..Config::default() })
}

fn acme() -> TenantId {
    "acme".parse().expect("a tenant")
}

async fn begin(memory: &Idempotency, key: &str) -> Begun {
    memory.begin(&acme(), "POST /things", key, Some(&PRINT)).await.expect("Redis answers")
}

async fn first(memory: &Idempotency, key: &str) -> Lease {
    match begin(memory, key).await {
        Begun::First(lease) => lease,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_ran_is_answered_again_as_it_was() {
    let redis = testkit::Redis::start().await;
    let memory = memory(&redis, Duration::from_secs(10)).await;
    let answer = b"\x00\xffbytes of any kind";
    first(&memory, "one").await.finish(answer, None).await.unwrap();
    for _ in 0..3 {
        assert!(matches!(begin(&memory, "one").await, Begun::Again { answer: found, .. } if found == answer));
    }
    let key = redis.command(&["KEYS", "idempotency:acme:*"]);
    let left: i64 = redis.command(&["TTL", &key]).parse().unwrap();
    assert!((86_000..=86_400).contains(&left), "{left}");
}

#[tokio::test]
async fn while_it_runs_others_are_told_so_and_one_that_is_let_go_runs_again_with_the_same_id() {
    let redis = testkit::Redis::start().await;
    let memory = memory(&redis, Duration::from_secs(10)).await;
    let lease = first(&memory, "one").await;
    let id = lease.id();
    assert!(matches!(begin(&memory, "one").await, Begun::Running));
    lease.release().await.unwrap();
    assert_eq!(first(&memory, "one").await.id(), id);
}

#[tokio::test]
async fn another_body_another_route_another_tenant_and_another_key_are_others() {
    let redis = testkit::Redis::start().await;
    let memory = memory(&redis, Duration::from_secs(10)).await;
    first(&memory, "one").await.finish(b"answer", None).await.unwrap();
    let other = memory.begin(&acme(), "POST /things", "one", Some(&[8; 32])).await.unwrap();
    assert!(matches!(other, Begun::Other));
    assert!(matches!(memory.begin(&acme(), "POST /others", "one", Some(&PRINT)).await.unwrap(), Begun::First(_)));
    let tenant = "acme-2".parse().unwrap();
    assert!(matches!(memory.begin(&tenant, "POST /things", "one", Some(&PRINT)).await.unwrap(), Begun::First(_)));
    assert!(matches!(begin(&memory, "two").await, Begun::First(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_at_once_one_runs() {
    let redis = testkit::Redis::start().await;
    let memory = memory(&redis, Duration::from_secs(10)).await;
    let all = futures::future::join_all((0..100).map(|_| begin(&memory, "one"))).await;
    assert_eq!(all.iter().filter(|begun| matches!(begun, Begun::First(_))).count(), 1);
    assert_eq!(all.iter().filter(|begun| matches!(begun, Begun::Running)).count(), 99);
}

#[tokio::test]
async fn a_slow_run_keeps_its_lease_and_a_dead_one_loses_it() {
    let redis = testkit::Redis::start().await;
    let memory = memory(&redis, Duration::from_millis(300)).await;
    let lease = first(&memory, "one").await;
    let id = lease.id();
    // Three times as long as the lease.
    let working = tokio::time::timeout(Duration::from_millis(900), lease.keep());
    let (kept, seen) = tokio::join!(working, async {
        tokio::time::sleep(Duration::from_millis(600)).await;
        begin(&memory, "one").await
    });
    assert!(kept.is_err(), "it was kept as long as the work went on");
    assert!(matches!(seen, Begun::Running));
    // Nobody keeps it any more.
    let again = async || matches!(begin(&memory, "one").await, Begun::First(next) if next.id() == id);
    testkit::eventually(Duration::from_secs(5), again).await;
    assert!(matches!(lease.finish(b"late", None).await, Err(Error::Lost)), "the answer of who lost the lease is none");
}

#[tokio::test]
async fn on_a_cluster_it_is_the_same() {
    let cluster = testkit::Cluster::start(3, 0).await;
    let broker = broker::Redis::connect(&cluster.url()).await.expect("the cluster is there");
    let memory = Idempotency::new(broker, Config::default());
    for key in ["one", "two", "three", "four"] {
        first(&memory, key).await.finish(key.as_bytes(), None).await.unwrap();
        assert!(matches!(begin(&memory, key).await, Begun::Again { answer: found, .. } if found == key.as_bytes()));
    }
}

#[tokio::test]
async fn a_body_that_is_known_at_the_end_only_is_compared_by_who_repeats_it() {
    let redis = testkit::Redis::start().await;
    let memory = memory(&redis, Duration::from_secs(10)).await;
    let tenant = acme();
    let begin = || memory.begin(&tenant, "POST /files", "one", None);
    let Begun::First(lease) = begin().await.unwrap() else { panic!("it is the first") };
    assert!(matches!(begin().await.unwrap(), Begun::Running));
    let made = lease.id();
    lease.finish(b"answer", Some(&PRINT)).await.unwrap();
    let Begun::Again { answer, print, id } = begin().await.unwrap() else { panic!("it ran") };
    assert_eq!((answer.as_slice(), print.as_slice(), id), (b"answer".as_slice(), PRINT.as_slice(), made));
}

#[tokio::test]
async fn what_a_request_makes_has_the_same_id_after_everything_was_forgotten() {
    let redis = testkit::Redis::start().await;
    let memory = memory(&redis, Duration::from_secs(10)).await;
    let (tenant, other) = (acme(), "acme-2".parse().expect("a tenant"));
    let all = async || {
        let mut ids = Vec::new();
        for (tenant, route, key, print) in [
            (&tenant, "POST /things", "one", Some(&PRINT)),
            (&other, "POST /things", "one", Some(&PRINT)),
            (&tenant, "POST /others", "one", Some(&PRINT)),
            (&tenant, "POST /things", "two", Some(&PRINT)),
            (&tenant, "POST /things", "three", None),
        ] {
            let Begun::First(lease) = memory.begin(tenant, route, key, print).await.unwrap() else {
                panic!("the first")
            };
            ids.push(lease.id());
        }
        ids
    };
    let before = all().await;
    redis.command(&["FLUSHALL"]);
    assert_eq!(all().await, before);
    let different: std::collections::HashSet<_> = before.iter().collect();
    assert_eq!(different.len(), before.len(), "what differs makes something else");
}
