use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use action::Tier;
use futures::future::join_all;
use proto::management::v1::GetTenantRequest;
use service_kit::identity::{Grant, mint};
use service_kit::{Secret, Tenant};
use testkit::eventually;
use tonic::Code;

use crate::mesh::{Mesh, ms, reason, request, tokens};

fn grant(tenant: &str) -> Grant {
    Grant { tenant: tenant.parse().unwrap(), user: None, agents: None, tier: None, ttl: Duration::from_mins(5) }
}

fn token(grant: &Grant) -> String {
    mint(&tokens(), grant).unwrap().expose().to_owned()
}

#[tokio::test]
async fn an_outsider_with_a_token_is_who_the_token_says_at_the_tier_of_the_record() {
    let mesh = Mesh::start().await;
    let agents: BTreeSet<_> = ["agent-1".parse().unwrap()].into();
    let full = Grant { user: Some("user-7".parse().unwrap()), agents: Some(agents.clone()), ..grant("acme-1") };
    for name in ["authorization", "x-api-key"] {
        let value = if name == "authorization" { format!("Bearer {}", token(&full)) } else { token(&full) };
        mesh.outsider().get_tenant(request(GetTenantRequest::default(), &[(name, &value)])).await.unwrap();
        let caller = mesh.management.caller.lock().unwrap().clone().unwrap();
        let expected = Tenant { id: "acme-1".parse().unwrap(), tier: Tier::Advance, active: true };
        assert_eq!((caller.tenant.as_ref(), caller.is_outside()), (Some(&expected), true));
        assert_eq!((caller.user.as_ref().unwrap().as_str(), caller.agents.as_ref()), ("user-7", Some(&agents)));
        let left = caller.expires_at.unwrap().duration_since(SystemTime::now()).unwrap();
        assert!((Duration::from_secs(200)..=Duration::from_mins(5)).contains(&left), "{left:?}");
    }
}

#[tokio::test]
async fn what_a_token_limits_is_kept_by_every_service_behind() {
    let mesh = Mesh::start().await;
    let agents = Some(["agent-2".parse().unwrap()].into());
    let caller = mesh.kit.resolver.resolve(&token(&Grant { agents, ..grant("acme-1") })).await.unwrap();
    mesh.kit.peers.management(&caller).get_tenant(GetTenantRequest::default()).await.unwrap();
    let seen = mesh.management.caller.lock().unwrap().clone().unwrap();
    assert_eq!(seen.service.as_deref(), Some("test"));
    for caller in [&caller, &seen] {
        let refused = mesh.kit.admission.access_agent(caller, &"agent-1".parse().unwrap()).await.unwrap_err();
        assert_eq!((refused.reason().id, refused.field_name()), ("ACCESS_DENIED", Some("agent_id")));
    }
    let unlimited = mesh.kit.resolver.resolve(&token(&grant("acme-1"))).await.unwrap();
    mesh.kit.admission.access_agent(&unlimited, &"agent-1".parse().unwrap()).await.unwrap();
}

#[tokio::test]
async fn the_record_of_the_tenant_decides_and_not_the_token() {
    let mesh = Mesh::start().await;
    let resolve = async |grant: Grant| mesh.kit.resolver.resolve(&token(&grant)).await;
    resolve(Grant { tier: Some(Tier::Advance), ..grant("acme-1") }).await.unwrap();
    let raised = resolve(Grant { tier: Some(Tier::Enterprise), ..grant("acme-1") }).await.unwrap_err();
    assert_eq!((raised.reason().id, raised.field_name()), ("TIER_MISMATCH", Some("tier")));
    let asleep = resolve(grant("asleep-1")).await.unwrap();
    assert_eq!(asleep.tenant().unwrap_err().reason().id, "TENANT_INACTIVE");
    assert_eq!(resolve(grant("gone-1")).await.unwrap_err().reason().id, "CREDENTIAL_INVALID");
}

#[tokio::test]
async fn tokens_of_a_tenant_at_once_cause_one_question_and_none_is_believed_without_an_answer() {
    let mesh = Mesh::start().await;
    let asked = || mesh.management.tenants.load(Ordering::Relaxed);
    *mesh.management.pause.lock().unwrap() = ms(50);
    let tokens: Vec<String> = (0..50).map(|_| token(&grant("acme-1"))).collect();
    let all = join_all(tokens.iter().map(|token| mesh.kit.resolver.resolve(token))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(asked(), 1);
    let gone = token(&grant("gone-1"));
    let all = join_all((0..50).map(|_| mesh.kit.resolver.resolve(&gone))).await;
    assert!(all.iter().all(Result::is_err));
    assert_eq!(asked(), 2);
    mesh.management.away.store(true, Ordering::Relaxed);
    let away = async || mesh.kit.resolver.resolve(&tokens[0]).await.is_err_and(|refused| refused.is_transient());
    eventually(Duration::from_secs(5), away).await;
    mesh.management.away.store(false, Ordering::Relaxed);
    mesh.kit.resolver.resolve(&tokens[0]).await.unwrap();
}

#[tokio::test]
async fn a_credential_is_refused_from_its_end_on_although_its_answer_is_remembered() {
    let mesh = Mesh::adjusted(service_kit::HostConfig::anywhere(), |config| {
        config.resolver.positive = Duration::from_mins(1);
    })
    .await;
    let short = token(&Grant { ttl: Duration::from_secs(2), ..grant("acme-1") });
    for credential in [short.as_str(), "nbl_short_key"] {
        *mesh.management.key_ends.lock().unwrap() = Some(SystemTime::now() + ms(1500));
        let bearer = format!("Bearer {credential}");
        let call = async || {
            let asking = request(GetTenantRequest::default(), &[("authorization", &bearer)]);
            mesh.outsider().get_tenant(asking).await
        };
        call().await.unwrap();
        let expired = async || {
            let refused = call().await;
            refused.is_err_and(|refused| {
                (refused.code(), reason(&refused)) == (Code::Unauthenticated, "CREDENTIAL_EXPIRED")
            })
        };
        eventually(Duration::from_secs(5), expired).await;
    }
    assert_eq!(mesh.management.resolved.load(Ordering::Relaxed), 1, "its end was known from the first answer");
}

#[tokio::test]
async fn a_mesh_without_a_key_for_tokens_says_so_and_asks_nobody() {
    let mesh = Mesh::adjusted(service_kit::HostConfig::anywhere(), |config| {
        config.jwt = service_kit::identity::JwtConfig::default();
    })
    .await;
    let refused = mesh.kit.resolver.resolve(&token(&grant("acme-1"))).await.unwrap_err();
    assert_eq!(refused.reason().id, "CREDENTIAL_INVALID");
    assert!(refused.detail().contains("JWT_SECRET"), "{refused}");
    let foreign = service_kit::identity::JwtConfig {
        secret: Some(Secret::new("another secret, as long as the right one")),
        ..tokens()
    };
    let mesh = Mesh::start().await;
    let foreign = mint(&foreign, &grant("acme-1")).unwrap();
    assert_eq!(mesh.kit.resolver.resolve(foreign.expose()).await.unwrap_err().reason().id, "CREDENTIAL_INVALID");
    let asked = mesh.management.tenants.load(Ordering::Relaxed) + mesh.management.resolved.load(Ordering::Relaxed);
    assert_eq!(asked, 0, "a token that does not fit costs nobody a call");
}
