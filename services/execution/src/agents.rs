//! What agents are: read from management under the identity of the run, and kept for a while.

use std::sync::Arc;
use std::time::Duration;

use action::{Action, AgentId, TenantId, Tier};
use fault::{Failure, reason};
use moka::future::Cache;
use proto::management::v1::{Agent, AgentType, GetAgentRequest};
use service_kit::{Changes, Peers};

use crate::Error;

/// Most agents that are kept at a time.
const CAPACITY: u64 = 10_000;

/// Knows the agents that answered lately.
#[derive(Clone, Debug)]
pub(crate) struct Agents {
    peers: Peers,
    changes: Changes,
    kept: Cache<(TenantId, AgentId), Kept>,
}

/// An agent, and the number of its tenant's changes before it was read.
#[derive(Clone, Debug)]
struct Kept {
    agent: Arc<Agent>,
    stamp: u64,
}

impl Agents {
    /// Makes an empty memory; a change of an agent is seen when it is heard of, and after `ttl` at the latest.
    pub(crate) fn new(peers: Peers, changes: Changes, ttl: Duration) -> Self {
        Self { peers, changes, kept: Cache::builder().max_capacity(CAPACITY).time_to_live(ttl).build() }
    }

    /// Returns the agent that shall answer, which is active and open to the tenant's tier. Runs that ask for the same agent
    /// at the same time cause one call; a failure is not kept.
    pub(crate) async fn of(&self, action: &Action) -> Result<Arc<Agent>, Error> {
        let id = action.context.primary_agent.clone().ok_or(action::Error::Missing("primary_agent_id"))?;
        let key = (action.tenant.clone(), id.clone());
        let stamp = self.changes.stamp_of(&action.tenant);
        if self.kept.get(&key).await.is_some_and(|kept| kept.stamp != stamp) {
            self.kept.invalidate(&key).await;
        }
        let reading = async { self.read(action, &id).await.map(|agent| Kept { agent, stamp }) };
        let kept = self.kept.try_get_with(key, reading).await;
        let agent =
            kept.map_err(|failure| Error::Peer { service: "management", failure: Failure::clone(&failure) })?.agent;
        usable(&agent, action.tier)?;
        Ok(agent)
    }

    async fn read(&self, action: &Action, id: &AgentId) -> Result<Arc<Agent>, Failure> {
        let mut management = self.peers.management(action);
        let request = GetAgentRequest { agent_id: id.to_string(), ..GetAgentRequest::default() };
        let response = management.get_agent(request).await.map_err(|status| Failure::from_status(&status))?;
        let agent = response.into_inner().agent;
        agent.map(Arc::new).ok_or_else(|| Failure::new(&reason::AGENT_NOT_FOUND, "the tenant has no such agent"))
    }
}

/// Checks that an agent answers at all, and a tenant of this tier.
fn usable(agent: &Agent, tier: Tier) -> Result<(), Failure> {
    if !agent.is_active {
        return Err(Failure::new(&reason::ACCESS_DENIED, "the agent is not active"));
    }
    if Tier::from_proto(agent.minimum_tier).is_ok_and(|minimum| tier < minimum) {
        return Err(Failure::new(&reason::ACCESS_DENIED, "the agent needs a higher tier"));
    }
    if agent.r#type() == AgentType::Workflow {
        return Err(Failure::new(&reason::CONTEXT_TYPE_UNAVAILABLE, "workflow agents are not served by this version"));
    }
    Ok(())
}

/// Returns the product's word for the type of an agent.
pub(crate) fn type_of(agent: &Agent) -> &'static str {
    match agent.r#type() {
        AgentType::Unspecified | AgentType::Conversational => "conversational",
        AgentType::Rag => "rag",
        AgentType::Workflow => "workflow",
    }
}
