//! Visits of people who have proved nothing.

use std::net::IpAddr;
use std::time::Duration;

use action::{TenantId, Tier};
use quota::{Config, Quota, Tiers};

use crate::setup::{NOON, acme, at, chat, configured, exceeded, minute, quota};

const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

async fn admitted(quota: &Quota, tenant: &TenantId, address: IpAddr, times: u32) -> u32 {
    let mut admitted = 0;
    for _ in 0..times {
        admitted += u32::from(quota.visit(tenant, address, 10).await.is_ok());
    }
    admitted
}

#[tokio::test]
async fn visits_of_an_address_are_counted_over_all_processes_for_each_tenant_and_minute() {
    let redis = testkit::Redis::start().await;
    let one = quota(&redis).await.at(at(NOON * 1000));
    let other = quota(&redis).await.at(at(NOON * 1000));
    assert_eq!(admitted(&one, &acme(), ONE, 7).await + admitted(&other, &acme(), ONE, 7).await, 10);
    assert_eq!(admitted(&one, &acme(), ONE, 5).await, 0);
    let refused = one.visit(&acme(), ONE, 10).await.unwrap_err();
    assert_eq!((exceeded(&refused).window, exceeded(&refused).limit), ("visits", 10));
    assert_eq!(exceeded(&refused).retry_after, Duration::from_mins(1));
    assert_eq!(admitted(&one, &"other".parse().unwrap(), ONE, 5).await, 5, "another tenant's are counted apart");
    assert_eq!(admitted(&one, &acme(), "192.0.2.2".parse().unwrap(), 5).await, 5, "so is another address");
    assert_eq!(admitted(&one.at(at(minute(1))), &acme(), ONE, 5).await, 5);
}

#[tokio::test]
async fn an_ipv6_network_is_one_visitor_and_what_is_counted_ends() {
    let redis = testkit::Redis::start().await;
    let quota = quota(&redis).await;
    assert_eq!(admitted(&quota, &acme(), "2001:db8::1".parse().unwrap(), 1).await, 1);
    assert_eq!(admitted(&quota, &acme(), "2001:db8::ffff:2".parse().unwrap(), 1).await, 1);
    let keys = redis.command(&["KEYS", "*"]);
    let key = keys.lines().next().unwrap();
    assert!(
        key.starts_with("rate_limit:acme:visits:2001:db8:::minute:"),
        "one key, and no usage of the tenant's: {keys}"
    );
    assert_eq!(keys.lines().count(), 1, "{keys}");
    let left: i64 = redis.command(&["TTL", key]).parse().unwrap();
    assert!((1..=60).contains(&left), "{left}");
}

#[tokio::test]
async fn visits_take_nothing_of_what_the_tenant_may() {
    let redis = testkit::Redis::start().await;
    let quota = quota(&redis).await;
    assert_eq!(admitted(&quota, &acme(), ONE, 11).await, 10);
    let admitted = quota.admit(chat(Tier::Free)).await.unwrap();
    assert_eq!(crate::setup::left(&admitted.windows, "minute"), Some(9));
}

#[tokio::test]
async fn while_redis_is_away_a_process_admits_its_share_of_visits() {
    let mut redis = testkit::Redis::start().await;
    let config = Config { timeout: Duration::from_millis(200), pause: Duration::from_millis(300), ..Config::default() };
    // Standing still, so that no minute begins anew on the way.
    let quota = configured(&redis, Tiers::default(), config).await.at(at(NOON * 1000));
    redis.kill();
    assert_eq!(admitted(&quota, &acme(), ONE, 20).await, 5, "half of ten");
    assert_eq!(admitted(&quota, &acme(), "192.0.2.2".parse().unwrap(), 1).await, 1);
}
