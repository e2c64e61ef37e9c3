use std::sync::atomic::Ordering;
use std::time::Duration;

use action::Tier;
use futures::future::join_all;
use quota::UsageKind;
use service_kit::{Caller, Identity, Scope, Scopes, Tenant};
use testkit::eventually;

use crate::mesh::{Mesh, ms};

fn tenant(tier: Tier) -> Identity {
    Identity::tenant("acme-1".parse().unwrap(), tier)
}

#[tokio::test]
async fn an_agent_is_there_for_its_tenant_at_a_sufficient_tier() {
    let mesh = Mesh::start().await;
    let (one, two) = ("agent-1".parse().unwrap(), "agent-2".parse().unwrap());
    let admission = &mesh.kit.admission;
    assert_eq!(admission.access_agent(tenant(Tier::Free), &one).await.unwrap().agent_id, "agent-1");
    admission.access_agent(tenant(Tier::Enterprise), &two).await.unwrap();
    let refused = admission.access_agent(tenant(Tier::Free), &two).await.unwrap_err();
    assert_eq!((refused.reason().id, refused.field_name()), ("ACCESS_DENIED", Some("agent_id")));
    let refused = admission.access_agent(tenant(Tier::Free), &"agent-3".parse().unwrap()).await.unwrap_err();
    assert_eq!(refused.reason().id, "ACCESS_DENIED");
    let nobody = admission.access_agent(Identity::service(), &one).await.unwrap_err();
    assert_eq!(nobody.reason().id, "ACCESS_DENIED");
}

#[tokio::test]
async fn questions_about_the_same_agent_at_once_are_one_and_a_deactivation_bites_soon() {
    let mesh = Mesh::start().await;
    *mesh.management.pause.lock().unwrap() = ms(20);
    let agent = "agent-1".parse().unwrap();
    let all = join_all((0..20).map(|_| mesh.kit.admission.access_agent(tenant(Tier::Free), &agent))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(mesh.management.asked.load(Ordering::Relaxed), 1);
    mesh.management.inactive.store(true, Ordering::Relaxed);
    eventually(Duration::from_secs(5), || async {
        let access = mesh.kit.admission.access_agent(tenant(Tier::Free), &agent).await;
        access.is_err_and(|refused| refused.detail() == "the agent is not active")
    })
    .await;
}

#[tokio::test]
async fn a_granted_access_outlives_management_for_its_time_to_live_and_no_longer() {
    let mesh = Mesh::start().await;
    let agent = "agent-1".parse().unwrap();
    let access = || mesh.kit.admission.access_agent(tenant(Tier::Free), &agent);
    access().await.unwrap();
    mesh.management.away.store(true, Ordering::Relaxed);
    let answers_until = std::time::Instant::now() + ms(1500);
    while std::time::Instant::now() < answers_until {
        access().await.unwrap();
        tokio::time::sleep(ms(20)).await;
    }
    eventually(Duration::from_secs(10), || async {
        access().await.is_err_and(|refused| refused.reason().id == "UNAVAILABLE")
    })
    .await;
}

#[tokio::test]
async fn limits_are_charged_once_and_only_a_service_says_that_they_were() {
    let mesh = Mesh::adjusted(service_kit::HostConfig::anywhere(), |config| {
        config.tiers.of_mut(Tier::Free).per_minute = Some(1);
    })
    .await;
    let tenant = Tenant { id: "acme-1".parse().unwrap(), tier: Tier::Free, active: true };
    let scopes = Scopes::from([Scope::Tenant]);
    let outsider = Caller { tenant: Some(tenant), scopes, admitted: true, ..Caller::default() };
    let service = Caller { service: Some("gateway".to_owned()), ..outsider.clone() };
    let admission = &mesh.kit.admission;
    assert_eq!(admission.admit(&service, UsageKind::Agent).await.unwrap(), None);
    let admitted = admission.admit(&outsider, UsageKind::Agent).await.unwrap().unwrap();
    assert_eq!(admitted.windows.iter().find(|window| window.name == "minute").unwrap().remaining, 0);
    let refused = admission.admit(&outsider, UsageKind::Agent).await.unwrap_err();
    assert_eq!(refused.failure.reason().id, "RATE_LIMIT_EXCEEDED");
    assert_eq!(admission.admit(&service, UsageKind::Agent).await.unwrap(), None);
}
