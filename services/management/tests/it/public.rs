//! Public addresses, and limits of agents.

use fault::Failure;
use proto::action::v1::Tier;
use proto::management::v1 as wire;
use proto::management::v1::management_service_server::ManagementService as _;

use crate::{Fixture, agent, because, by, caller, inside, operator, read, refusal};

type Found = Result<(String, String), Failure>;

async fn resolve(fixture: &Fixture, tenant_slug: &str, slug: &str) -> Found {
    let request = wire::ResolvePublicAgentRequest { tenant_slug: tenant_slug.into(), slug: slug.into() };
    read(fixture.grpc.resolve_public_agent(by(&inside(), request)).await).map(|response| {
        let (tenant, agent) = (response.tenant.expect("a tenant"), response.agent.expect("an agent"));
        (tenant.tenant_id, agent.agent_id)
    })
}

fn public(id: &str, slug: &str) -> wire::Agent {
    wire::Agent { slug: slug.into(), is_public: true, ..agent(id, id) }
}

#[tokio::test]
async fn an_address_names_a_public_agent_with_and_without_the_word_agent() {
    let fixture = Fixture::new().await;
    let acme = fixture.tenant("Acme_Shop", Tier::Enterprise).await;
    fixture.create(&acme, public("sales", "ventas")).await.unwrap();
    fixture.create(&acme, public("both", "agent-ventas")).await.unwrap();
    let found = |id: &str| ("Acme_Shop".to_owned(), id.to_owned());
    assert_eq!(resolve(&fixture, "Acme_Shop", "ventas").await.unwrap(), found("sales"));
    assert_eq!(resolve(&fixture, "Acme_Shop", "agente-ventas").await.unwrap(), found("sales"));
    assert_eq!(resolve(&fixture, "Acme_Shop", "agent-ventas").await.unwrap(), found("both"));
    assert_eq!(resolve(&fixture, "acme-shop", "ventas").await.unwrap(), found("sales"), "as in a host name");
}

#[tokio::test]
async fn what_is_not_public_looks_like_what_is_not_there() {
    let fixture = Fixture::new().await;
    let acme = fixture.tenant("acme", Tier::Enterprise).await;
    fixture.create(&acme, wire::Agent { slug: "inside".into(), ..agent("inside", "Inside") }).await.unwrap();
    fixture.create(&acme, public("resting", "resting")).await.unwrap();
    let rest = wire::Agent { agent_id: "resting".into(), is_active: false, ..Default::default() };
    fixture.update(&acme, rest, &["is_active"]).await.unwrap();
    fixture.create(&acme, public("sales", "sales")).await.unwrap();
    for (tenant, slug) in [
        ("acme", "inside"),
        ("acme", "resting"),
        ("acme", "nobody"),
        ("acme", ""),
        ("acme", "workflow-sales"),
        ("acme", "kb-sales"),
        ("acme", "collection-sales"),
        ("other", "sales"),
        ("no tenant/at all", "sales"),
    ] {
        assert_eq!(
            refusal(resolve(&fixture, tenant, slug).await),
            because("CONTEXT_NOT_RESOLVED", ""),
            "{tenant}/{slug}"
        );
    }
    let suspend = wire::UpdateTenantRequest { tenant_id: "acme".into(), is_active: Some(false), ..Default::default() };
    fixture.grpc.update_tenant(by(&operator(), suspend)).await.unwrap();
    assert_eq!(refusal(resolve(&fixture, "acme", "sales").await).0, "CONTEXT_NOT_RESOLVED");
}

#[tokio::test]
async fn two_tenants_that_read_alike_are_told_apart_by_their_ids_only() {
    let fixture = Fixture::new().await;
    for id in ["Acme-1", "acme_1"] {
        let tenant = fixture.tenant(id, Tier::Free).await;
        fixture.create(&tenant, public(&format!("{id}-sales"), "sales")).await.unwrap();
    }
    assert_eq!(resolve(&fixture, "Acme-1", "sales").await.unwrap().0, "Acme-1");
    assert_eq!(refusal(resolve(&fixture, "acme-1", "sales").await).0, "CONTEXT_NOT_RESOLVED");
}

#[tokio::test]
async fn only_services_of_the_mesh_ask_for_addresses() {
    let fixture = Fixture::new().await;
    let request = || wire::ResolvePublicAgentRequest { tenant_slug: "acme".into(), slug: "sales".into() };
    for outside in [operator(), caller("acme")] {
        let refused = read(fixture.grpc.resolve_public_agent(by(&outside, request())).await);
        assert_eq!(refusal(refused).0, "SCOPE_REQUIRED");
    }
}

#[tokio::test]
async fn no_tenant_has_the_name_of_a_path() {
    let fixture = Fixture::new().await;
    for id in ["api", "metrics", "health", "CONSOLE", "docs", "errors"] {
        let request = wire::CreateTenantRequest { tenant_id: id.into(), name: id.into(), tier: Tier::Free.into() };
        let refused = read(fixture.grpc.create_tenant(by(&operator(), request)).await);
        assert_eq!(refusal(refused), because("INVALID_FIELD", "tenant_id"), "{id}");
    }
}

#[tokio::test]
async fn limits_of_an_agent_are_kept_and_must_make_sense() {
    let fixture = Fixture::new().await;
    let acme = fixture.tenant("acme", Tier::Free).await;
    let limited = |per_minute, per_hour, per_day| {
        let limits = Some(wire::AgentLimits { per_minute, per_hour, per_day });
        wire::Agent { limits, ..agent("sales", "Sales") }
    };
    for wrong in [limited(10, 5, 0), limited(0, 100, 50), limited(10, 0, 5), limited(0, 0, 2_000_000_000)] {
        assert_eq!(refusal(fixture.create(&acme, wrong).await), because("INVALID_FIELD", "agent.limits"));
    }
    let made = fixture.create(&acme, limited(5, 0, 50)).await.unwrap();
    assert_eq!(fixture.get(&acme, "sales").await.unwrap().limits, made.limits);
    let changed = fixture.update(&acme, limited(0, 0, 0), &["limits"]).await.unwrap();
    assert_eq!(changed.limits, Some(wire::AgentLimits::default()));
}
