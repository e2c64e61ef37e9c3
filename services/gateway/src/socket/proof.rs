//! What proves who is on a socket, and the one who was proved.

use std::sync::Arc;
use std::time::SystemTime;

use action::{TenantId, Tier};
use fault::{Failure, reason};
use service_kit::Caller;
use tokio::time::Instant;

use super::frames::Addressee;
use super::wanted::Wanted;
use crate::credential::Credential;
use crate::edge::Edge;

/// What proves who is on a socket.
#[derive(Clone, Debug)]
pub(crate) enum Proof {
    /// A credential, resolved anew whenever it matters.
    Credential(Credential),
    /// A ticket that was redeemed: whom it was issued to, believed for a while. What they presented then is not kept.
    Ticket {
        /// Whom the ticket was issued to.
        caller: Arc<Caller>,
        /// How long that is believed.
        until: Instant,
    },
}

impl Proof {
    /// Returns who is there, as far as is known now.
    pub(crate) async fn caller(&self, edge: &Edge) -> Result<Caller, Failure> {
        match self {
            Self::Credential(credential) => edge.resolve(credential).await,
            Self::Ticket { caller, .. } if caller.expires_at.is_some_and(|end| end <= SystemTime::now()) => {
                Err(Failure::new(&reason::CREDENTIAL_EXPIRED, "the credential behind the ticket has expired"))
            }
            Self::Ticket { caller, until } if Instant::now() < *until => Ok(Caller::clone(caller)),
            Self::Ticket { .. } => {
                let text = "the ticket's time is over; send an `auth` frame, or come back with another one";
                Err(Failure::new(&reason::CREDENTIAL_INVALID, text))
            }
        }
    }
}

impl Proof {
    /// Returns when it is to be proved again at the latest.
    pub(super) fn ends(&self, caller: &Caller) -> Option<SystemTime> {
        let believed = match self {
            Self::Credential(_) => None,
            Self::Ticket { until, .. } => Some(SystemTime::now() + until.saturating_duration_since(Instant::now())),
        };
        [believed, caller.expires_at].into_iter().flatten().min()
    }
}

/// The one who is on a socket, proved, and what they wanted when they came. Cloning is cheap enough for every frame.
#[derive(Clone, Debug)]
pub(super) struct Principal {
    pub(super) edge: Edge,
    pub(super) wanted: Arc<Wanted>,
    pub(super) proof: Proof,
    pub(super) addressee: Addressee,
}

impl Principal {
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
