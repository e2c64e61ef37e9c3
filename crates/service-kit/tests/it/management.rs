//! A management service that knows what a test tells it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use action::Domain;
use fault::{Failure, reason};
use proto::management::v1 as wire;
use proto::management::v1::management_service_server::ManagementService;
use service_kit::{Caller, Scope};
use tonic::{Request, Response, Status};

/// Cloning is cheap; all clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Management {
    pub(crate) resolved: Arc<AtomicU32>,
    pub(crate) asked: Arc<AtomicU32>,
    /// How often GetTenant was asked.
    pub(crate) tenants: Arc<AtomicU32>,
    /// Moment at which the keys `nbl_short_key` and `nbl_worker_key` end.
    pub(crate) key_ends: Arc<Mutex<Option<SystemTime>>>,
    /// Answers of ResolveCredential and GetAgent take this long.
    pub(crate) pause: Arc<Mutex<Duration>>,
    /// Whether the agent `agent-1` is active.
    pub(crate) inactive: Arc<AtomicBool>,
    /// Agents that exist beside `agent-1` and `agent-2`.
    pub(crate) more: Arc<Mutex<Vec<String>>>,
    /// Whether no key is known any more, and the tenant is suspended.
    pub(crate) revoked: Arc<AtomicBool>,
    /// Whether everything is answered with UNAVAILABLE.
    pub(crate) away: Arc<AtomicBool>,
    /// The last caller.
    pub(crate) caller: Arc<Mutex<Option<Caller>>>,
}

impl Management {
    async fn enter<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let caller = Caller::of(request)?.clone();
        *self.caller.lock().unwrap() = Some(caller.clone());
        let pause = *self.pause.lock().unwrap();
        tokio::time::sleep(pause).await;
        if self.away.load(Ordering::Relaxed) {
            return Err(Failure::new(&reason::UNAVAILABLE, "away").into());
        }
        Ok(caller)
    }
}

macro_rules! not_needed {
    ($($method:ident: $request:ident => $response:ident;)*) => {$(
        fn $method<'a, 'b>(&'a self, _: Request<wire::$request>)
            -> std::pin::Pin<Box<dyn Future<Output = Result<Response<wire::$response>, Status>> + Send + 'b>>
        where
            'a: 'b,
            Self: 'b,
        {
            Box::pin(async { Err(Failure::new(&reason::UNIMPLEMENTED, "not needed").into()) })
        }
    )*};
}

#[tonic::async_trait]
impl ManagementService for Management {
    async fn resolve_credential(
        &self,
        request: Request<wire::ResolveCredentialRequest>,
    ) -> Result<Response<wire::ResolveCredentialResponse>, Status> {
        self.resolved.fetch_add(1, Ordering::Relaxed);
        self.enter(&request).await?.inside()?;
        let credential = request.into_inner().credential;
        if self.revoked.load(Ordering::Relaxed) {
            return Err(Failure::new(&reason::CREDENTIAL_INVALID, "revoked").into());
        }
        let worker = vec![Scope::Worker(Domain::Embedding), Scope::Worker(Domain::Query)];
        let (tenant, scopes) = match credential.as_str() {
            "nbl_tenant_key" | "nbl_short_key" => (Some(tenant()), vec![Scope::Tenant]),
            "nbl_admin_key" => (None, vec![Scope::Admin]),
            "nbl_worker_key" => (None, worker),
            _ => return Err(Failure::new(&reason::CREDENTIAL_INVALID, "unknown").into()),
        };
        let scopes = scopes.iter().map(ToString::to_string).collect();
        let ends = *self.key_ends.lock().unwrap();
        let expires_at = ends
            .filter(|_| ["nbl_short_key", "nbl_worker_key"].contains(&credential.as_str()))
            .map(action::time::to_proto);
        let key_id = "key".to_owned();
        Ok(Response::new(wire::ResolveCredentialResponse { tenant, scopes, key_id, expires_at }))
    }

    /// Never answers for the tenant `stuck`, and panics for the tenant `panic`.
    async fn get_tenant(
        &self,
        request: Request<wire::GetTenantRequest>,
    ) -> Result<Response<wire::GetTenantResponse>, Status> {
        self.tenants.fetch_add(1, Ordering::Relaxed);
        self.enter(&request).await?;
        if request.get_ref().tenant_id == "stuck" {
            return std::future::pending().await;
        }
        assert_ne!(request.get_ref().tenant_id, "panic", "on purpose");
        let tenant = match request.get_ref().tenant_id.as_str() {
            "gone-1" => return Err(Failure::new(&reason::NOT_FOUND, "unknown").into()),
            "asleep-1" => wire::Tenant { tenant_id: "asleep-1".to_owned(), is_active: false, ..tenant() },
            _ => wire::Tenant { is_active: !self.revoked.load(Ordering::Relaxed), ..tenant() },
        };
        Ok(Response::new(wire::GetTenantResponse { tenant: Some(tenant) }))
    }

    async fn get_agent(
        &self,
        request: Request<wire::GetAgentRequest>,
    ) -> Result<Response<wire::GetAgentResponse>, Status> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.enter(&request).await?.tenant()?;
        let agent_id = request.into_inner().agent_id;
        let minimum_tier = match agent_id.as_str() {
            "agent-1" => action::Tier::Free,
            "agent-2" => action::Tier::Enterprise,
            other if self.more.lock().unwrap().iter().any(|agent| agent == other) => action::Tier::Free,
            _ => return Err(Failure::new(&reason::AGENT_NOT_FOUND, "unknown").into()),
        };
        let system_prompt = "a long text ".repeat(1000);
        let is_active = !self.inactive.load(Ordering::Relaxed);
        let minimum_tier = minimum_tier.to_proto().into();
        let agent = wire::Agent { agent_id, is_active, minimum_tier, system_prompt, ..Default::default() };
        Ok(Response::new(wire::GetAgentResponse { agent: Some(agent) }))
    }

    not_needed! {
        create_tenant: CreateTenantRequest => CreateTenantResponse;
        get_tenant_limits: GetTenantLimitsRequest => GetTenantLimitsResponse;
        update_tenant: UpdateTenantRequest => UpdateTenantResponse;
        create_api_key: CreateApiKeyRequest => CreateApiKeyResponse;
        revoke_api_key: RevokeApiKeyRequest => RevokeApiKeyResponse;
        rotate_api_key: RotateApiKeyRequest => RotateApiKeyResponse;
        list_api_keys: ListApiKeysRequest => ListApiKeysResponse;
        create_agent: CreateAgentRequest => CreateAgentResponse;
        update_agent: UpdateAgentRequest => UpdateAgentResponse;
        resolve_public_agent: ResolvePublicAgentRequest => ResolvePublicAgentResponse;
        list_agents: ListAgentsRequest => ListAgentsResponse;
        delete_agent: DeleteAgentRequest => DeleteAgentResponse;
        create_collection: CreateCollectionRequest => CreateCollectionResponse;
        get_collection: GetCollectionRequest => GetCollectionResponse;
        list_collections: ListCollectionsRequest => ListCollectionsResponse;
    }
}

fn tenant() -> wire::Tenant {
    let tier = action::Tier::Advance.to_proto().into();
    wire::Tenant { tenant_id: "acme-1".to_owned(), tier, is_active: true, ..Default::default() }
}
