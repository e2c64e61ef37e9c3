//! The one who is on a socket, proved, and what they wanted when they came.

use std::sync::Arc;

use action::{TenantId, Tier, UserId};
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
}

impl Proof {
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
