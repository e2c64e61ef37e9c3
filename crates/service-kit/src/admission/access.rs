//! What a tenant may use, as management says, remembered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use action::{TenantId, Tier};
use fault::{Code, Failure, reason};
use futures::future::BoxFuture;
use moka::Expiry;
use moka::future::Cache;
use proto::management::v1::{Agent, Collection, GetAgentRequest, GetCollectionRequest};
use tonic::Status;

use super::AdmissionConfig;
use crate::{Identity, Peers};

/// Most answers that are remembered.
const CAPACITY: u64 = 10_000;

/// Something of a tenant's that management knows.
pub(super) trait Thing: Clone + Send + Sync + Sized + 'static {
    /// Asks management.
    fn ask(peers: &Peers, identity: Identity, id: String) -> BoxFuture<'_, Result<Option<Self>, Status>>;

    /// Returns why the thing may not be used at a tier, if it may not.
    fn refusal(&self, tier: Tier) -> Option<&'static str>;

    /// Makes the failure of an access that is not granted.
    fn refused(text: &str) -> Failure;
}

/// Accesses of one kind.
///
/// Callers who ask the same at once cause one question. A granted access is used for `fresh` without asking; after that it
/// is asked again, and stands until `keep` only while management gives no answer. Nothing known and no answer is a refusal.
#[derive(Clone)]
pub(super) struct Access<T> {
    peers: Peers,
    fresh: Cache<Key, Answer<T>>,
    kept: Cache<Key, Arc<T>>,
}

type Key = (TenantId, String);

#[derive(Clone)]
enum Answer<T> {
    Granted(Arc<T>),
    Refused,
}

impl<T: Thing> Access<T> {
    pub(super) fn new(peers: Peers, config: &AdmissionConfig) -> Self {
        let lifetime = Lifetime { granted: config.fresh.min(config.keep), refused: config.negative };
        let fresh = Cache::builder().max_capacity(CAPACITY).expire_after(lifetime).build();
        let kept = Cache::builder().max_capacity(CAPACITY).time_to_live(config.keep).build();
        Self { peers, fresh, kept }
    }

    pub(super) async fn get(&self, identity: Identity, id: &str) -> Result<Arc<T>, Failure> {
        let tenant = identity.of_tenant().ok_or_else(|| T::refused("nobody's tenant was named"))?;
        let (key, tier) = ((tenant.id.clone(), id.to_owned()), tenant.tier);
        let asking = self.ask(identity, key.clone());
        let granted = match self.fresh.try_get_with(key, asking).await {
            Ok(Answer::Granted(thing)) => thing,
            Ok(Answer::Refused) => return Err(T::refused("the tenant has none of this id")),
            Err(failure) => return Err(Failure::clone(&failure)),
        };
        match granted.refusal(tier) {
            Some(why) => Err(T::refused(why)),
            None => Ok(granted),
        }
    }

    async fn ask(&self, identity: Identity, key: Key) -> Result<Answer<T>, Failure> {
        let (tenant, id) = key.clone();
        match T::ask(&self.peers, identity, id).await {
            // Management answers for the tenant that asks; what it says is checked all the same.
            Ok(Some(thing)) => {
                let thing = Arc::new(thing);
                self.kept.insert(key, Arc::clone(&thing)).await;
                Ok(Answer::Granted(thing))
            }
            Ok(None) => {
                self.kept.invalidate(&key).await;
                Ok(Answer::Refused)
            }
            Err(status) if is_refusal(&status) => {
                self.kept.invalidate(&key).await;
                Ok(Answer::Refused)
            }
            Err(status) => {
                tracing::warn!(code = ?status.code(), %tenant, "management does not answer about access");
                let kept = self.kept.get(&key).await;
                kept.map(Answer::Granted).ok_or_else(away)
            }
        }
    }
}

impl<T> std::fmt::Debug for Access<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

/// Management knows and says no; anything else is no answer.
fn is_refusal(status: &Status) -> bool {
    matches!(Code::from_grpc(status.code()), Code::NotFound | Code::PermissionDenied | Code::InvalidArgument)
}

fn away() -> Failure {
    Failure::new(&reason::UNAVAILABLE, "access cannot be checked at the moment").retry_after(Duration::from_secs(1))
}

impl Thing for Agent {
    fn ask(peers: &Peers, identity: Identity, agent_id: String) -> BoxFuture<'_, Result<Option<Self>, Status>> {
        Box::pin(async move {
            let request = GetAgentRequest { tenant_id: String::new(), agent_id };
            Ok(peers.management(identity).get_agent(request).await?.into_inner().agent)
        })
    }

    fn refusal(&self, tier: Tier) -> Option<&'static str> {
        if !self.is_active {
            return Some("the agent is not active");
        }
        // Unspecified: every tier may use it.
        let minimum = Tier::from_proto(self.minimum_tier).unwrap_or(Tier::Free);
        (tier.priority() > minimum.priority()).then_some("the agent needs a higher tier")
    }

    fn refused(text: &str) -> Failure {
        Failure::new(&reason::ACCESS_DENIED, text).field("agent_id")
    }
}

impl Thing for Collection {
    fn ask(peers: &Peers, identity: Identity, collection_id: String) -> BoxFuture<'_, Result<Option<Self>, Status>> {
        Box::pin(async move {
            let request = GetCollectionRequest { tenant_id: String::new(), collection_id };
            Ok(peers.management(identity).get_collection(request).await?.into_inner().collection)
        })
    }

    fn refusal(&self, _: Tier) -> Option<&'static str> {
        None
    }

    fn refused(text: &str) -> Failure {
        Failure::new(&reason::COLLECTION_NOT_FOUND, text).field("collection_id")
    }
}

/// Granted and refused accesses are relied on for different times.
struct Lifetime {
    granted: Duration,
    refused: Duration,
}

impl<T> Expiry<Key, Answer<T>> for Lifetime {
    fn expire_after_create(&self, _: &Key, answer: &Answer<T>, _: Instant) -> Option<Duration> {
        Some(match answer {
            Answer::Granted(_) => self.granted,
            Answer::Refused => self.refused,
        })
    }
}
