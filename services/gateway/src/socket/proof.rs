//! The one who is on a socket, proved, and what they wanted when they came.

use std::collections::BTreeSet;
use std::sync::Arc;

use action::{AgentId, TenantId, Tier, UserId};
use fault::Failure;
use service_kit::Caller;

use super::frames::Addressee;
use super::wanted::Wanted;
use crate::credential::Credential;
use crate::edge::Edge;

/// What proves who is on a socket; resolved anew whenever it matters.
#[derive(Clone, Debug)]
pub(super) struct Proof {
    pub(super) credential: Credential,
    /// The person who the socket was proved to be of, by a ticket or by a credential: it stays theirs, whatever credential comes later.
    pub(super) user: Option<UserId>,
    /// The only agents that the credential reached when it was proved.
    pub(super) agents: Option<Arc<BTreeSet<AgentId>>>,
}

impl Proof {
    /// Takes a credential before it is proved, and the person who it must be of, if that is known.
    pub(super) fn by(credential: Credential, user: Option<UserId>) -> Self {
        Self { credential, user, agents: None }
    }

    /// Notes who was proved.
    pub(super) fn of(self, caller: &Caller) -> Self {
        Self { credential: self.credential, user: caller.user.clone(), agents: caller.agents.clone().map(Arc::new) }
    }

    /// Tells whether it reaches less than another one did, or may.
    pub(super) fn is_narrower(&self, before: &Self) -> bool {
        let user = self.user.is_some() && self.user != before.user;
        user || (self.agents.is_some() && self.agents != before.agents)
    }

    /// Returns who is there, as far as is known now.
    pub(super) async fn caller(&self, edge: &Edge) -> Result<Caller, Failure> {
        let caller = edge.resolve(&self.credential).await?;
        let user = caller.assert_user(self.user.clone(), "user_id")?;
        Ok(Caller { user, ..caller })
    }
}

/// See the module. Cloning is cheap enough for every frame.
#[derive(Clone, Debug)]
pub(super) struct Principal {
    pub(super) edge: Edge,
    pub(super) wanted: Arc<Wanted>,
    pub(super) proof: Proof,
    pub(super) addressee: Addressee,
}

impl Principal {
    /// Returns who is there, as far as is known now.
    pub(super) async fn caller(&self) -> Result<Caller, Failure> {
        self.proof.caller(&self.edge).await
    }

    /// Makes sure again who is there, and that it fits what was asserted.
    pub(super) async fn prove(&self) -> Result<Caller, Failure> {
        prove(&self.edge, &self.wanted, &self.proof).await.map(|(caller, _, _)| caller)
    }
}

/// Returns who is there, if it fits what is wanted.
pub(super) async fn prove(edge: &Edge, wanted: &Wanted, proof: &Proof) -> Result<(Caller, TenantId, Tier), Failure> {
    let caller = proof.caller(edge).await?;
    let (tenant, tier) = wanted.check(edge, &caller).await?;
    Ok((caller, tenant, tier))
}
