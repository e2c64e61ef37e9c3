//! Management as far as the orchestrator asks it: one tenant with an agent and a collection.

use fault::{Failure, reason};
use proto::management::v1::management_service_server::ManagementService;
use proto::management::v1::*;
use service_kit::Caller;
use tonic::{Request, Response, Status};

/// The key of `tenant-1`.
pub(crate) const KEY: &str = "nbl_key_of_tenant_1";

/// Knows `agent-ventas` and `guide` of `tenant-1`, and nothing else.
#[derive(Clone, Debug)]
pub(crate) struct Management;

fn only_tenant_1<T>(request: &Request<T>) -> Result<(), Failure> {
    let (tenant, _) = Caller::of(request)?.tenant()?;
    if tenant.as_str() == "tenant-1" { Ok(()) } else { Err(Failure::new(&reason::NOT_FOUND, "not yours")) }
}

fn agent(id: &str) -> Option<Agent> {
    let agent = Agent { agent_id: id.into(), tenant_id: "tenant-1".into(), is_active: true, ..Agent::default() };
    match id {
        "agent-ventas" => Some(agent),
        "agent-asleep" => Some(Agent { is_active: false, ..agent }),
        "agent-steps" => Some(Agent { r#type: AgentType::Workflow.into(), ..agent }),
        _ => None,
    }
}

macro_rules! management {
    ($($method:ident($request:ty) -> $response:ty;)*) => {
        #[tonic::async_trait]
        impl ManagementService for Management {
            async fn get_agent(&self, request: Request<GetAgentRequest>) -> Result<Response<GetAgentResponse>, Status> {
                only_tenant_1(&request)?;
                let agent = agent(&request.get_ref().agent_id);
                let agent = agent.ok_or_else(|| Failure::new(&reason::AGENT_NOT_FOUND, "no such agent"))?;
                Ok(Response::new(GetAgentResponse { agent: Some(agent) }))
            }

            async fn resolve_credential(
                &self,
                request: Request<ResolveCredentialRequest>,
            ) -> Result<Response<ResolveCredentialResponse>, Status> {
                Caller::of(&request)?.inside()?;
                if request.get_ref().credential != KEY {
                    return Err(Failure::new(&reason::CREDENTIAL_INVALID, "unknown").into());
                }
                let tier = action::Tier::Professional.to_proto().into();
                let tenant = Tenant { tenant_id: "tenant-1".into(), tier, is_active: true, ..Tenant::default() };
                let scopes = vec![service_kit::Scope::Tenant.to_string()];
                let answer = ResolveCredentialResponse { tenant: Some(tenant), scopes, key_id: "key".into(), expires_at: None };
                Ok(Response::new(answer))
            }

            async fn get_collection(
                &self,
                request: Request<GetCollectionRequest>,
            ) -> Result<Response<GetCollectionResponse>, Status> {
                only_tenant_1(&request)?;
                let collection_id = request.into_inner().collection_id;
                if collection_id != "guide" {
                    return Err(Failure::new(&reason::COLLECTION_NOT_FOUND, "no such collection").into());
                }
                let collection = Collection { collection_id, ..Collection::default() };
                Ok(Response::new(GetCollectionResponse { collection: Some(collection) }))
            }

            $(async fn $method(&self, _: Request<$request>) -> Result<Response<$response>, Status> {
                Err(Failure::new(&reason::UNIMPLEMENTED, "not asked for in these tests").into())
            })*
        }
    };
}

management! {
    create_tenant(CreateTenantRequest) -> CreateTenantResponse;
    get_tenant(GetTenantRequest) -> GetTenantResponse;
    get_tenant_limits(GetTenantLimitsRequest) -> GetTenantLimitsResponse;
    update_tenant(UpdateTenantRequest) -> UpdateTenantResponse;
    create_api_key(CreateApiKeyRequest) -> CreateApiKeyResponse;
    revoke_api_key(RevokeApiKeyRequest) -> RevokeApiKeyResponse;
    rotate_api_key(RotateApiKeyRequest) -> RotateApiKeyResponse;
    list_api_keys(ListApiKeysRequest) -> ListApiKeysResponse;
    create_agent(CreateAgentRequest) -> CreateAgentResponse;
    update_agent(UpdateAgentRequest) -> UpdateAgentResponse;
    resolve_public_agent(ResolvePublicAgentRequest) -> ResolvePublicAgentResponse;
    list_agents(ListAgentsRequest) -> ListAgentsResponse;
    delete_agent(DeleteAgentRequest) -> DeleteAgentResponse;
    create_collection(CreateCollectionRequest) -> CreateCollectionResponse;
    list_collections(ListCollectionsRequest) -> ListCollectionsResponse;
}
