//! What a public address stands for.

use std::sync::Arc;
use std::time::Duration;

use action::Tier;
use fault::{Failure, reason};
use moka::future::Cache;
use proto::management::v1::{Agent, ResolvePublicAgentRequest, Tenant as Record};
use service_kit::{Caller, Identity, Peers, Scope, Scopes, Tenant};

/// How long an answer of management is relied on: what is not public any more ceases to answer within this time.
const FRESH: Duration = Duration::from_secs(1);
const CAPACITY: u64 = 10_000;
/// Longest part of an address.
const LONGEST: usize = 64;

/// A public agent, and its tenant as the one who calls.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    /// The owner, whose tier and limits hold.
    pub(crate) owner: Caller,
    /// Name of the tenant for people.
    pub(crate) tenant_name: String,
    /// The agent.
    pub(crate) agent: Agent,
}

/// Finds the agents behind public addresses in management's database. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct ExecutionContextResolver {
    peers: Peers,
    known: Cache<(String, String), Option<Arc<Resolved>>>,
}

impl ExecutionContextResolver {
    pub(crate) fn new(peers: Peers) -> Self {
        let known = Cache::builder().max_capacity(CAPACITY).time_to_live(FRESH).build();
        Self { peers, known }
    }

    /// Finds the agent of `{tenant_slug}/{slug}`, or of `{tenant_slug}.{domain}/{slug}`. Fails with `CONTEXT_NOT_RESOLVED` for
    /// whatever is not there, not active or not public.
    pub(crate) async fn resolve_from_url(&self, tenant_slug: &str, slug: &str) -> Result<Arc<Resolved>, Failure> {
        if tenant_slug.len() > LONGEST || slug.len() > LONGEST {
            return Err(unknown());
        }
        let key = (tenant_slug.to_owned(), slug.to_owned());
        let found = self.known.try_get_with(key, self.ask(tenant_slug, slug)).await;
        found.map_err(|failure| Failure::clone(&failure))?.ok_or_else(unknown)
    }

    async fn ask(&self, tenant_slug: &str, slug: &str) -> Result<Option<Arc<Resolved>>, Failure> {
        let request = ResolvePublicAgentRequest { tenant_slug: tenant_slug.to_owned(), slug: slug.to_owned() };
        match self.peers.management(Identity::service()).resolve_public_agent(request).await {
            Ok(response) => {
                let response = response.into_inner();
                let resolved = read(response.tenant.unwrap_or_default(), response.agent.unwrap_or_default())?;
                Ok(Some(Arc::new(resolved)))
            }
            Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
            Err(status) => Err(Failure::from_status(&status)),
        }
    }
}

impl std::fmt::Debug for ExecutionContextResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExecutionContextResolver").finish_non_exhaustive()
    }
}

fn read(tenant: Record, agent: Agent) -> Result<Resolved, Failure> {
    let id = tenant.tenant_id.parse().map_err(|_| Failure::internal())?;
    let tier = Tier::from_proto(tenant.tier).map_err(|_| Failure::internal())?;
    let owner = Caller {
        tenant: Some(Tenant { id, tier, active: tenant.is_active }),
        scopes: Scopes::from([Scope::Tenant]),
        ..Caller::default()
    };
    Ok(Resolved { owner, tenant_name: tenant.name, agent })
}

/// What is said of whatever is not there, not active or not public.
pub(super) fn unknown() -> Failure {
    Failure::new(&reason::CONTEXT_NOT_RESOLVED, "nothing public is at this address")
}
