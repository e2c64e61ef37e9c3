//! Whether a caller may: identity → assertions → access → limit, in one place for every entrance.

mod access;
mod shared;
mod spend;

use std::sync::Arc;
use std::time::Duration;

use action::{AgentId, CollectionId, Tier};
use fault::{Failure, reason};
use proto::management::v1::{Agent, Collection};
use quota::{Admitted, Quota, Receipt, UsageKind, Window};

use crate::config::Settings;
use crate::{Caller, Changes, Identity, Peers};
use access::{Access, Thing};

pub use spend::{NotAdmitted, Spend, estimate_tokens};

/// How long answers of management are relied on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmissionConfig {
    /// `ORCHESTRATOR_VALIDATION_CACHE_TTL`: how long a granted access is remembered in Redis, and stands while management
    /// cannot be asked.
    pub keep: Duration,
    /// After which time a granted access is checked again when it is used while changes are not heard of.
    pub fresh: Duration,
    /// The same while changes are heard of ([`Changes::connected`]): a deactivated agent stops answering at once then.
    pub held: Duration,
    /// How long a refused access stays refused, unless a change is heard of.
    pub negative: Duration,
}

impl Default for AdmissionConfig {
    fn default() -> Self {
        Self {
            keep: Duration::from_mins(5),
            fresh: Duration::from_secs(5),
            held: Duration::from_mins(1),
            negative: Duration::from_secs(2),
        }
    }
}

impl AdmissionConfig {
    /// Reads the settings.
    pub fn read(settings: &mut Settings) -> Self {
        let keep = settings.get("ORCHESTRATOR_VALIDATION_CACHE_TTL", Self::default().keep);
        Self { keep, ..Self::default() }
    }
}

/// Tells whether an agent can be used at a tier.
pub fn may_use(agent: &Agent, tier: Tier) -> bool {
    Thing::refusal(agent, tier).is_none()
}

/// Decides about access and limits. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Admission {
    quota: Quota,
    agents: Access<Agent>,
    collections: Access<Collection>,
}

impl Admission {
    /// Makes the component; access is asked of management through `peers` and remembered here and in Redis.
    pub(crate) fn new(
        quota: Quota,
        peers: &Peers,
        changes: &Changes,
        redis: &broker::Redis,
        config: &AdmissionConfig,
    ) -> Self {
        // Without a time to be kept for, nothing is kept.
        let redis = Some(redis.clone()).filter(|_| !config.keep.is_zero());
        Self {
            quota,
            agents: Access::new(peers.clone(), changes.clone(), redis.clone(), config),
            collections: Access::new(peers.clone(), changes.clone(), redis, config),
        }
    }

    /// Charges a request to the caller's tenant, unless it was charged where the call came in; then nothing is returned.
    /// Fails with `RATE_LIMIT_EXCEEDED`, which costs nothing, or `BROKER_UNAVAILABLE`.
    pub async fn admit(&self, caller: &Caller, spend: impl Into<Spend>) -> Result<Option<Admitted>, NotAdmitted> {
        let charge = spend.into().charge(caller)?;
        // Only a service may say that the limits were charged.
        if caller.admitted && caller.service.is_some() {
            return Ok(None);
        }
        Ok(Some(self.quota.admit(charge).await?))
    }

    /// Returns how the limits of its own of an agent stand, and charges nothing.
    pub async fn agent_status(&self, caller: &Caller, agent: &Agent) -> Result<Vec<Window>, quota::Error> {
        let Ok(charge) = Spend::from(UsageKind::Agent).of_agent(agent).charge(caller) else { return Ok(Vec::new()) };
        self.quota.agent_status(&charge).await
    }

    /// Takes a charge back after somebody else refused the request. Not while there is doubt that they did
    /// ([`Failure::leaves_doubt`]): the task would go on without being counted.
    pub async fn refund(&self, receipt: &Receipt) {
        if let Err(error) = self.quota.refund(receipt).await {
            tracing::warn!(%error, "a charge was not taken back");
        }
    }

    /// Returns an agent that the tenant may use. Fails with `ACCESS_DENIED` when there is none of this id, when it is not
    /// active or needs a higher tier, or when the credential is limited to others; with `UNAVAILABLE` when it cannot be
    /// checked.
    pub async fn access_agent(&self, identity: impl Into<Identity>, agent: &AgentId) -> Result<Arc<Agent>, Failure> {
        let identity = identity.into();
        identity.caller().assert_agent(agent)?;
        self.agents.get(identity, agent.as_str()).await
    }

    /// Returns a collection that the tenant may use. Fails with `COLLECTION_NOT_FOUND`, with `ACCESS_DENIED` when the credential is
    /// limited to agents that do not have it, or with `UNAVAILABLE` when it cannot be checked.
    pub async fn access_collection(
        &self,
        identity: impl Into<Identity>,
        collection: &CollectionId,
    ) -> Result<Arc<Collection>, Failure> {
        let identity = identity.into();
        self.assert_collection(&identity, collection).await?;
        self.collections.get(identity, collection.as_str()).await
    }

    /// Checks that a credential which is limited to some agents has a collection by one of them.
    async fn assert_collection(&self, identity: &Identity, collection: &CollectionId) -> Result<(), Failure> {
        for agent in identity.caller().agents.iter().flatten() {
            match self.agents.get(identity.clone(), agent.as_str()).await {
                Ok(agent) if agent.collections.iter().any(|own| own == collection.as_str()) => return Ok(()),
                Err(failure) if failure.is_transient() => return Err(failure),
                Ok(_) | Err(_) => {}
            }
        }
        if identity.caller().agents.is_none() {
            return Ok(());
        }
        let text = "the credential is limited to agents that do not have this collection";
        Err(Failure::new(&reason::ACCESS_DENIED, text).field("collection_id"))
    }
}
