//! Whether one more socket may be opened: for the tenant and for the user, all processes together. What this process can hold is
//! looked at before, without asking anybody.

use fault::{Failure, Fault as _};
use service_kit::Caller;
use session::connections::{Lease, Most, Occupant};

use super::wanted::Wanted;
use crate::edge::Edge;

/// Counts a socket of a proved caller; it counts until the lease is dropped.
pub(super) async fn lease(edge: &Edge, wanted: &Wanted, caller: &Caller) -> Result<Lease, Failure> {
    let (tenant, tier) = caller.tenant()?;
    let most = Most { tenant: edge.config.connections[tier as usize], user: edge.config.connections_per_user };
    let user = wanted.user.clone().or_else(|| caller.user.clone());
    let who = Occupant { tenant, tier, session: wanted.session.clone(), user };
    edge.connections.take(&who, most).await.map_err(|full| full.failure())
}
