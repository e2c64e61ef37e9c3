//! Windows of requests, against a real Redis.

use std::sync::Arc;
use std::time::Duration;

use action::Tier;
use fault::Fault as _;
use quota::{Charge, Config, Quota, TierLimits, Tiers, UsageKind};

use crate::setup::{NOON, acme, admitted, at, calls, chat, exceeded, minute, quota, with};

#[tokio::test]
async fn windows_are_parts_of_the_calendar() {
    const MIDNIGHT: u64 = minute(12 * 60);
    // Moment in milliseconds, requests made, requests admitted.
    type Step = (u64, u32, u32);
    let table: [(&str, &[Step]); 4] = [
        ("the eleventh of a minute is refused", &[(minute(0), 11, 10)]),
        ("the last millisecond belongs to the minute", &[(minute(0), 10, 10), (minute(1) - 1, 1, 0)]),
        ("the next minute begins anew", &[(minute(1) - 1, 11, 10), (minute(1), 11, 10)]),
        ("midnight begins a new day and minute", &[(MIDNIGHT - 1, 11, 10), (MIDNIGHT, 11, 10)]),
    ];
    for (what, steps) in table {
        let redis = testkit::Redis::start().await;
        let quota = quota(&redis).await;
        for (ms, times, expected) in steps {
            assert_eq!(admitted(&quota, *ms, *times).await, *expected, "{what}, at {ms}");
        }
    }
}

#[tokio::test]
async fn the_day_ends_what_its_minutes_would_allow() {
    let redis = testkit::Redis::start().await;
    let quota = quota(&redis).await;
    for number in 0..10 {
        assert_eq!(admitted(&quota, minute(number), 10).await, 10);
    }
    assert_eq!(admitted(&quota, minute(10), 10).await, 0);
    assert_eq!(admitted(&quota, minute(24 * 60), 11).await, 10);
}

#[tokio::test]
async fn keys_fields_and_times_to_live_are_those_that_operators_know() {
    let redis = testkit::Redis::start().await;
    let quota = quota(&redis).await.at(at(NOON * 1000 + 30_000));
    for kind in [UsageKind::Agent, UsageKind::Agent, UsageKind::Workflow, UsageKind::Collection, UsageKind::Query] {
        quota.admit(Charge::new(acme(), Tier::Free, kind)).await.unwrap();
    }
    let mut keys: Vec<_> = redis.command(&["KEYS", "*"]).lines().map(str::to_owned).collect();
    keys.sort();
    let minute = format!("rate_limit:acme:minute:{}", NOON / 60);
    let day = "rate_limit:acme:day:2024-02-29";
    assert_eq!(keys, [day, minute.as_str(), "usage:acme:2024-02-29", "usage:tier:free:2024-02-29"]);
    assert_eq!((redis.command(&["GET", &minute]), redis.command(&["GET", day])), ("5".to_owned(), "5".to_owned()));
    for (field, count) in [
        ("total_requests", "5"),
        ("agent_requests", "2"),
        ("workflow_requests", "1"),
        ("collection_requests", "1"),
        ("query_requests", "1"),
    ] {
        assert_eq!(redis.command(&["HGET", "usage:acme:2024-02-29", field]), count);
    }
    assert_eq!(redis.command(&["HGETALL", "usage:tier:free:2024-02-29"]), "total_requests\n5");
    let lives = [
        (minute.as_str(), 60),
        (day, 86_400),
        ("usage:acme:2024-02-29", 7 * 86_400),
        ("usage:tier:free:2024-02-29", 30 * 86_400),
    ];
    for (key, seconds) in lives {
        let left: i64 = redis.command(&["TTL", key]).parse().unwrap();
        assert!((seconds - 5..=seconds).contains(&left), "{key} lives for {left} s");
    }
}

#[tokio::test]
async fn dates_are_right_over_the_centuries() {
    let redis = testkit::Redis::start().await;
    let quota = quota(&redis).await;
    for (seconds, date) in [
        (0, "1970-01-01"),
        (951_782_399, "2000-02-28"),
        (951_782_400, "2000-02-29"),
        (951_868_800, "2000-03-01"),
        (1_735_689_599, "2024-12-31"),
        (1_735_689_600, "2025-01-01"),
        (4_107_542_400, "2100-03-01"),
    ] {
        quota.clone().at(at(seconds * 1000 + 1)).admit(chat(Tier::Free)).await.unwrap();
        assert_eq!(redis.command(&["EXISTS", &format!("usage:acme:{date}")]), "1", "{date}");
    }
}

#[tokio::test]
async fn a_refused_request_costs_nothing_in_any_window() {
    let redis = testkit::Redis::start().await;
    let quota = quota(&redis).await;
    assert_eq!(admitted(&quota, NOON * 1000, 25).await, 10);
    let day = "rate_limit:acme:day:2024-02-29";
    assert_eq!(redis.command(&["GET", day]), "10");
    assert_eq!(redis.command(&["GET", &format!("rate_limit:acme:minute:{}", NOON / 60)]), "10");
    assert_eq!(redis.command(&["HGET", "usage:acme:2024-02-29", "total_requests"]), "10");
    redis.command(&["SET", day, "100"]);
    assert_eq!(admitted(&quota, NOON * 1000 + 60_000, 3).await, 0);
    assert_eq!(redis.command(&["EXISTS", &format!("rate_limit:acme:minute:{}", NOON / 60 + 1)]), "0");
}

#[tokio::test]
async fn a_refusal_names_the_window_and_says_when_to_come_back() {
    let redis = testkit::Redis::start().await;
    let quota = quota(&redis).await;
    assert_eq!(admitted(&quota, NOON * 1000, 10).await, 10);
    let quota = quota.at(at(NOON * 1000 + 36_500));
    let refused = quota.admit(chat(Tier::Free)).await.unwrap_err();
    let by = exceeded(&refused);
    assert_eq!((by.window, by.limit), ("minute", 10));
    let failure = refused.failure();
    assert_eq!(failure.reason().id, "RATE_LIMIT_EXCEEDED");
    assert_eq!(failure.retry_delay(), Some(Duration::from_millis(23_500)));
    let facts: Vec<_> = failure.metadata().iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(facts, [("limit", "10"), ("remaining", "0"), ("window", "minute")]);

    redis.command(&["SET", "rate_limit:acme:day:2024-02-29", "100"]);
    let another = self::quota(&redis).await.at(at(NOON * 1000 + 36_500));
    let refused = another.admit(chat(Tier::Free)).await.unwrap_err();
    let by = exceeded(&refused);
    assert_eq!((by.window, by.limit), ("day", 100), "waiting for the minute alone would not help");
    assert_eq!(by.retry_after, Duration::from_millis((12 * 3600 - 37) * 1000 + 500));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_hundred_at_once_exactly_as_many_as_allowed_are_admitted() {
    let redis = testkit::Redis::start().await;
    let mut connections = Vec::new();
    for _ in 0..8 {
        connections.push(quota(&redis).await.at(at(NOON * 1000)));
    }
    let calls = (0..200).map(|number| {
        let quota = connections[number % 8].clone();
        async move { quota.admit(chat(Tier::Free)).await.is_ok() }
    });
    let admitted = futures::future::join_all(calls).await;
    assert_eq!(admitted.into_iter().filter(|admitted| *admitted).count(), 10);
}

#[tokio::test]
async fn a_decision_is_one_round_trip() {
    let redis = testkit::Redis::start().await;
    let quota = quota(&redis).await;
    quota.status(&acme(), Tier::Free).await.unwrap();
    redis.command(&["CONFIG", "RESETSTAT"]);
    for _ in 0..10 {
        quota.admit(Charge::new(acme(), Tier::Free, UsageKind::Query)).await.unwrap();
    }
    let calls = |command| calls(&redis, command);
    assert_eq!(calls("evalsha"), 10);
    let others: u64 = ["eval", "script|load", "multi", "ping", "hello", "select"].into_iter().map(calls).sum();
    assert_eq!(others, 0);
    // What the script itself does counts too; nothing else came over the wire.
    assert_eq!(calls("time"), 10);
}

#[tokio::test]
async fn a_tier_without_limits_is_counted_and_never_refused() {
    let redis = testkit::Redis::start().await;
    let quota = quota(&redis).await.at(at(NOON * 1000));
    for _ in 0..300 {
        let admitted = quota.admit(chat(Tier::Enterprise)).await.unwrap();
        assert!(admitted.windows.is_empty());
    }
    quota.flush().await;
    assert_eq!(redis.command(&["HGET", "usage:acme:2024-02-29", "agent_requests"]), "300");
    assert_eq!(redis.command(&["HGET", "usage:tier:enterprise:2024-02-29", "total_requests"]), "300");
    let keys = redis.command(&["KEYS", "rate_limit:*"]);
    assert!(keys.lines().all(|key| key.starts_with("rate_limit:acme:counted:enterprise:")), "no window: {keys}");
}

#[tokio::test]
async fn a_tier_with_one_limit_has_one_window() {
    let redis = testkit::Redis::start().await;
    let mut tiers = Tiers::default();
    *tiers.of_mut(Tier::Free) = TierLimits { per_minute: None, per_day: Some(2), ..TierLimits::of(Tier::Free) };
    let quota = with(&redis, tiers).await;
    assert_eq!(admitted(&quota, NOON * 1000, 3).await, 2);
    let windows = quota.at(at(NOON * 1000)).status(&acme(), Tier::Free).await.unwrap();
    let requests = windows.iter().filter(|window| window.counts_requests());
    assert_eq!(requests.map(|window| window.name).collect::<Vec<_>>(), ["day"]);
}

#[tokio::test]
async fn a_limit_of_nothing_admits_nothing() {
    let redis = testkit::Redis::start().await;
    let mut tiers = Tiers::default();
    tiers.of_mut(Tier::Free).per_minute = Some(0);
    assert_eq!(admitted(&with(&redis, tiers).await, NOON * 1000, 3).await, 0);
}

#[tokio::test]
async fn looking_at_the_windows_charges_nothing() {
    let redis = testkit::Redis::start().await;
    let quota = quota(&redis).await;
    assert_eq!(admitted(&quota, NOON * 1000, 4).await, 4);
    let quota = quota.at(at(NOON * 1000 + 15_000));
    let expected = [
        ("minute", 10, 6, Duration::from_secs(45), Duration::from_mins(1)),
        ("day", 100, 96, Duration::from_secs(12 * 3600 - 15), Duration::from_hours(24)),
    ];
    for _ in 0..3 {
        let windows = quota.status(&acme(), Tier::Free).await.unwrap();
        let requests = windows.iter().filter(|window| window.counts_requests());
        let seen = requests.map(|window| (window.name, window.limit, window.remaining, window.reset, window.length));
        assert_eq!(seen.collect::<Vec<_>>(), expected);
    }
    let admitted = quota.admit(chat(Tier::Free)).await.unwrap();
    assert_eq!(admitted.windows[0].remaining, 5);
}

#[tokio::test]
async fn the_clock_is_the_servers_unless_another_is_given() {
    let redis = testkit::Redis::start().await;
    let quota = quota(&redis).await;
    quota.admit(chat(Tier::Professional)).await.unwrap();
    let seconds: u64 = redis.command(&["TIME"]).lines().next().unwrap().parse().unwrap();
    let counted = |minute: u64| redis.command(&["EXISTS", &format!("rate_limit:acme:minute:{minute}")]) == "1";
    assert!(counted(seconds / 60) || counted(seconds / 60 - 1));
}

#[tokio::test]
async fn on_a_cluster_the_tenant_stands_in_braces_and_everything_is_counted_all_the_same() {
    let cluster = testkit::Cluster::start(3, 0).await;
    let redis = broker::Redis::connect(&cluster.url()).await.expect("the cluster is there");
    let quota = Quota::new(redis, Arc::new(Tiers::default()), Config::default());
    assert_eq!(admitted(&quota, NOON * 1000, 12).await, 10);
    for tenant in ["beta", "gamma", "delta", "epsilon"] {
        let tenant = tenant.parse().expect("a tenant");
        quota.clone().at(at(NOON * 1000)).admit(Charge::new(tenant, Tier::Free, UsageKind::Query)).await.unwrap();
    }
    let keys = cluster.command_each(&["KEYS", "*acme*"]).join("\n");
    let mut keys: Vec<_> = keys.lines().filter(|key| !key.is_empty()).collect();
    keys.sort_unstable();
    let minute = format!("rate_limit:{{acme}}:minute:{}", NOON / 60);
    assert_eq!(keys, ["rate_limit:{acme}:day:2024-02-29", minute.as_str(), "usage:{acme}:2024-02-29"]);
    let tier = "usage:tier:free:2024-02-29";
    let node = cluster.master_of(tier).expect("it has an owner");
    assert_eq!(cluster.command(node, &["HGET", tier, "total_requests"]), "14");
    let left: i64 = cluster.command(node, &["TTL", tier]).parse().unwrap();
    assert!((30 * 86_400 - 5..=30 * 86_400).contains(&left), "it lives for {left} s");
    let status = quota.at(at(NOON * 1000)).status(&acme(), Tier::Free).await.unwrap();
    assert_eq!(status.iter().take(2).map(|window| window.remaining).collect::<Vec<_>>(), [0, 90]);
    assert_eq!(cluster.command(node, &["HGET", tier, "total_requests"]), "14", "looking counts nothing");
}

#[test]
fn tiers_have_the_numbers_that_were_promised() {
    let tiers = Tiers::default();
    let row = |tier: Tier| {
        let limits = tiers.of(tier);
        (limits.per_minute, limits.per_day, limits.timeout.as_secs(), limits.max_document_bytes >> 20)
    };
    assert_eq!(row(Tier::Free), (Some(10), Some(100), 30, 5));
    assert_eq!(row(Tier::Advance), (Some(50), Some(1000), 60, 10));
    assert_eq!(row(Tier::Professional), (Some(200), Some(10_000), 120, 50));
    assert_eq!(row(Tier::Enterprise), (None, None, 300, 100));
}
