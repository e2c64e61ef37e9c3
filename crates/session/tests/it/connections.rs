use std::time::Duration;

use action::Tier;
use session::Connections;
use session::connections::{Full, Lease, Most, Occupant, Pace};
use testkit::eventually;
use tokio_util::sync::CancellationToken;

use crate::support::PATIENCE;

const PLENTY: Most = Most { tenant: 1000, user: 1000 };
const ALL: &str = "{ns:acme}:sockets";

fn who(session: &str, user: Option<&str>) -> Occupant {
    Occupant {
        tenant: "acme".parse().expect("a tenant"),
        tier: Tier::Free,
        session: session.parse().expect("a session"),
        user: user.map(|user| user.parse().expect("a user")),
    }
}

/// A process that counts, and the token that ends it.
async fn process(redis: &testkit::Redis, pace: Pace) -> (Connections, CancellationToken) {
    let connected = broker::Redis::connect(&redis.url()).await.expect("the server is there");
    let (connections, stop) = (Connections::new(connected, pace), CancellationToken::new());
    let (kept, ending) = (connections.clone(), stop.clone());
    tokio::spawn(async move { kept.keep(100, ending).await });
    (connections, stop)
}

fn count(redis: &testkit::Redis, key: &str) -> usize {
    redis.command(&["ZCARD", key]).trim().parse().expect("a number")
}

async fn take(connections: &Connections, session: &str, user: Option<&str>, most: Most) -> Result<Lease, Full> {
    connections.take(&who(session, user), most).await
}

#[tokio::test]
async fn a_tenant_has_so_many_connections_all_processes_together() {
    let redis = testkit::Redis::start().await;
    let (here, _) = process(&redis, Pace::default()).await;
    let (there, _) = process(&redis, Pace::default()).await;
    let most = Most { tenant: 3, user: 1000 };
    let mut leases = Vec::new();
    for process in [&here, &there, &here] {
        leases.push(take(process, "web-1", None, most).await.expect("room"));
    }
    assert_eq!(take(&there, "web-2", None, most).await.expect_err("full"), Full::Tenant(3));
    assert_eq!(count(&redis, ALL), 3, "who is refused holds nothing");
    leases.pop();
    // The process that gave it back knows at once; another one as soon as it was told.
    leases.push(take(&here, "web-2", None, most).await.expect("room again"));
    drop(leases);
    eventually(PATIENCE, || async { count(&redis, ALL) == 0 }).await;
}

#[tokio::test]
async fn a_user_has_so_many_and_takes_none_of_another_user() {
    let redis = testkit::Redis::start().await;
    let (process, _) = process(&redis, Pace::default()).await;
    let most = Most { tenant: 10, user: 2 };
    let _one = take(&process, "web-1", Some("ana"), most).await.expect("room");
    let two = take(&process, "web-1", Some("ana"), most).await.expect("room");
    assert_eq!(take(&process, "web-1", Some("ana"), most).await.expect_err("full"), Full::User(2));
    let _other = take(&process, "web-1", Some("bob"), most).await.expect("room");
    let _nobody = take(&process, "web-1", None, most).await.expect("room");
    assert_eq!(count(&redis, ALL), 4);
    drop(two);
    let _again = take(&process, "web-1", Some("ana"), most).await.expect("room again");
    let connected = process.of_tenant(&"acme".parse().expect("a tenant")).await.expect("listed");
    let mut users: Vec<_> = connected.into_iter().map(|one| one.user.unwrap_or_default()).collect();
    users.sort_unstable();
    assert_eq!(users, ["", "ana", "ana", "bob"]);
}

#[tokio::test]
async fn many_at_once_never_get_more_than_there_may_be() {
    let redis = testkit::Redis::start().await;
    let (here, _) = process(&redis, Pace::default()).await;
    let (there, _) = process(&redis, Pace::default()).await;
    let most = Most { tenant: 10, user: 1000 };
    let asking = (0..100).map(|number| {
        let process = if number % 2 == 0 { here.clone() } else { there.clone() };
        async move { process.take(&who("web-1", None), most).await }
    });
    let taken: Vec<_> = futures::future::join_all(asking).await.into_iter().filter_map(Result::ok).collect();
    assert_eq!((taken.len(), count(&redis, ALL)), (10, 10));
}

#[tokio::test]
async fn what_a_dead_process_held_is_free_after_its_lease_and_what_a_living_one_holds_is_not() {
    let redis = testkit::Redis::start().await;
    let pace = Pace { lease: Duration::from_millis(600), renewal: Duration::from_millis(100) };
    let (alive, _) = process(&redis, pace).await;
    // Nobody renews what this one takes, and nothing is given back.
    let connected = broker::Redis::connect(&redis.url()).await.expect("the server is there");
    let dead = Connections::new(connected, pace);
    let most = Most { tenant: 2, user: 2 };
    std::mem::forget(dead.take(&who("web-1", Some("ana")), most).await.expect("room"));
    let _kept = take(&alive, "web-1", Some("ana"), most).await.expect("room");
    assert_eq!(take(&alive, "web-1", Some("ana"), most).await.expect_err("full"), Full::Tenant(2));
    eventually(PATIENCE, || async { take(&alive, "web-2", Some("bob"), most).await.is_ok() }).await;
    tokio::time::sleep(2 * pace.lease).await;
    let listed = alive.of_tenant(&"acme".parse().expect("a tenant")).await.expect("listed");
    assert_eq!(listed.len(), 1, "renewed all the time: {listed:?}");
    assert_eq!(count(&redis, &format!("{ALL}:ana")), 1);
}

#[tokio::test]
async fn a_server_that_forgot_everything_learns_it_again() {
    let redis = testkit::Redis::start().await;
    let pace = Pace { lease: Duration::from_mins(1), renewal: Duration::from_millis(100) };
    let (process, _) = process(&redis, pace).await;
    let _one = take(&process, "web-1", Some("ana"), PLENTY).await.expect("room");
    let _two = take(&process, "web-1", None, PLENTY).await.expect("room");
    redis.command(&["FLUSHALL"]);
    eventually(PATIENCE, || async { count(&redis, ALL) == 2 && count(&redis, &format!("{ALL}:ana")) == 1 }).await;
}

#[tokio::test]
async fn without_redis_nobody_is_refused_and_everything_counts_when_it_is_back() {
    let mut redis = testkit::Redis::start().await;
    let pace = Pace { lease: Duration::from_mins(1), renewal: Duration::from_millis(100) };
    let (process, _) = process(&redis, pace).await;
    let most = Most { tenant: 1, user: 1 };
    let _one = take(&process, "web-1", None, most).await.expect("room");
    redis.kill();
    let two = take(&process, "web-1", None, most).await.expect("nobody knows better");
    redis.restart().await;
    eventually(PATIENCE, || async { count(&redis, ALL) == 2 }).await;
    assert_eq!(take(&process, "web-1", None, most).await.expect_err("full"), Full::Tenant(1));
    drop(two);
    eventually(PATIENCE, || async { count(&redis, ALL) == 1 }).await;
}

#[tokio::test]
async fn a_hundred_reconnections_in_a_row_leave_nothing_behind() {
    let redis = testkit::Redis::start().await;
    let (process, stop) = process(&redis, Pace::default()).await;
    let most = Most { tenant: 1, user: 1 };
    for _ in 0..100 {
        drop(take(&process, "web-1", Some("ana"), most).await.expect("the one before has left"));
    }
    eventually(PATIENCE, || async { count(&redis, ALL) == 0 && count(&redis, &format!("{ALL}:ana")) == 0 }).await;
    let _held = take(&process, "web-1", None, most).await.expect("room");
    stop.cancel();
    eventually(PATIENCE, || async { redis.command(&["KEYS", "*"]).trim().is_empty() }).await;
}

#[tokio::test]
async fn processes_report_what_they_hold_until_they_end() {
    let redis = testkit::Redis::start().await;
    let (here, stop) = process(&redis, Pace::default()).await;
    let (there, _) = process(&redis, Pace::default()).await;
    let _one = take(&here, "web-1", None, PLENTY).await.expect("room");
    let professional =
        Occupant { tenant: "beta".parse().expect("a tenant"), tier: Tier::Professional, ..who("w-1", None) };
    let _two = there.take(&professional, PLENTY).await.expect("room");
    let _three = there.take(&professional, PLENTY).await.expect("room");
    let reports = || async { here.reports(100).await.expect("reported") };
    eventually(PATIENCE, || async {
        reports().await.iter().map(session::connections::Report::connections).sum::<u64>() == 3
    })
    .await;
    let mut all = reports().await;
    all.sort_by_key(session::connections::Report::connections);
    assert_eq!((all[0].node.as_str(), all[0].by_tier, all[0].most), (here.node(), [1, 0, 0, 0], 100));
    assert_eq!((all[1].node.as_str(), all[1].by_tier), (there.node(), [0, 0, 2, 0]));
    assert_eq!((all[1].tenants[0].tenant.as_str(), all[1].tenants[0].connections), ("beta", 2));
    stop.cancel();
    eventually(PATIENCE, || async { there.reports(100).await.expect("reported").len() == 1 }).await;
}

#[tokio::test]
async fn connections_and_tickets_of_tenants_on_every_node_of_a_cluster_are_kept() {
    let cluster = testkit::Cluster::start(3, 0).await;
    let connected = broker::Redis::connect(&cluster.url()).await.expect("the servers are there");
    let pace = Pace { lease: Duration::from_millis(1500), renewal: Duration::from_millis(200) };
    let (connections, stop) = (Connections::new(connected.clone(), pace), CancellationToken::new());
    let (kept, ending) = (connections.clone(), stop.clone());
    let keeping = tokio::spawn(async move { kept.keep(100, ending).await });
    let tickets = session::Tickets::new(connected);
    let most = Most { tenant: 2, user: 1 };
    let mut leases = Vec::new();
    for number in 0..12 {
        let of = |user: Option<&str>| Occupant {
            tenant: format!("tenant-{number}").parse().expect("a tenant"),
            ..who("web-1", user)
        };
        leases.push(connections.take(&of(Some("ana")), most).await.expect("room"));
        assert_eq!(connections.take(&of(Some("ana")), most).await.expect_err("full"), Full::User(1));
        leases.push(connections.take(&of(None), most).await.expect("room"));
        assert_eq!(connections.take(&of(None), most).await.expect_err("full"), Full::Tenant(2));
        let grant = session::Grant { session: None, user: None, credential: number.to_string() };
        let ticket = tickets.issue(&of(None).tenant, &grant).await.expect("issued");
        assert_eq!(tickets.find(&of(None).tenant, &ticket).await.expect("answered"), Some(grant));
        assert!(tickets.take(&of(None).tenant, &ticket).await.expect("answered"));
    }
    tokio::time::sleep(2 * pace.lease).await;
    let counts = || async {
        let mut all = Vec::new();
        for number in 0..12 {
            let tenant = format!("tenant-{number}").parse().expect("a tenant");
            all.push(connections.of_tenant(&tenant).await.expect("listed").len());
        }
        all
    };
    assert_eq!(counts().await, [2; 12], "all of them are renewed");
    assert_eq!(connections.reports(100).await.expect("reported").len(), 1);
    drop(leases);
    eventually(PATIENCE, || async { counts().await == [0; 12] }).await;
    stop.cancel();
    keeping.await.expect("it ends");
    assert_eq!(
        cluster.command_each(&["DBSIZE"]).join("").matches(|digit: char| ('1'..='9').contains(&digit)).count(),
        0
    );
}
