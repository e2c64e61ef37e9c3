//! What a process decides without asking.

use std::time::Duration;

use action::Tier;
use quota::{Charge, Quota};

use crate::setup::{NOON, acme, at, chat, exceeded, left, minute, quota, task};

/// Commands that the server was sent since its statistics were reset, but for asking them.
fn commands(redis: &testkit::Redis) -> u64 {
    let stats = redis.command(&["INFO", "commandstats"]);
    let calls = stats.lines().filter(|line| {
        line.starts_with("cmdstat_") && !line.starts_with("cmdstat_info") && !line.starts_with("cmdstat_config")
    });
    let count = |line: &str| line.split("calls=").nth(1)?.split(',').next()?.parse::<u64>().ok();
    calls.filter_map(count).sum()
}

async fn used_up(redis: &testkit::Redis) -> Quota {
    let quota = quota(redis).await;
    for _ in 0..10 {
        quota.clone().at(at(NOON * 1000)).admit(chat(Tier::Free)).await.expect("within the limit");
    }
    quota.clone().at(at(NOON * 1000)).admit(chat(Tier::Free)).await.expect_err("beyond it");
    redis.command(&["CONFIG", "RESETSTAT"]);
    quota
}

#[tokio::test]
async fn over_a_limit_no_command_is_sent_and_the_answer_is_the_same() {
    let redis = testkit::Redis::start().await;
    let quota = used_up(&redis).await;
    for ms in [0, 1, 30_000, 59_999] {
        let refused = quota.clone().at(at(NOON * 1000 + ms)).admit(chat(Tier::Free)).await.unwrap_err();
        let exceeded = exceeded(&refused);
        assert_eq!((exceeded.window, exceeded.limit), ("minute", 10));
        assert_eq!(exceeded.retry_after.as_millis(), u128::from(60_000 - ms));
        assert_eq!((left(&exceeded.windows, "minute"), left(&exceeded.windows, "day")), (Some(0), Some(90)));
    }
    assert_eq!(commands(&redis), 0);
}

#[tokio::test]
async fn the_next_window_is_asked_about_at_once() {
    let redis = testkit::Redis::start().await;
    let quota = used_up(&redis).await;
    let admitted = quota.at(at(minute(1))).admit(chat(Tier::Free)).await.unwrap();
    assert_eq!(left(&admitted.windows, "minute"), Some(9));
}

#[tokio::test]
async fn what_is_remembered_of_one_is_not_held_against_another() {
    let redis = testkit::Redis::start().await;
    let quota = used_up(&redis).await.at(at(NOON * 1000));
    quota.admit(Charge { tenant: "other".parse().unwrap(), ..chat(Tier::Free) }).await.unwrap();
    // The tenant moved up: its limit is another one.
    quota.admit(chat(Tier::Professional)).await.unwrap();
}

#[tokio::test]
async fn a_tier_without_limits_costs_no_command_a_request() {
    let redis = testkit::Redis::start().await;
    let quota = quota(&redis).await;
    redis.command(&["CONFIG", "RESETSTAT"]);
    for _ in 0..100 {
        quota.admit(task(Tier::Enterprise, 1000)).await.unwrap();
    }
    assert_eq!(commands(&redis), 0);
    quota.flush().await;
    assert!(commands(&redis) > 0);
    quota.flush().await;
    let written = counted(&redis, "usage:acme:*", "agent_requests");
    assert_eq!(written, "100", "what was written is not written again");
}

#[tokio::test]
async fn windows_that_were_seen_a_moment_ago_are_told_again_without_asking() {
    let redis = testkit::Redis::start().await;
    let quota = quota(&redis).await;
    quota.clone().at(at(NOON * 1000)).admit(task(Tier::Free, 0)).await.unwrap();
    redis.command(&["CONFIG", "RESETSTAT"]);
    let soon = quota.clone().at(at(NOON * 1000 + 900)).glance(&acme(), Tier::Free).await.unwrap();
    assert_eq!((left(&soon, "minute"), commands(&redis)), (Some(9), 0));
    assert_eq!(soon[0].reset.as_millis(), 59_100);
    quota.at(at(NOON * 1000 + 1_100)).glance(&acme(), Tier::Free).await.unwrap();
    assert!(commands(&redis) > 0);
}

/// What was counted today, of everybody whose keys begin so.
fn counted(redis: &testkit::Redis, pattern: &str, field: &str) -> String {
    let day = redis.command(&["KEYS", pattern]);
    redis.command(&["HGET", &day, field])
}

#[tokio::test]
async fn a_request_that_was_refused_by_somebody_else_is_no_usage_of_a_tier_without_limits() {
    let redis = testkit::Redis::start().await;
    let quota = quota(&redis).await;
    let mut receipts = Vec::new();
    for _ in 0..4 {
        receipts.push(quota.admit(task(Tier::Enterprise, 1000)).await.unwrap().receipt);
    }
    // Before it is written, and after.
    quota.refund(&receipts[0]).await.unwrap();
    quota.flush().await;
    assert_eq!(counted(&redis, "usage:acme:*", "agent_requests"), "3");
    quota.refund(&receipts[1]).await.unwrap();
    quota.flush().await;
    for field in ["agent_requests", "total_requests"] {
        assert_eq!(counted(&redis, "usage:acme:*", field), "2", "{field}");
    }
    assert_eq!(counted(&redis, "usage:tier:enterprise:*", "total_requests"), "2");
}

#[tokio::test]
async fn what_is_taken_back_the_day_after_does_not_make_less_than_nothing() {
    let redis = testkit::Redis::start().await;
    let quota = quota(&redis).await;
    let today = quota.clone().at(at(NOON * 1000));
    let admitted = today.admit(chat(Tier::Enterprise)).await.unwrap();
    today.flush().await;
    let tomorrow = quota.at(at((NOON + 86_400) * 1000));
    tomorrow.refund(&admitted.receipt).await.unwrap();
    tomorrow.flush().await;
    assert_eq!(tomorrow.usage(&acme(), None).await.unwrap().counts.get("agent_requests"), None);
    assert_eq!(tomorrow.usage(&acme(), Some("2024-02-29")).await.unwrap().counts["agent_requests"], 1);
}

/// The server gets what is written and does not answer; whoever waits for the answer is dropped.
#[tokio::test]
async fn usage_is_counted_once_when_the_one_who_writes_it_is_dropped_in_the_middle() {
    let redis = testkit::Redis::start().await;
    let quota = quota(&redis).await;
    quota.admit(chat(Tier::Enterprise)).await.unwrap();
    quota.flush().await;
    for _ in 0..3 {
        quota.admit(chat(Tier::Enterprise)).await.unwrap();
    }
    redis.command(&["CLIENT", "PAUSE", "60000", "WRITE"]);
    let dropped = tokio::time::timeout(Duration::from_millis(300), quota.flush()).await;
    assert!(dropped.is_err(), "nothing was answered");
    // What comes meanwhile is not mixed with what is under way.
    quota.admit(chat(Tier::Enterprise)).await.unwrap();
    redis.command(&["CLIENT", "UNPAUSE"]);
    let arrived = || async { counted(&redis, "usage:acme:*", "agent_requests") == "4" };
    testkit::eventually(Duration::from_secs(20), arrived).await;
    for _ in 0..2 {
        quota.flush().await;
        assert_eq!(counted(&redis, "usage:acme:*", "agent_requests"), "5");
    }
    assert_eq!(counted(&redis, "usage:tier:enterprise:*", "total_requests"), "5");
}

#[tokio::test]
async fn nothing_is_lost_when_the_one_who_writes_is_dropped_before_it_is_sent() {
    let redis = testkit::Redis::start().await;
    let quota = quota(&redis).await;
    for _ in 0..3 {
        quota.admit(chat(Tier::Enterprise)).await.unwrap();
    }
    // Polled once, as by somebody who has no time at all.
    let mut flush = Box::pin(quota.flush());
    assert!(futures::poll!(&mut flush).is_pending());
    drop(flush);
    quota.flush().await;
    assert_eq!(counted(&redis, "usage:acme:*", "agent_requests"), "3");
}
