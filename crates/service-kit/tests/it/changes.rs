//! What management changes, seen from another process.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use action::{AgentId, Tier};
use service_kit::identity::{Grant, mint};
use service_kit::{Change, HostConfig, Identity, Kit};
use testkit::eventually;

use crate::mesh::{Mesh, ms, tokens};

const SECOND: Duration = Duration::from_secs(1);

/// A mesh whose processes remember for a long time, and another process of it.
async fn two() -> (Mesh, Kit) {
    let mesh = lasting().await;
    let other = Kit::start(mesh.config.clone()).await.unwrap();
    connected(&other).await;
    (mesh, other)
}

async fn lasting() -> Mesh {
    Mesh::adjusted(HostConfig::anywhere(), |config| {
        let minute = Duration::from_mins(1);
        (config.admission.keep, config.admission.held, config.admission.negative) = (minute * 5, minute, minute);
        (config.resolver.held, config.resolver.negative) = (minute, minute);
    })
    .await
}

async fn connected(kit: &Kit) {
    eventually(Duration::from_secs(10), || async { kit.changes.connected() }).await;
}

fn acme() -> Identity {
    Identity::tenant("acme-1".parse().unwrap(), Tier::Free)
}

fn of_acme() -> Change {
    Change::Thing("acme-1".parse().unwrap())
}

fn agent(number: u32) -> AgentId {
    format!("agent-{number}").parse().unwrap()
}

/// Returns why the agent may not be used; nothing when it may.
async fn refusal(kit: &Kit, number: u32) -> Option<&'static str> {
    kit.admission.access_agent(acme(), &agent(number)).await.err().map(|refused| refused.reason().id)
}

fn asked(mesh: &Mesh) -> u32 {
    mesh.management.asked.load(Ordering::Relaxed)
}

#[tokio::test]
async fn an_agent_that_is_deactivated_stops_answering_everywhere_within_a_second() {
    let (mesh, other) = two().await;
    assert_eq!(refusal(&other, 1).await, None);
    mesh.management.inactive.store(true, Ordering::Relaxed);
    let held_until = Instant::now() + ms(500);
    while Instant::now() < held_until {
        assert_eq!(refusal(&other, 1).await, None, "nothing was told yet");
        tokio::time::sleep(ms(20)).await;
    }
    assert_eq!(asked(&mesh), 1);
    mesh.kit.changes.announce(of_acme()).await;
    assert_eq!(refusal(&mesh.kit, 1).await, Some("ACCESS_DENIED"), "here at once");
    eventually(SECOND, || async { refusal(&other, 1).await == Some("ACCESS_DENIED") }).await;
}

#[tokio::test]
async fn a_refusal_is_lifted_everywhere_when_the_agent_is_made() {
    let (mesh, other) = two().await;
    assert_eq!(refusal(&other, 3).await, Some("ACCESS_DENIED"));
    mesh.management.more.lock().unwrap().push("agent-3".to_owned());
    assert_eq!(refusal(&other, 3).await, Some("ACCESS_DENIED"));
    mesh.kit.changes.announce(of_acme()).await;
    eventually(SECOND, || async { refusal(&other, 3).await.is_none() }).await;
}

#[tokio::test]
async fn a_revoked_key_and_a_suspended_tenant_are_refused_everywhere_within_a_second() {
    for change in [Change::Key, Change::Tenant("acme-1".parse().unwrap())] {
        let (mesh, other) = two().await;
        let grant = Grant {
            tenant: "acme-1".parse().unwrap(),
            user: None,
            agents: None,
            tier: None,
            ttl: Duration::from_mins(5),
        };
        let token = mint(&tokens(), &grant).unwrap();
        let key_is_good = async || other.resolver.resolve("nbl_tenant_key").await.is_ok();
        let token_is_good = async || other.resolver.resolve(token.expose()).await.unwrap().tenant().is_ok();
        assert!(key_is_good().await && token_is_good().await);
        mesh.management.revoked.store(true, Ordering::Relaxed);
        tokio::time::sleep(ms(400)).await;
        assert!(key_is_good().await && token_is_good().await, "nothing was told yet");
        mesh.kit.changes.announce(change.clone()).await;
        eventually(SECOND, async || !key_is_good().await).await;
        if change != Change::Key {
            eventually(SECOND, async || !token_is_good().await).await;
        }
        mesh.management.revoked.store(false, Ordering::Relaxed);
        mesh.kit.changes.announce(change).await;
        eventually(SECOND, async || key_is_good().await && token_is_good().await).await;
    }
}

#[tokio::test]
async fn what_one_process_learned_another_need_not_ask_for_nor_needs_management() {
    let (mesh, other) = two().await;
    assert_eq!(refusal(&mesh.kit, 1).await, None);
    assert_eq!((refusal(&other, 1).await, asked(&mesh)), (None, 1));
    let keys = mesh.redis.command(&["KEYS", "access:{acme-1}:*"]);
    assert!(keys.contains("access:{acme-1}:agent:agent-1"), "{keys}");
    let left: i64 = mesh.redis.command(&["PTTL", "access:{acme-1}:agent:agent-1"]).trim().parse().unwrap();
    assert!((280_000..=300_000).contains(&left), "{left}");
    let length: u32 = mesh.redis.command(&["STRLEN", "access:{acme-1}:agent:agent-1"]).trim().parse().unwrap();
    assert!(length < 256, "the long texts of an agent are not remembered: {length}");
    mesh.management.away.store(true, Ordering::Relaxed);
    let third = Kit::start(mesh.config.clone()).await.unwrap();
    assert_eq!(refusal(&third, 1).await, None);
    assert_eq!(refusal(&third, 2).await, Some("UNAVAILABLE"), "nothing is known about it");
    // What was changed is believed by nobody, though management cannot say what it is now.
    mesh.kit.changes.announce(of_acme()).await;
    for kit in [&mesh.kit, &other, &third] {
        eventually(SECOND, || async { refusal(kit, 1).await == Some("UNAVAILABLE") }).await;
    }
    mesh.management.away.store(false, Ordering::Relaxed);
    assert_eq!(refusal(&mesh.kit, 1).await, None);
    mesh.management.away.store(true, Ordering::Relaxed);
    assert_eq!(refusal(&other, 1).await, None, "it is known again");
    mesh.kit.changes.announce(Change::Everything).await;
    eventually(SECOND, || async { refusal(&other, 1).await == Some("UNAVAILABLE") }).await;
}

#[tokio::test]
async fn what_another_process_learned_is_relied_on_no_longer_than_it_was_granted_for() {
    let keep = Duration::from_secs(2);
    let mesh = Mesh::adjusted(HostConfig::anywhere(), |config| {
        (config.admission.keep, config.admission.held, config.admission.fresh) = (keep, keep, keep);
    })
    .await;
    let other = Kit::start(mesh.config.clone()).await.unwrap();
    connected(&other).await;
    assert_eq!(refusal(&mesh.kit, 1).await, None);
    let granted = Instant::now();
    mesh.management.away.store(true, Ordering::Relaxed);
    tokio::time::sleep(keep / 2).await;
    assert_eq!(refusal(&other, 1).await, None, "Redis knows");
    eventually(keep * 3, || async {
        let asked_after = granted.elapsed();
        let refused = refusal(&other, 1).await;
        assert!(refused.is_some() || asked_after < keep + ms(200), "granted after {asked_after:?}");
        refused == Some("UNAVAILABLE")
    })
    .await;
}

#[tokio::test]
async fn what_stands_in_redis_and_makes_no_sense_is_asked_for_again() {
    let (mesh, other) = two().await;
    assert_eq!(refusal(&mesh.kit, 1).await, None);
    for nonsense in ["", "nonsense", "1 0.0 \u{fffd}\u{fffd}", "2 0.0 x"] {
        mesh.redis.command(&["SET", "access:{acme-1}:agent:agent-1", nonsense]);
        mesh.kit.changes.announce(Change::Everything).await;
        eventually(SECOND, || async { refusal(&other, 1).await.is_none() && asked(&mesh) > 1 }).await;
    }
}

#[tokio::test]
async fn an_answer_that_a_change_overtakes_is_not_believed() {
    let (mesh, other) = two().await;
    *mesh.management.pause.lock().unwrap() = ms(300);
    let asking = tokio::spawn({
        let other = other.clone();
        async move { refusal(&other, 1).await }
    });
    eventually(Duration::from_secs(5), || async { asked(&mesh) == 1 }).await;
    mesh.kit.changes.announce(of_acme()).await;
    // The first answer still says that the agent is active; the question after the change gets the new one.
    eventually(Duration::from_secs(5), || async { asked(&mesh) == 2 }).await;
    mesh.management.inactive.store(true, Ordering::Relaxed);
    assert_eq!(asking.await.unwrap(), Some("ACCESS_DENIED"));
    assert_eq!(refusal(&other, 1).await, Some("ACCESS_DENIED"));
}

#[tokio::test]
async fn access_goes_on_without_redis_and_is_asked_for_again_soon_then() {
    let (mut mesh, other) = two().await;
    assert_eq!(refusal(&other, 1).await, None);
    mesh.redis.kill();
    eventually(Duration::from_secs(10), || async { !other.changes.connected() }).await;
    assert_eq!(refusal(&other, 2).await, Some("ACCESS_DENIED"), "management is asked");
    let before = asked(&mesh);
    eventually(Duration::from_secs(5), || async { refusal(&other, 1).await.is_none() && asked(&mesh) > before }).await;
    mesh.management.inactive.store(true, Ordering::Relaxed);
    eventually(Duration::from_secs(5), || async { refusal(&other, 1).await == Some("ACCESS_DENIED") }).await;
    mesh.management.inactive.store(false, Ordering::Relaxed);
    eventually(Duration::from_secs(5), || async { refusal(&other, 1).await.is_none() }).await;
    // Neither Redis nor management: what was granted stands.
    mesh.management.away.store(true, Ordering::Relaxed);
    let before = asked(&mesh);
    eventually(Duration::from_secs(5), || async {
        assert_eq!(refusal(&other, 1).await, None);
        asked(&mesh) > before
    })
    .await;
    assert_eq!(refusal(&other, 3).await, Some("UNAVAILABLE"));
}

#[tokio::test]
async fn news_that_redis_missed_is_told_when_it_is_back_and_whoever_missed_news_believes_nothing_old() {
    let (mut mesh, other) = two().await;
    assert_eq!(refusal(&other, 1).await, None);
    mesh.redis.kill();
    let began = Instant::now();
    mesh.management.inactive.store(true, Ordering::Relaxed);
    mesh.kit.changes.announce(of_acme()).await;
    assert!(began.elapsed() < SECOND, "the one who changes something does not wait for Redis");
    mesh.redis.restart().await;
    connected(&mesh.kit).await;
    connected(&other).await;
    eventually(SECOND, || async { refusal(&other, 1).await == Some("ACCESS_DENIED") }).await;
    let version = async || !mesh.redis.command(&["GET", "access:{acme-1}:version"]).trim().is_empty();
    eventually(Duration::from_secs(5), version).await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_not_trusted_for_long() {
    let mesh = lasting().await;
    let proxy = testkit::Proxy::start(&mesh.redis.url()).await;
    let mut config = mesh.config.clone();
    config.redis_url = Some(proxy.url());
    let other = Kit::start(config).await.unwrap();
    connected(&other).await;
    assert_eq!(refusal(&other, 1).await, None);
    proxy.stall();
    mesh.management.inactive.store(true, Ordering::Relaxed);
    mesh.kit.changes.announce(of_acme()).await;
    eventually(Duration::from_secs(5), || async { refusal(&other, 1).await == Some("ACCESS_DENIED") }).await;
    assert!(!other.changes.connected());
    proxy.go_on();
    connected(&other).await;
}

#[tokio::test]
async fn changes_are_heard_of_and_accesses_shared_over_the_nodes_of_a_cluster() {
    let mesh = lasting().await;
    let cluster = testkit::Cluster::start(3, 0).await;
    let mut config = mesh.config.clone();
    config.redis_url = Some(cluster.url());
    let (one, other) = (Kit::start(config.clone()).await.unwrap(), Kit::start(config).await.unwrap());
    connected(&one).await;
    connected(&other).await;
    assert_eq!((refusal(&one, 1).await, refusal(&other, 1).await, asked(&mesh)), (None, None, 1));
    mesh.management.inactive.store(true, Ordering::Relaxed);
    one.changes.announce(of_acme()).await;
    eventually(SECOND, || async { refusal(&other, 1).await == Some("ACCESS_DENIED") }).await;
    mesh.management.inactive.store(false, Ordering::Relaxed);
    other.changes.announce(Change::Everything).await;
    eventually(SECOND, || async { refusal(&one, 1).await.is_none() }).await;
}
