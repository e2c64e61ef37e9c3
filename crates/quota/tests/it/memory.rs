//! What a process decides without asking.

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
    let day = redis.command(&["KEYS", "usage:acme:*"]);
    assert_eq!(redis.command(&["HGET", &day, "agent_requests"]), "100", "what was written is not written again");
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
