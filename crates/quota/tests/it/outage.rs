//! Redis is away, or says nothing.

use std::time::{Duration, Instant};

use action::Tier;
use fault::Fault as _;
use quota::{Config, Degraded, Quota, Tiers};

use crate::setup::{acme, chat, configured, exceeded, quota};

/// A limiter with quick timeouts, and policies of all kinds.
async fn limiter(redis: &testkit::Redis) -> Quota {
    let mut tiers = Tiers::default();
    tiers.of_mut(Tier::Advance).degraded = Degraded::Deny;
    tiers.of_mut(Tier::Professional).degraded = Degraded::Allow;
    let config = Config { timeout: Duration::from_millis(200), pause: Duration::from_millis(300), ..Config::default() };
    configured(redis, tiers, config).await
}

#[tokio::test]
async fn while_redis_is_away_a_process_admits_its_share_and_no_more() {
    let mut redis = testkit::Redis::start().await;
    let quota = limiter(&redis).await;
    redis.kill();
    let mut admitted = 0;
    for _ in 0..50 {
        match quota.admit(chat(Tier::Free)).await {
            Ok(_) => admitted += 1,
            Err(error) => assert!(exceeded(&error).retry_after <= Duration::from_mins(1)),
        }
    }
    // Half of ten; a minute may have begun anew meanwhile.
    assert!([5, 10].contains(&admitted), "{admitted}");
    let refused = quota.admit(chat(Tier::Advance)).await.unwrap_err();
    assert_eq!(refused.failure().reason().id, "BROKER_UNAVAILABLE");
    assert!(refused.failure().retry_delay().is_some());
    for _ in 0..300 {
        quota.admit(chat(Tier::Professional)).await.unwrap();
        quota.admit(chat(Tier::Enterprise)).await.unwrap();
    }
}

#[tokio::test]
async fn of_many_only_the_first_waits_for_a_redis_that_says_nothing() {
    let redis = testkit::Redis::start().await;
    let quota = limiter(&redis).await;
    quota.admit(chat(Tier::Professional)).await.unwrap();
    redis.command(&["CLIENT", "PAUSE", "2000", "ALL"]);
    let begun = Instant::now();
    quota.admit(chat(Tier::Professional)).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(200));
    for _ in 0..1000 {
        quota.admit(chat(Tier::Professional)).await.unwrap();
    }
    // One in each pause asks again; a thousand times the timeout would be more than three minutes.
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_crowd_waits_no_longer_than_twice_for_a_redis_that_says_nothing() {
    let redis = testkit::Redis::start().await;
    let quota = limiter(&redis).await;
    quota.admit(chat(Tier::Professional)).await.unwrap();
    redis.command(&["CLIENT", "PAUSE", "3000", "ALL"]);
    let begun = Instant::now();
    let crowd = (0..200).map(|_| quota.admit(chat(Tier::Professional)));
    let answers = futures::future::join_all(crowd).await;
    assert!(answers.iter().all(Result::is_ok), "the tier's policy lets them in");
    assert!(begun.elapsed() < Duration::from_millis(2500), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn when_redis_is_back_it_decides_again() {
    let mut redis = testkit::Redis::start().await;
    let quota = limiter(&redis).await;
    redis.kill();
    quota.admit(chat(Tier::Free)).await.unwrap();
    redis.restart().await;
    testkit::eventually(Duration::from_secs(20), || async { quota.status(&acme(), Tier::Free).await.is_ok() }).await;
    let admitted = quota.admit(chat(Tier::Free)).await.unwrap();
    assert!(admitted.windows.iter().any(|window| window.limit == 10), "the whole limit, by Redis: {admitted:?}");
}

#[tokio::test]
async fn usage_that_cannot_be_written_is_written_later() {
    let mut redis = testkit::Redis::start().await;
    let quota = quota(&redis).await;
    quota.admit(chat(Tier::Enterprise)).await.unwrap();
    redis.kill();
    quota.flush().await;
    redis.restart().await;
    testkit::eventually(Duration::from_secs(20), || async {
        quota.flush().await;
        !redis.command(&["KEYS", "usage:acme:*"]).is_empty()
    })
    .await;
    let day = redis.command(&["KEYS", "usage:acme:*"]);
    assert_eq!(redis.command(&["HGET", &day, "agent_requests"]), "1");
}
