//! Who reaches what.

use fault::Failure;
use proto::action::v1::Tier;
use proto::management::v1 as wire;
use proto::management::v1::management_service_server::ManagementService as _;
use service_kit::{Caller, Scope, Scopes};
use tonic::Request;

use crate::{Fixture, agent, because, by, caller, inside, operator, read, refusal};

async fn two_tenants() -> (Fixture, Caller, Caller) {
    let fixture = Fixture::new().await;
    let acme = fixture.tenant("acme", Tier::Advance).await;
    let other = fixture.tenant("other", Tier::Advance).await;
    fixture.collection(&acme, "docs").await;
    fixture.create(&acme, agent("agent-1", "One")).await.expect("the tenant has none");
    (fixture, acme, other)
}

/// Every call about a tenant's things, made by `caller` for `tenant` about the ids given.
async fn calls(
    fixture: &Fixture,
    caller: &Caller,
    tenant: &str,
    agent_id: &str,
    collection_id: &str,
) -> Vec<Result<(), Failure>> {
    let (grpc, tenant_id) = (&fixture.grpc, tenant.to_owned());
    let (agent_id, collection_id) = (agent_id.to_owned(), collection_id.to_owned());
    let change = wire::Agent { agent_id: agent_id.clone(), name: "Changed".into(), ..Default::default() };
    let update =
        wire::UpdateAgentRequest { tenant_id: tenant_id.clone(), agent: Some(change), fields: vec!["name".into()] };
    let get = wire::GetAgentRequest { tenant_id: tenant_id.clone(), agent_id: agent_id.clone() };
    let collection = wire::GetCollectionRequest { tenant_id: tenant_id.clone(), collection_id };
    let delete = wire::DeleteAgentRequest { tenant_id, agent_id };
    vec![
        read(grpc.get_agent(by(caller, get)).await).map(drop),
        read(grpc.update_agent(by(caller, update)).await).map(drop),
        read(grpc.delete_agent(by(caller, delete)).await).map(drop),
        read(grpc.get_collection(by(caller, collection)).await).map(drop),
    ]
}

#[tokio::test]
async fn what_belongs_to_someone_else_looks_like_what_does_not_exist() {
    let (fixture, _, other) = two_tenants().await;
    let foreign = calls(&fixture, &other, "", "agent-1", "docs").await;
    let unknown = calls(&fixture, &other, "", "agent-9", "nowhere").await;
    assert_eq!(foreign, unknown);
    let reasons: Vec<_> = foreign.into_iter().map(refusal).map(|(reason, _)| reason).collect();
    assert_eq!(reasons, ["AGENT_NOT_FOUND", "AGENT_NOT_FOUND", "AGENT_NOT_FOUND", "COLLECTION_NOT_FOUND"]);
}

#[tokio::test]
async fn a_collection_of_someone_else_cannot_be_read_through_an_agent() {
    let (fixture, acme, other) = two_tenants().await;
    let with_docs = |id| wire::Agent { collections: vec!["docs".into()], ..agent(id, "Spy") };
    let refused = fixture.create(&other, with_docs("agent-2")).await;
    assert_eq!(refusal(refused), because("COLLECTION_NOT_FOUND", "agent.collections"));
    fixture.create(&other, agent("agent-2", "Spy")).await.unwrap();
    let refused = fixture.update(&other, with_docs("agent-2"), &["collections"]).await;
    assert_eq!(refusal(refused), because("COLLECTION_NOT_FOUND", "agent.collections"));
    fixture.update(&acme, with_docs("agent-1"), &["collections"]).await.unwrap();
}

#[tokio::test]
async fn lists_hold_the_tenants_own() {
    let (fixture, _, other) = two_tenants().await;
    let agents = read(fixture.grpc.list_agents(by(&other, wire::ListAgentsRequest::default())).await).unwrap();
    let collections = fixture.grpc.list_collections(by(&other, wire::ListCollectionsRequest::default())).await;
    assert_eq!((agents.agents.len(), read(collections).unwrap().collections.len()), (0, 0));
}

#[tokio::test]
async fn another_tenant_is_named_with_the_scope_admin_only() {
    let (fixture, acme, other) = two_tenants().await;
    for answer in calls(&fixture, &other, "acme", "agent-1", "docs").await {
        assert_eq!(refusal(answer), because("TENANT_MISMATCH", "tenant_id"));
    }
    for tenant in ["acme", "nobody"] {
        let request = wire::GetTenantRequest { tenant_id: tenant.into() };
        let refused = read(fixture.grpc.get_tenant(by(&other, request)).await);
        assert_eq!(refusal(refused), because("TENANT_MISMATCH", "tenant_id"));
    }
    assert!(calls(&fixture, &acme, "acme", "agent-1", "docs").await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn an_operator_reaches_every_tenant_that_it_names() {
    let (fixture, ..) = two_tenants().await;
    assert!(calls(&fixture, &operator(), "acme", "agent-1", "docs").await.iter().all(Result::is_ok));
    let request = wire::GetTenantRequest { tenant_id: "nobody".into() };
    let refused = read(fixture.grpc.get_tenant(by(&operator(), request)).await);
    assert_eq!(refusal(refused), because("NOT_FOUND", "tenant_id"));
    let request = wire::CreateAgentRequest { tenant_id: "nobody".into(), agent: Some(agent("", "One")) };
    let refused = read(fixture.grpc.create_agent(by(&operator(), request)).await);
    assert_eq!(refusal(refused), because("NOT_FOUND", "tenant_id"));
    // It is no tenant itself.
    for answer in calls(&fixture, &operator(), "", "agent-1", "docs").await {
        assert_eq!(refusal(answer).0, "SCOPE_REQUIRED");
    }
}

#[tokio::test]
async fn tenants_and_keys_are_an_operators() {
    let (fixture, acme, _) = two_tenants().await;
    let worker = Caller { scopes: "worker:execution".parse::<Scope>().into_iter().collect(), ..caller("acme") };
    for caller in [&acme, &worker, &inside()] {
        let grpc = &fixture.grpc;
        let refused = [
            read(grpc.create_tenant(by(caller, wire::CreateTenantRequest::default())).await).map(drop),
            read(grpc.update_tenant(by(caller, wire::UpdateTenantRequest::default())).await).map(drop),
            read(grpc.create_api_key(by(caller, wire::CreateApiKeyRequest::default())).await).map(drop),
            read(grpc.revoke_api_key(by(caller, wire::RevokeApiKeyRequest::default())).await).map(drop),
            read(grpc.rotate_api_key(by(caller, wire::RotateApiKeyRequest::default())).await).map(drop),
            read(grpc.list_api_keys(by(caller, wire::ListApiKeysRequest::default())).await).map(drop),
        ];
        assert!(refused.into_iter().all(|answer| refusal(answer).0 == "SCOPE_REQUIRED"));
    }
}

#[tokio::test]
async fn credentials_are_resolved_for_services_only() {
    let (fixture, acme, _) = two_tenants().await;
    let (_, secret) = fixture.key("acme", &[]).await;
    for caller in [&acme, &operator()] {
        let request = wire::ResolveCredentialRequest { credential: secret.clone() };
        assert_eq!(refusal(read(fixture.grpc.resolve_credential(by(caller, request)).await)).0, "SCOPE_REQUIRED");
    }
    assert!(fixture.resolve(&secret).await.is_ok());
}

#[tokio::test]
async fn a_key_without_the_scope_tenant_does_not_act_for_its_tenant() {
    let (fixture, ..) = two_tenants().await;
    let worker = Caller { scopes: Scopes::default(), ..caller("acme") };
    for answer in calls(&fixture, &worker, "", "agent-1", "docs").await {
        assert_eq!(refusal(answer).0, "SCOPE_REQUIRED");
    }
}

#[tokio::test]
async fn a_service_reads_the_record_of_a_tenant_whose_token_it_was_shown() {
    let (fixture, acme, _) = two_tenants().await;
    let get = async |caller: &Caller, tenant: &str| {
        let request = wire::GetTenantRequest { tenant_id: tenant.into() };
        read(fixture.grpc.get_tenant(by(caller, request)).await)
    };
    assert_eq!(get(&inside(), "acme").await.unwrap().tenant.unwrap().tier(), Tier::Advance);
    assert_eq!(refusal(get(&inside(), "nobody").await), because("NOT_FOUND", "tenant_id"));
    assert_eq!(refusal(get(&inside(), "").await).0, "SCOPE_REQUIRED");
    // On behalf of a tenant it reaches what the tenant reaches.
    let for_acme = Caller { service: Some("gateway".into()), ..acme };
    assert_eq!(refusal(get(&for_acme, "other").await), because("TENANT_MISMATCH", "tenant_id"));
}

#[tokio::test]
async fn a_credential_that_is_limited_to_agents_sees_these_and_changes_nothing() {
    let (fixture, acme, _) = two_tenants().await;
    fixture.create(&acme, agent("agent-2", "Two")).await.unwrap();
    let limited = Caller { agents: Some(["agent-2".parse().unwrap()].into()), ..acme };
    let listed = read(fixture.grpc.list_agents(by(&limited, wire::ListAgentsRequest::default())).await).unwrap();
    assert_eq!(listed.agents.iter().map(|agent| agent.agent_id.as_str()).collect::<Vec<_>>(), ["agent-2"]);
    assert!(fixture.get(&limited, "agent-2").await.is_ok());
    for id in ["agent-1", "agent-9"] {
        assert_eq!(refusal(fixture.get(&limited, id).await), because("ACCESS_DENIED", "agent_id"));
    }
    let reasons = calls(&fixture, &limited, "", "agent-2", "docs").await.into_iter().skip(1).take(2);
    assert!(reasons.map(refusal).all(|(reason, _)| reason == "ACCESS_DENIED"));
    assert_eq!(refusal(fixture.create(&limited, agent("agent-3", "Three")).await).0, "ACCESS_DENIED");
    let request = wire::CreateCollectionRequest::default();
    assert_eq!(refusal(read(fixture.grpc.create_collection(by(&limited, request)).await)).0, "ACCESS_DENIED");
}

#[tokio::test]
async fn nobody_gets_nothing() {
    let (fixture, ..) = two_tenants().await;
    let refused = read(fixture.grpc.list_agents(Request::new(wire::ListAgentsRequest::default())).await);
    assert_eq!(refusal(refused).0, "CREDENTIAL_REQUIRED");
}
