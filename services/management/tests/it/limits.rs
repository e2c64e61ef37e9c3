//! How the limits of tenants stand.

use fault::Failure;
use proto::action::v1::Tier;
use proto::management::v1 as wire;
use proto::management::v1::management_service_server::ManagementService as _;
use quota::{Charge, UsageKind};
use service_kit::{Caller, Scope, Scopes};

use crate::{Fixture, because, by, open_counting, operator, read, refusal};

async fn limits(fixture: &Fixture, caller: &Caller, named: &str) -> Result<wire::GetTenantLimitsResponse, Failure> {
    let request = wire::GetTenantLimitsRequest { tenant_id: named.to_owned() };
    read(fixture.grpc.get_tenant_limits(by(caller, request)).await)
}

/// What is allowed, used and left of each limit.
fn numbers(answer: &wire::GetTenantLimitsResponse) -> Vec<(&str, u64, u64, u64)> {
    let numbers = |limit: &'_ wire::TenantLimit| (limit.limit, limit.used, limit.remaining);
    let of = |limit| (limit, numbers(limit));
    answer.limits.iter().map(of).map(|(limit, (most, used, left))| (limit.name.as_str(), most, used, left)).collect()
}

#[tokio::test]
async fn limits_are_told_to_the_tenant_and_to_an_operator_and_looking_costs_nothing() {
    let redis = testkit::Redis::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (grpc, quota) = open_counting(folder.path(), &redis.url()).await;
    let fixture = Fixture { folder, grpc };
    let acme = fixture.tenant("acme", Tier::Free).await;
    let id: action::TenantId = "acme".parse().unwrap();
    for _ in 0..3 {
        let task = Some(action::TaskId::new());
        let charge = Charge::new(id.clone(), action::Tier::Free, UsageKind::Agent);
        quota.admit(Charge { task, tokens: 50, ..charge }).await.unwrap();
    }
    let own = limits(&fixture, &acme, "").await.unwrap();
    let tenant = own.tenant.clone().unwrap();
    assert_eq!((tenant.tenant_id.as_str(), tenant.tier()), ("acme", Tier::Free));
    let told = numbers(&own);
    assert!(told.contains(&("day", 100, 3, 97)), "{told:?}");
    let tasks = own.limits.iter().find(|limit| limit.name == "tasks").unwrap();
    assert_eq!((tasks.used, &tasks.resets_in), (3, &None), "{told:?}");
    let day = own.limits.iter().find(|limit| limit.name == "day").unwrap();
    let resets_in = day.resets_in.unwrap().seconds;
    assert!((0..=86_400).contains(&resets_in), "{resets_in}");
    for caller in [&acme, &operator()] {
        let again = limits(&fixture, caller, "acme").await.unwrap();
        assert!(numbers(&again).contains(&("day", 100, 3, 97)), "looking is no request: {again:?}");
    }
}

#[tokio::test]
async fn a_tier_without_limits_has_none_to_show() {
    let fixture = Fixture::new().await;
    let acme = fixture.tenant("acme", Tier::Enterprise).await;
    let own = limits(&fixture, &acme, "").await.unwrap();
    assert_eq!((own.tenant.unwrap().tier(), own.limits), (Tier::Enterprise, Vec::new()));
}

#[tokio::test]
async fn nobody_sees_the_limits_of_another_tenant() {
    let fixture = Fixture::new().await;
    fixture.tenant("acme", Tier::Enterprise).await;
    let other = fixture.tenant("other", Tier::Enterprise).await;
    for named in ["acme", "nobody"] {
        let refused = limits(&fixture, &other, named).await;
        assert_eq!(refusal(refused), because("TENANT_MISMATCH", "tenant_id"));
    }
    let worker = Caller { tenant: None, scopes: Scopes::from([Scope::Worker(action::Domain::Query)]), ..other };
    assert_eq!(refusal(limits(&fixture, &worker, "acme").await).0, "SCOPE_REQUIRED");
    // An operator is no tenant itself, and names one that there is.
    assert_eq!(refusal(limits(&fixture, &operator(), "").await).0, "SCOPE_REQUIRED");
    assert_eq!(refusal(limits(&fixture, &operator(), "nobody").await), because("NOT_FOUND", "tenant_id"));
}

#[tokio::test]
async fn limits_that_cannot_be_read_are_not_made_up() {
    let fixture = Fixture::new().await;
    let acme = fixture.tenant("acme", Tier::Free).await;
    assert_eq!(refusal(limits(&fixture, &acme, "").await).0, "BROKER_UNAVAILABLE");
}
