//! Tenants.

use proto::action::v1::Tier;
use proto::management::v1 as wire;
use proto::management::v1::management_service_server::ManagementService as _;

use crate::{Fixture, because, by, operator, read, refusal};

#[tokio::test]
async fn a_tenant_is_made_and_reads_its_own_record() {
    let fixture = Fixture::new().await;
    let acme = fixture.tenant("acme", Tier::Advance).await;
    let own = read(fixture.grpc.get_tenant(by(&acme, wire::GetTenantRequest::default())).await).unwrap();
    let tenant = own.tenant.unwrap();
    assert_eq!((tenant.tenant_id.as_str(), tenant.tier(), tenant.is_active), ("acme", Tier::Advance, true));
    assert!(tenant.created_at.is_some());
}

#[tokio::test]
async fn an_id_is_made_where_none_is_given() {
    let fixture = Fixture::new().await;
    let request = wire::CreateTenantRequest { name: "Acme".into(), tier: Tier::Free.into(), ..Default::default() };
    let made = read(fixture.grpc.create_tenant(by(&operator(), request)).await).unwrap().tenant.unwrap();
    assert!(made.tenant_id.parse::<action::TenantId>().is_ok());
}

#[tokio::test]
async fn every_bound_of_a_tenant_is_kept() {
    let fixture = Fixture::new().await;
    fixture.tenant("acme", Tier::Free).await;
    for (id, name, tier, expected) in [
        ("x", "Name", Tier::Free, because("INVALID_FIELD", "tenant_id")),
        ("new-one", "", Tier::Free, because("INVALID_FIELD", "name")),
        ("new-one", "Name", Tier::Unspecified, because("INVALID_TIER", "tier")),
        ("acme", "Name", Tier::Free, because("ALREADY_EXISTS", "tenant_id")),
    ] {
        let request = wire::CreateTenantRequest { tenant_id: id.into(), name: name.into(), tier: tier.into() };
        assert_eq!(refusal(read(fixture.grpc.create_tenant(by(&operator(), request)).await)), expected);
    }
}

#[tokio::test]
async fn an_update_changes_what_it_sets() {
    let fixture = Fixture::new().await;
    fixture.tenant("acme", Tier::Free).await;
    let update = |request: wire::UpdateTenantRequest| {
        let request = wire::UpdateTenantRequest { tenant_id: "acme".into(), ..request };
        fixture.grpc.update_tenant(by(&operator(), request))
    };
    let answer = |tenant: wire::Tenant| (tenant.name.clone(), tenant.tier(), tenant.is_active);
    let unchanged = read(update(wire::UpdateTenantRequest::default()).await).unwrap().tenant.unwrap();
    assert_eq!(answer(unchanged), ("acme".into(), Tier::Free, true));
    let request = wire::UpdateTenantRequest {
        name: Some("Acme Ltd".into()),
        tier: Tier::Enterprise.into(),
        is_active: Some(false),
        ..Default::default()
    };
    let changed = read(update(request).await).unwrap().tenant.unwrap();
    assert_eq!(answer(changed), ("Acme Ltd".into(), Tier::Enterprise, false));
    let empty = wire::UpdateTenantRequest { name: Some(String::new()), ..Default::default() };
    assert_eq!(refusal(read(update(empty).await)), because("INVALID_FIELD", "name"));
    let wrong = wire::UpdateTenantRequest { tier: 9, ..Default::default() };
    assert_eq!(refusal(read(update(wrong).await)), because("INVALID_TIER", "tier"));
    let unknown = wire::UpdateTenantRequest { tenant_id: "nobody".into(), ..Default::default() };
    let refused = read(fixture.grpc.update_tenant(by(&operator(), unknown)).await);
    assert_eq!(refusal(refused), because("NOT_FOUND", "tenant_id"));
}
