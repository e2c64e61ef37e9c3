//! Management through its façade, on a real database.

mod agents;
mod authority;
mod collections;
mod config;
mod keys;
mod limits;
mod public;
mod restart;
mod tenants;

use std::sync::Arc;

use fault::Failure;
use management::{Config, Grpc, Management};
use proto::action::v1::Tier;
use proto::management::v1 as wire;
use proto::management::v1::management_service_server::ManagementService as _;
use quota::Quota;
use service_kit::{Caller, Scope, Scopes, Tenant};
use tempfile::TempDir;
use tonic::{Request, Response, Status};

/// A façade on a folder of its own.
struct Fixture {
    folder: TempDir,
    grpc: Grpc,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let grpc = open(folder.path()).await;
        Self { folder, grpc }
    }

    /// Makes a tenant of the tier, and returns it as a caller.
    async fn tenant(&self, id: &str, tier: Tier) -> Caller {
        let request = wire::CreateTenantRequest { tenant_id: id.into(), name: id.into(), tier: tier.into() };
        self.grpc.create_tenant(by(&operator(), request)).await.expect("the tenant is new");
        caller(id)
    }

    async fn collection(&self, tenant: &Caller, id: &str) {
        let collection = wire::Collection { collection_id: id.into(), name: id.into(), ..Default::default() };
        let request = wire::CreateCollectionRequest { collection: Some(collection), ..Default::default() };
        self.grpc.create_collection(by(tenant, request)).await.expect("the collection is new");
    }

    async fn create(&self, tenant: &Caller, agent: wire::Agent) -> Result<wire::Agent, Failure> {
        let request = wire::CreateAgentRequest { agent: Some(agent), ..Default::default() };
        read(self.grpc.create_agent(by(tenant, request)).await).map(|response| response.agent.expect("it was made"))
    }

    async fn update(&self, tenant: &Caller, agent: wire::Agent, fields: &[&str]) -> Result<wire::Agent, Failure> {
        let fields = fields.iter().map(|&field| field.to_owned()).collect();
        let request = wire::UpdateAgentRequest { agent: Some(agent), fields, ..Default::default() };
        read(self.grpc.update_agent(by(tenant, request)).await).map(|response| response.agent.expect("it was changed"))
    }

    async fn get(&self, tenant: &Caller, id: &str) -> Result<wire::Agent, Failure> {
        let request = wire::GetAgentRequest { agent_id: id.into(), ..Default::default() };
        read(self.grpc.get_agent(by(tenant, request)).await).map(|response| response.agent.expect("it was found"))
    }

    /// Makes a key and returns its id and the whole of it.
    async fn key(&self, tenant: &str, scopes: &[&str]) -> (String, String) {
        let scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
        let request =
            wire::CreateApiKeyRequest { tenant_id: tenant.into(), name: "a key".into(), scopes, expires_at: None };
        let made = self.grpc.create_api_key(by(&operator(), request)).await.expect("the tenant exists").into_inner();
        (made.key.expect("a key was made").key_id, made.secret)
    }

    async fn resolve(&self, credential: &str) -> Result<wire::ResolveCredentialResponse, Failure> {
        resolve(&self.grpc, credential).await
    }
}

/// Opens a façade whose Redis is away, which few calls mind.
async fn open(folder: &std::path::Path) -> Grpc {
    open_counting(folder, "redis://127.0.0.1:1").await.0
}

/// Opens a façade with a Redis, and returns who counts there what tenants use.
async fn open_counting(folder: &std::path::Path, redis: &str) -> (Grpc, Quota) {
    let management = Management::open(&Config::default(), folder, Arc::default()).await;
    let redis = broker::Redis::open(redis).expect("an address");
    let quota = Quota::new(redis, Arc::default(), quota::Config::default());
    (Grpc::new(management.expect("the folder can be written"), quota.clone()), quota)
}

async fn resolve(grpc: &Grpc, credential: &str) -> Result<wire::ResolveCredentialResponse, Failure> {
    let request = wire::ResolveCredentialRequest { credential: credential.into() };
    read(grpc.resolve_credential(by(&inside(), request)).await)
}

fn read<T>(answer: Result<Response<T>, Status>) -> Result<T, Failure> {
    answer.map(Response::into_inner).map_err(|status| Failure::from_status(&status))
}

fn by<T>(caller: &Caller, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(caller.clone());
    request
}

fn operator() -> Caller {
    Caller { scopes: Scopes::from([Scope::Admin]), ..Caller::default() }
}

fn inside() -> Caller {
    Caller { service: Some("gateway".into()), ..Caller::default() }
}

fn caller(tenant: &str) -> Caller {
    let id = tenant.parse().expect("an identifier");
    let tenant = Some(Tenant { id, tier: action::Tier::Free, active: true });
    Caller { tenant, scopes: Scopes::from([Scope::Tenant]), ..Caller::default() }
}

fn agent(id: &str, name: &str) -> wire::Agent {
    wire::Agent { agent_id: id.into(), name: name.into(), system_prompt: "You help.".into(), ..Default::default() }
}

/// The reason's id and the field at fault.
#[track_caller]
fn refusal<T: std::fmt::Debug>(answer: Result<T, Failure>) -> (&'static str, String) {
    let failure = answer.expect_err("the call is refused");
    (failure.reason().id, failure.field_name().unwrap_or_default().to_owned())
}

fn because(reason: &'static str, field: &str) -> (&'static str, String) {
    (reason, field.to_owned())
}
