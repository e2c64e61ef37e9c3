//! The façade: who calls, decode → call → encode.

use action::{TenantId, Tier};
use fault::Failure;
use proto::management::v1 as wire;
use proto::management::v1::management_service_server::{ManagementService, ManagementServiceServer};
use quota::Quota;
use service_kit::{Caller, Scope};
use tonic::{Request, Response, Status};

use crate::{Error, Management, field, limit};

type Answer<T> = Result<Response<T>, Status>;

/// Serves [`Management`] by gRPC.
#[derive(Clone, Debug)]
pub struct Grpc(Management, Quota);

impl Grpc {
    /// Takes what is served, and who counts what tenants use.
    pub fn new(management: Management, quota: Quota) -> Self {
        Self(management, quota)
    }

    /// Returns the generated server around it.
    pub fn server(self) -> ManagementServiceServer<Self> {
        ManagementServiceServer::new(self).max_encoding_message_size(service_kit::MOST_MESSAGE)
    }
}

/// Returns the tenant whose things a caller may change.
fn changing<T>(request: &Request<T>, named: &str) -> Result<TenantId, Failure> {
    let caller = Caller::of(request)?;
    let tenant = caller.acting_for(named)?;
    caller.assert_unlimited().map(|()| tenant)
}

#[tonic::async_trait]
impl ManagementService for Grpc {
    async fn create_tenant(&self, request: Request<wire::CreateTenantRequest>) -> Answer<wire::CreateTenantResponse> {
        Caller::of(&request)?.require(Scope::Admin)?;
        let tenant = self.0.create_tenant(request.into_inner()).await?;
        Ok(Response::new(wire::CreateTenantResponse { tenant: Some(tenant) }))
    }

    async fn get_tenant(&self, request: Request<wire::GetTenantRequest>) -> Answer<wire::GetTenantResponse> {
        let (caller, named) = (Caller::of(&request)?, &request.get_ref().tenant_id);
        // A service that was shown a token, on nobody's behalf yet, asks what the record of its tenant says.
        let of_the_mesh = caller.inside().is_ok() && caller.tenant.is_none() && !named.is_empty();
        let tenant = if of_the_mesh { field::id("tenant_id", named)? } else { caller.acting_for(named)? };
        let tenant = self.0.tenant(&tenant).await?;
        Ok(Response::new(wire::GetTenantResponse { tenant: Some(tenant) }))
    }

    async fn get_tenant_limits(
        &self,
        request: Request<wire::GetTenantLimitsRequest>,
    ) -> Answer<wire::GetTenantLimitsResponse> {
        let tenant = Caller::of(&request)?.acting_for(&request.get_ref().tenant_id)?;
        let record = self.0.tenant(&tenant).await?;
        // The record alone decides the tier, also for an operator, who has none.
        let tier = Tier::from_proto(record.tier).map_err(Error::from)?;
        let limits = self.1.status(&tenant, tier).await?.iter().map(limit::to_wire).collect();
        Ok(Response::new(wire::GetTenantLimitsResponse { tenant: Some(record), limits }))
    }

    async fn update_tenant(&self, request: Request<wire::UpdateTenantRequest>) -> Answer<wire::UpdateTenantResponse> {
        Caller::of(&request)?.require(Scope::Admin)?;
        let tenant = self.0.update_tenant(request.into_inner()).await?;
        Ok(Response::new(wire::UpdateTenantResponse { tenant: Some(tenant) }))
    }

    async fn create_api_key(&self, request: Request<wire::CreateApiKeyRequest>) -> Answer<wire::CreateApiKeyResponse> {
        Caller::of(&request)?.require(Scope::Admin)?;
        Ok(Response::new(self.0.create_api_key(request.into_inner()).await?))
    }

    async fn revoke_api_key(&self, request: Request<wire::RevokeApiKeyRequest>) -> Answer<wire::RevokeApiKeyResponse> {
        Caller::of(&request)?.require(Scope::Admin)?;
        let key = self.0.revoke_api_key(request.get_ref()).await?;
        Ok(Response::new(wire::RevokeApiKeyResponse { key: Some(key) }))
    }

    async fn rotate_api_key(&self, request: Request<wire::RotateApiKeyRequest>) -> Answer<wire::RotateApiKeyResponse> {
        Caller::of(&request)?.require(Scope::Admin)?;
        Ok(Response::new(self.0.rotate_api_key(request.get_ref()).await?))
    }

    async fn list_api_keys(&self, request: Request<wire::ListApiKeysRequest>) -> Answer<wire::ListApiKeysResponse> {
        Caller::of(&request)?.require(Scope::Admin)?;
        Ok(Response::new(self.0.api_keys(request.get_ref()).await?))
    }

    async fn resolve_credential(
        &self,
        request: Request<wire::ResolveCredentialRequest>,
    ) -> Answer<wire::ResolveCredentialResponse> {
        // From outside it would be a place to try keys without being charged for it.
        Caller::of(&request)?.inside()?;
        Ok(Response::new(self.0.resolve_credential(&request.get_ref().credential).await?))
    }

    async fn create_agent(&self, request: Request<wire::CreateAgentRequest>) -> Answer<wire::CreateAgentResponse> {
        let tenant = changing(&request, &request.get_ref().tenant_id)?;
        let agent = request.into_inner().agent.ok_or_else(|| Error::field("agent", "is required"))?;
        let agent = self.0.create_agent(&tenant, &agent).await?;
        Ok(Response::new(wire::CreateAgentResponse { agent: Some(agent) }))
    }

    async fn get_agent(&self, request: Request<wire::GetAgentRequest>) -> Answer<wire::GetAgentResponse> {
        let tenant = Caller::of(&request)?.acting_for(&request.get_ref().tenant_id)?;
        let id = &request.get_ref().agent_id;
        Caller::of(&request)?.assert_agent(&field::id("agent_id", id)?)?;
        let agent = self.0.agent(&tenant, id).await?;
        Ok(Response::new(wire::GetAgentResponse { agent: Some(agent) }))
    }

    async fn resolve_public_agent(
        &self,
        request: Request<wire::ResolvePublicAgentRequest>,
    ) -> Answer<wire::ResolvePublicAgentResponse> {
        // Callers from outside have an address at the edge, where they are counted.
        Caller::of(&request)?.inside()?;
        let wire::ResolvePublicAgentRequest { tenant_slug, slug } = request.into_inner();
        let (tenant, agent) = self.0.public_agent(&tenant_slug, &slug).await?;
        Ok(Response::new(wire::ResolvePublicAgentResponse { tenant: Some(tenant), agent: Some(agent) }))
    }

    async fn update_agent(&self, request: Request<wire::UpdateAgentRequest>) -> Answer<wire::UpdateAgentResponse> {
        let tenant = changing(&request, &request.get_ref().tenant_id)?;
        let request = request.into_inner();
        let change = request.agent.ok_or_else(|| Error::field("agent", "is required"))?;
        let agent = self.0.update_agent(&tenant, &change, &request.fields).await?;
        Ok(Response::new(wire::UpdateAgentResponse { agent: Some(agent) }))
    }

    async fn list_agents(&self, request: Request<wire::ListAgentsRequest>) -> Answer<wire::ListAgentsResponse> {
        let tenant = Caller::of(&request)?.acting_for(&request.get_ref().tenant_id)?;
        let mut list = self.0.agents(&tenant, request.get_ref()).await?;
        if let Some(agents) = &Caller::of(&request)?.agents {
            list.agents.retain(|agent| agents.iter().any(|id| id.as_str() == agent.agent_id));
        }
        Ok(Response::new(list))
    }

    async fn delete_agent(&self, request: Request<wire::DeleteAgentRequest>) -> Answer<wire::DeleteAgentResponse> {
        let tenant = changing(&request, &request.get_ref().tenant_id)?;
        self.0.delete_agent(&tenant, &request.get_ref().agent_id).await?;
        Ok(Response::new(wire::DeleteAgentResponse {}))
    }

    async fn create_collection(
        &self,
        request: Request<wire::CreateCollectionRequest>,
    ) -> Answer<wire::CreateCollectionResponse> {
        let tenant = changing(&request, &request.get_ref().tenant_id)?;
        let collection = request.into_inner().collection.ok_or_else(|| Error::field("collection", "is required"))?;
        let collection = self.0.create_collection(&tenant, &collection).await?;
        Ok(Response::new(wire::CreateCollectionResponse { collection: Some(collection) }))
    }

    async fn get_collection(
        &self,
        request: Request<wire::GetCollectionRequest>,
    ) -> Answer<wire::GetCollectionResponse> {
        let tenant = Caller::of(&request)?.acting_for(&request.get_ref().tenant_id)?;
        let collection = self.0.collection(&tenant, &request.get_ref().collection_id).await?;
        Ok(Response::new(wire::GetCollectionResponse { collection: Some(collection) }))
    }

    async fn list_collections(
        &self,
        request: Request<wire::ListCollectionsRequest>,
    ) -> Answer<wire::ListCollectionsResponse> {
        let tenant = Caller::of(&request)?.acting_for(&request.get_ref().tenant_id)?;
        Ok(Response::new(self.0.collections(&tenant, request.get_ref()).await?))
    }
}
