//! Sessions, agents, tasks that go on, and tokens.

use std::time::Duration;

use action::{TaskId, Tier};
use quota::{AgentLimits, Charge, Config, Quota, Spent, Tiers};

use crate::setup::{NOON, acme, at, chat, configured, exceeded, left, minute, quota, task, with};

/// Tiers whose free tenants may do what is said here, and anything else.
fn free(set: impl FnOnce(&mut quota::TierLimits)) -> Tiers {
    let mut tiers = Tiers::default();
    let limits = tiers.of_mut(Tier::Free);
    (limits.per_minute, limits.per_day, limits.per_session_hour) = (None, None, None);
    (limits.concurrent_tasks, limits.tokens_per_minute, limits.tokens_per_day) = (None, None, None);
    set(limits);
    tiers
}

fn in_session(session: &str) -> Charge {
    Charge { session: Some(session.parse().expect("a session")), ..chat(Tier::Free) }
}

#[tokio::test]
async fn a_session_has_its_requests_an_hour_and_its_neighbour_has_others() {
    let redis = testkit::Redis::start().await;
    let quota = with(&redis, free(|limits| limits.per_session_hour = Some(3))).await;
    let now = quota.clone().at(at(NOON * 1000));
    for _ in 0..3 {
        now.admit(in_session("one")).await.unwrap();
    }
    let refused = now.admit(in_session("one")).await.unwrap_err();
    assert_eq!((exceeded(&refused).window, exceeded(&refused).retry_after), ("session", Duration::from_hours(1)));
    now.admit(in_session("two")).await.unwrap();
    now.admit(chat(Tier::Free)).await.unwrap();
    quota.at(at(minute(60))).admit(in_session("one")).await.unwrap();
    let count = redis.command(&["GET", &format!("rate_limit:acme:session:one:hour:{}", NOON / 3600)]);
    assert_eq!(count, "3");
}

#[tokio::test]
async fn an_agent_may_have_limits_of_its_own() {
    let redis = testkit::Redis::start().await;
    let quota = with(&redis, free(|_| ())).await.at(at(NOON * 1000));
    let limits = AgentLimits { per_minute: Some(2), per_hour: Some(5), per_day: None };
    let to = |agent: &str| Charge { agent: Some((agent.parse().unwrap(), limits)), ..chat(Tier::Free) };
    quota.admit(to("sales")).await.unwrap();
    let admitted = quota.admit(to("sales")).await.unwrap();
    assert_eq!((left(&admitted.windows, "agent-minute"), left(&admitted.windows, "agent-hour")), (Some(0), Some(3)));
    assert_eq!(exceeded(&quota.admit(to("sales")).await.unwrap_err()).window, "agent-minute");
    quota.admit(to("support")).await.unwrap();
}

#[tokio::test]
async fn a_request_refused_by_one_limit_is_charged_to_none() {
    let redis = testkit::Redis::start().await;
    let quota = with(
        &redis,
        free(|limits| {
            (limits.per_minute, limits.per_session_hour) = (Some(100), Some(1));
            (limits.concurrent_tasks, limits.tokens_per_day) = (Some(50), Some(10_000));
        }),
    )
    .await
    .at(at(NOON * 1000));
    let ask = || Charge { task: Some(TaskId::new()), tokens: 100, ..in_session("one") };
    quota.admit(ask()).await.unwrap();
    for _ in 0..3 {
        quota.admit(ask()).await.unwrap_err();
    }
    let windows = quota.status(&acme(), Tier::Free).await.unwrap();
    assert_eq!(left(&windows, "minute"), Some(99));
    assert_eq!(left(&windows, "tokens-day"), Some(9_900));
    assert_eq!(left(&windows, "tasks"), Some(49));
    assert_eq!(redis.command(&["HLEN", "rate_limit:acme:reserved"]), "1");
}

#[tokio::test]
async fn as_many_tasks_go_on_as_the_tier_allows_and_one_that_ends_makes_room() {
    let redis = testkit::Redis::start().await;
    let quota = with(&redis, free(|limits| limits.concurrent_tasks = Some(2))).await;
    let first = task(Tier::Free, 0);
    quota.admit(first.clone()).await.unwrap();
    quota.admit(task(Tier::Free, 0)).await.unwrap();
    let refused = quota.admit(task(Tier::Free, 0)).await.unwrap_err();
    assert_eq!((exceeded(&refused).window, exceeded(&refused).limit), ("tasks", 2));
    assert_eq!(exceeded(&refused).retry_after, Duration::from_secs(1));
    // A request that becomes no task is not counted among them.
    quota.admit(chat(Tier::Free)).await.unwrap();
    assert!(quota.settle(&acme(), Tier::Free, first.task.unwrap(), 0.into()).await.unwrap());
    quota.admit(task(Tier::Free, 0)).await.unwrap();
    quota.admit(task(Tier::Free, 0)).await.unwrap_err();
}

#[tokio::test]
async fn a_task_that_is_never_settled_makes_room_when_its_time_is_over() {
    let redis = testkit::Redis::start().await;
    let config = Config { lease: Duration::from_mins(10), ..Config::default() };
    let quota = configured(&redis, free(|limits| limits.concurrent_tasks = Some(1)), config).await;
    quota.clone().at(at(minute(0))).admit(task(Tier::Free, 0)).await.unwrap();
    quota.clone().at(at(minute(10) - 1)).admit(task(Tier::Free, 0)).await.unwrap_err();
    quota.at(at(minute(10))).admit(task(Tier::Free, 0)).await.unwrap();
    assert_eq!(redis.command(&["HLEN", "rate_limit:acme:reserved"]), "1", "the lost one is forgotten");
}

#[tokio::test]
async fn a_lost_task_that_is_submitted_again_is_charged_nothing_more() {
    let redis = testkit::Redis::start().await;
    let config = Config { lease: Duration::from_mins(10), ..Config::default() };
    let quota = configured(&redis, free(|limits| limits.concurrent_tasks = Some(1)), config).await;
    let lost = task(Tier::Free, 0);
    quota.clone().at(at(minute(0))).admit(lost.clone()).await.unwrap();
    quota.at(at(minute(10))).admit(lost).await.unwrap();
    assert_eq!(redis.command(&["HGET", "usage:acme:2024-02-29", "total_requests"]), "1");
}

#[tokio::test]
async fn a_lost_task_that_ends_after_all_is_charged_what_was_reserved_and_nothing_more() {
    let redis = testkit::Redis::start().await;
    let config = Config { lease: Duration::from_mins(10), ..Config::default() };
    let tiers = free(|limits| (limits.concurrent_tasks, limits.tokens_per_day) = (Some(1), Some(1000)));
    let quota = configured(&redis, tiers, config).await;
    let lost = task(Tier::Free, 100);
    quota.clone().at(at(minute(0))).admit(lost.clone()).await.unwrap();
    let later = quota.at(at(minute(10)));
    later.admit(task(Tier::Free, 10)).await.expect("the lost one makes room");
    assert!(!later.settle(&acme(), Tier::Free, lost.task.unwrap(), 70.into()).await.unwrap());
    assert_eq!(tokens(&later).await, Some(890));
}

#[tokio::test]
async fn what_may_be_a_repetition_is_admitted_again_also_where_a_refusal_is_remembered() {
    let redis = testkit::Redis::start().await;
    let tiers = free(|limits| (limits.per_minute, limits.concurrent_tasks) = (Some(1), Some(5)));
    let quota = with(&redis, tiers).await.at(at(NOON * 1000));
    let first = task(Tier::Free, 0);
    quota.admit(first.clone()).await.unwrap();
    for _ in 0..2 {
        quota.admit(task(Tier::Free, 0)).await.unwrap_err();
    }
    let again = Charge { repeats: true, ..first };
    quota.admit(again).await.expect("it was admitted before");
    let other = Charge { repeats: true, ..task(Tier::Free, 0) };
    quota.admit(other).await.expect_err("this one was not");
}

/// What is left of the tokens of a day.
async fn tokens(quota: &Quota) -> Option<u64> {
    left(&quota.status(&acme(), Tier::Free).await.expect("Redis answers"), "tokens-day")
}

#[tokio::test]
async fn reserved_tokens_are_replaced_by_those_that_a_task_took_once() {
    let redis = testkit::Redis::start().await;
    let quota = with(&redis, free(|limits| limits.tokens_per_day = Some(1000))).await.at(at(NOON * 1000));
    let (cheap, dear) = (task(Tier::Free, 300), task(Tier::Free, 300));
    quota.admit(cheap.clone()).await.unwrap();
    quota.admit(dear.clone()).await.unwrap();
    assert_eq!(tokens(&quota).await, Some(400));
    let refused = quota.admit(task(Tier::Free, 500)).await.unwrap_err();
    assert_eq!(exceeded(&refused).window, "tokens-day", "refused before the cost is spent");
    for first in [true, false, false] {
        assert_eq!(quota.settle(&acme(), Tier::Free, cheap.task.unwrap(), 50.into()).await.unwrap(), first);
        assert_eq!(tokens(&quota).await, Some(650));
    }
    quota.settle(&acme(), Tier::Free, dear.task.unwrap(), 700.into()).await.unwrap();
    assert_eq!(tokens(&quota).await, Some(250), "a task may take more than was thought");
    assert_eq!(redis.command(&["HGET", "usage:acme:2024-02-29", "total_tokens"]), "750");
}

#[tokio::test]
async fn a_task_is_charged_to_the_day_in_which_it_was_admitted() {
    let redis = testkit::Redis::start().await;
    let quota = with(&redis, free(|limits| limits.tokens_per_day = Some(1000))).await;
    let late = task(Tier::Free, 100);
    quota.clone().at(at(minute(12 * 60) - 1)).admit(late.clone()).await.unwrap();
    let tomorrow = quota.clone().at(at(minute(12 * 60) + 5_000));
    tomorrow.settle(&acme(), Tier::Free, late.task.unwrap(), 400.into()).await.unwrap();
    assert_eq!(tokens(&tomorrow).await, Some(1000));
    assert_eq!(redis.command(&["GET", "rate_limit:acme:tokens:day:2024-02-29"]), "400");
}

#[tokio::test]
async fn a_task_larger_than_the_whole_budget_is_let_in_when_nothing_of_it_is_used() {
    let redis = testkit::Redis::start().await;
    let quota = with(&redis, free(|limits| limits.tokens_per_day = Some(1000))).await.at(at(NOON * 1000));
    let large = task(Tier::Free, 8_000);
    quota.admit(large.clone()).await.unwrap();
    quota.admit(task(Tier::Free, 1)).await.unwrap_err();
    // All of the budget was charged, of which it took a part.
    quota.settle(&acme(), Tier::Free, large.task.unwrap(), 200.into()).await.unwrap();
    assert_eq!(tokens(&quota).await, Some(800));
}

#[tokio::test]
async fn what_a_task_of_a_tier_without_limits_took_is_counted_once_all_the_same() {
    let redis = testkit::Redis::start().await;
    let quota = quota(&redis).await.at(at(NOON * 1000));
    let task = task(Tier::Enterprise, 5000);
    quota.admit(task.clone()).await.unwrap();
    for first in [true, false] {
        assert_eq!(quota.settle(&acme(), Tier::Enterprise, task.task.unwrap(), 42.into()).await.unwrap(), first);
    }
    assert_eq!(redis.command(&["HGET", "usage:acme:2024-02-29", "total_tokens"]), "42");
}

#[tokio::test]
async fn a_charge_that_is_taken_back_was_never_there() {
    let redis = testkit::Redis::start().await;
    let quota = with(
        &redis,
        free(|limits| {
            (limits.per_minute, limits.per_session_hour) = (Some(1), Some(5));
            (limits.concurrent_tasks, limits.tokens_per_day) = (Some(1), Some(100));
        }),
    )
    .await
    .at(at(NOON * 1000));
    let ask = || Charge { task: Some(TaskId::new()), tokens: 100, ..in_session("one") };
    let admitted = quota.admit(ask()).await.unwrap();
    quota.admit(ask()).await.unwrap_err();
    quota.refund(&admitted.receipt).await.unwrap();
    assert_eq!(redis.command(&["HGET", "usage:acme:2024-02-29", "total_requests"]), "0");
    assert_eq!(redis.command(&["HGET", "usage:tier:free:2024-02-29", "total_requests"]), "0");
    let again = quota.admit(ask()).await.expect("there is room again, and the refusal is forgotten");
    assert_eq!(left(&again.windows, "session"), Some(4));
}

#[tokio::test]
async fn a_task_that_is_submitted_again_is_charged_once_whether_it_goes_on_or_has_ended() {
    let redis = testkit::Redis::start().await;
    let tiers = free(|limits| {
        (limits.per_minute, limits.tokens_per_day, limits.concurrent_tasks) = (Some(5), Some(1000), Some(1));
    });
    let quota = with(&redis, tiers).await.at(at(NOON * 1000));
    let once = task(Tier::Free, 100);
    quota.admit(once.clone()).await.unwrap();
    let again = quota.admit(once.clone()).await.expect("it is the same task");
    assert_eq!((left(&again.windows, "minute"), left(&again.windows, "tokens-day")), (Some(4), Some(900)));
    quota.refund(&again.receipt).await.unwrap();
    assert_eq!(tokens(&quota).await, Some(900), "the first charge is not taken back by the second");
    quota.settle(&acme(), Tier::Free, once.task.unwrap(), 30.into()).await.unwrap();
    quota.admit(once.clone()).await.expect("it has ended, and is the same task still");
    let windows = quota.status(&acme(), Tier::Free).await.unwrap();
    assert_eq!((left(&windows, "tasks"), left(&windows, "tokens-day")), (Some(1), Some(970)));
    quota.admit(task(Tier::Free, 10)).await.unwrap();
}

#[tokio::test]
async fn what_broke_off_is_charged_the_estimate_at_least() {
    let redis = testkit::Redis::start().await;
    let quota = with(&redis, free(|limits| limits.tokens_per_day = Some(1000))).await.at(at(NOON * 1000));
    for (tokens, left) in [(0, 900), (300, 600)] {
        let task = task(Tier::Free, 100);
        quota.admit(task.clone()).await.unwrap();
        let spent = Spent { tokens, broke_off: true };
        quota.settle(&acme(), Tier::Free, task.task.unwrap(), spent).await.unwrap();
        assert_eq!(self::tokens(&quota).await, Some(left));
    }
}
