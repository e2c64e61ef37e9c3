use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use action::Tier;
use fault::{Failure, reason};
use proto::management::v1 as wire;
use proto::management::v1::management_service_server::ManagementService;
use service_kit::Caller;
use tonic::{Request, Response, Status};

use super::not_needed;

/// Knows one tenant per tier and `other-1`; a key is `nbl_<tenant>_key`. Each has the agent `agent-<tenant>` and the
/// collection `coll-<tenant>`; what anybody may talk to is `/<tenant>/open-agent`.
#[derive(Clone, Default)]
pub(crate) struct Management {
    pub(crate) revoked: Arc<Mutex<HashSet<String>>>,
    pub(crate) away: Arc<AtomicBool>,
}

fn tier_of(tenant: &str) -> Option<Tier> {
    match tenant {
        "free-1" => Some(Tier::Free),
        "pro-1" | "other-1" => Some(Tier::Professional),
        "ent-1" => Some(Tier::Enterprise),
        _ => None,
    }
}

impl Management {
    fn enter(&self) -> Result<(), Failure> {
        let away = self.away.load(Ordering::Relaxed);
        if away { Err(Failure::new(&reason::UNAVAILABLE, "away")) } else { Ok(()) }
    }
}

#[tonic::async_trait]
impl ManagementService for Management {
    async fn resolve_credential(
        &self,
        request: Request<wire::ResolveCredentialRequest>,
    ) -> Result<Response<wire::ResolveCredentialResponse>, Status> {
        self.enter()?;
        Caller::of(&request)?.inside()?;
        let credential = request.into_inner().credential;
        let revoked = self.revoked.lock().unwrap().contains(&credential);
        let tenant = credential.strip_prefix("nbl_").and_then(|rest| rest.strip_suffix("_key"));
        let known = tenant.and_then(|tenant| Some((tenant, tier_of(tenant)?))).filter(|_| !revoked);
        if credential == "nbl_admin_key" {
            let scopes = vec!["admin".to_owned()];
            return Ok(Response::new(wire::ResolveCredentialResponse { scopes, ..Default::default() }));
        }
        let Some((tenant, tier)) = known else {
            return Err(Failure::new(&reason::CREDENTIAL_INVALID, "unknown").into());
        };
        let tenant = wire::Tenant {
            tenant_id: tenant.to_owned(),
            tier: tier.to_proto().into(),
            is_active: true,
            ..Default::default()
        };
        let scopes = vec!["tenant".to_owned()];
        let key_id = "key".to_owned();
        Ok(Response::new(wire::ResolveCredentialResponse { tenant: Some(tenant), scopes, key_id, expires_at: None }))
    }

    async fn get_tenant(
        &self,
        request: Request<wire::GetTenantRequest>,
    ) -> Result<Response<wire::GetTenantResponse>, Status> {
        self.enter()?;
        Caller::of(&request)?.inside()?;
        let tenant_id = request.into_inner().tenant_id;
        let tier = tier_of(&tenant_id).ok_or_else(|| Failure::new(&reason::NOT_FOUND, "unknown"))?;
        let tier = tier.to_proto().into();
        let tenant = wire::Tenant { tenant_id, tier, is_active: true, ..Default::default() };
        Ok(Response::new(wire::GetTenantResponse { tenant: Some(tenant) }))
    }

    async fn get_agent(
        &self,
        request: Request<wire::GetAgentRequest>,
    ) -> Result<Response<wire::GetAgentResponse>, Status> {
        self.enter()?;
        let (tenant, _) = Caller::of(&request)?.tenant()?;
        let agent_id = request.into_inner().agent_id;
        if agent_id != format!("agent-{tenant}") {
            return Err(Failure::new(&reason::AGENT_NOT_FOUND, "unknown").into());
        }
        let agent = wire::Agent { agent_id, is_active: true, ..Default::default() };
        Ok(Response::new(wire::GetAgentResponse { agent: Some(agent) }))
    }

    async fn resolve_public_agent(
        &self,
        request: Request<wire::ResolvePublicAgentRequest>,
    ) -> Result<Response<wire::ResolvePublicAgentResponse>, Status> {
        self.enter()?;
        Caller::of(&request)?.inside()?;
        let wire::ResolvePublicAgentRequest { tenant_slug, slug } = request.into_inner();
        let Some(tier) = tier_of(&tenant_slug).filter(|_| slug == "open-agent") else {
            return Err(Failure::new(&reason::CONTEXT_NOT_RESOLVED, "unknown").into());
        };
        let agent =
            wire::Agent { agent_id: format!("agent-{tenant_slug}"), slug, is_active: true, ..Default::default() };
        let tier = tier.to_proto().into();
        let tenant = wire::Tenant { tenant_id: tenant_slug, tier, is_active: true, ..Default::default() };
        Ok(Response::new(wire::ResolvePublicAgentResponse { tenant: Some(tenant), agent: Some(agent) }))
    }

    async fn get_collection(
        &self,
        request: Request<wire::GetCollectionRequest>,
    ) -> Result<Response<wire::GetCollectionResponse>, Status> {
        self.enter()?;
        let (tenant, _) = Caller::of(&request)?.tenant()?;
        let collection_id = request.into_inner().collection_id;
        if collection_id != format!("coll-{tenant}") {
            return Err(Failure::new(&reason::COLLECTION_NOT_FOUND, "unknown").into());
        }
        let collection = wire::Collection { collection_id, ..Default::default() };
        Ok(Response::new(wire::GetCollectionResponse { collection: Some(collection) }))
    }

    not_needed! { wire;
        create_tenant: CreateTenantRequest => CreateTenantResponse;
        update_tenant: UpdateTenantRequest => UpdateTenantResponse;
        create_api_key: CreateApiKeyRequest => CreateApiKeyResponse;
        revoke_api_key: RevokeApiKeyRequest => RevokeApiKeyResponse;
        rotate_api_key: RotateApiKeyRequest => RotateApiKeyResponse;
        list_api_keys: ListApiKeysRequest => ListApiKeysResponse;
        create_agent: CreateAgentRequest => CreateAgentResponse;
        update_agent: UpdateAgentRequest => UpdateAgentResponse;
        get_tenant_limits: GetTenantLimitsRequest => GetTenantLimitsResponse;
        list_agents: ListAgentsRequest => ListAgentsResponse;
        delete_agent: DeleteAgentRequest => DeleteAgentResponse;
        create_collection: CreateCollectionRequest => CreateCollectionResponse;
        list_collections: ListCollectionsRequest => ListCollectionsResponse;
    }
}
