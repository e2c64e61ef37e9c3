//! What a tenant may use, as management says, remembered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use action::{TenantId, Tier};
use ahash::RandomState;
use fault::{Code, Failure, reason};
use futures::future::BoxFuture;
use moka::future::Cache;
use prost::Message;
use proto::management::v1::{Agent, Collection, GetAgentRequest, GetCollectionRequest};
use telemetry::metric::identity::access;
use tonic::Status;

use super::AdmissionConfig;
use super::shared::Shared;
use crate::{Changes, Identity, Peers};

/// Most answers that are remembered.
const CAPACITY: u64 = 10_000;

/// How often an answer that was overtaken by a change is asked for again at once.
const ROUNDS: usize = 3;

/// Something of a tenant's that management knows.
pub(super) trait Thing: Message + Clone + Default + 'static {
    /// Its name in keys.
    const KIND: &'static str;

    /// Asks management.
    fn ask(peers: &Peers, identity: Identity, id: String) -> BoxFuture<'_, Result<Option<Self>, Status>>;

    /// Returns the thing without its long texts, which access is not decided by.
    fn brief(self) -> Self;

    /// Returns why the thing may not be used at a tier, if it may not.
    fn refusal(&self, tier: Tier) -> Option<&'static str>;

    /// Makes the failure of an access that is not granted.
    fn refused(text: &str) -> Failure;
}

/// Accesses of one kind.
///
/// Callers who ask the same at once cause one question. An answer is used without asking for `held` while changes are heard
/// of, for `fresh` while they are not; a change of the tenant's things ends it at once. After that Redis is asked, then
/// management; a granted access stands for `keep` while management gives no answer. Nothing known and no answer is a
/// refusal.
#[derive(Clone)]
pub(super) struct Access<T> {
    peers: Peers,
    changes: Changes,
    config: AdmissionConfig,
    shared: Option<Arc<Shared>>,
    fresh: Cache<Key, Answer<T>, RandomState>,
    kept: Cache<Key, Granted<T>, RandomState>,
}

type Key = (TenantId, String);

#[derive(Clone)]
struct Answer<T> {
    /// None for a refusal.
    granted: Option<Granted<T>>,
    stamp: u64,
    asked: Instant,
}

#[derive(Clone)]
struct Granted<T> {
    thing: Arc<T>,
    /// Number of the tenant's changes before it was asked for.
    stamp: u64,
    /// Until when it stands without management.
    until: Instant,
}

impl<T: Thing> Access<T> {
    pub(super) fn new(peers: Peers, changes: Changes, redis: Option<broker::Redis>, config: &AdmissionConfig) -> Self {
        let longest = config.held.max(config.fresh).max(config.negative);
        Self {
            peers,
            changes,
            shared: redis.map(|redis| Arc::new(Shared::new(redis, config.keep))),
            fresh: cache(longest),
            kept: cache(config.keep),
            config: config.clone(),
        }
    }

    pub(super) async fn get(&self, identity: Identity, id: &str) -> Result<Arc<T>, Failure> {
        let tenant = identity.of_tenant().ok_or_else(|| T::refused("nobody's tenant was named"))?;
        let (key, tier) = ((tenant.id.clone(), id.to_owned()), tenant.tier);
        let granted = self.answer(&identity, &key).await?.granted;
        let granted = granted.ok_or_else(|| T::refused("the tenant has none of this id"))?;
        match granted.thing.refusal(tier) {
            Some(why) => Err(T::refused(why)),
            None => Ok(granted.thing),
        }
    }

    async fn answer(&self, identity: &Identity, key: &Key) -> Result<Answer<T>, Failure> {
        if let Some(answer) = self.fresh.get(key).await {
            if self.holds(key, &answer) {
                return Ok(answer);
            }
            self.fresh.invalidate(key).await;
        }
        // Asking takes much room, which those need not carry along who find an answer.
        Box::pin(self.asked_after_changes(identity, key)).await
    }

    async fn asked_after_changes(&self, identity: &Identity, key: &Key) -> Result<Answer<T>, Failure> {
        for _ in 1..ROUNDS {
            let answer = self.asked(identity, key).await?;
            // What was asked for before a change is no answer to who comes after it.
            if answer.stamp == self.changes.stamp_of(&key.0) {
                return Ok(answer);
            }
            self.fresh.invalidate(key).await;
        }
        self.asked(identity, key).await
    }

    async fn asked(&self, identity: &Identity, key: &Key) -> Result<Answer<T>, Failure> {
        let asking = Box::pin(self.ask(identity.clone(), key.clone()));
        self.fresh.try_get_with(key.clone(), asking).await.map_err(|failure| Failure::clone(&failure))
    }

    fn holds(&self, key: &Key, answer: &Answer<T>) -> bool {
        let AdmissionConfig { keep, fresh, held, negative } = &self.config;
        let most = match (&answer.granted, self.changes.connected()) {
            (None, _) => negative,
            (Some(_), true) => held.max(fresh).min(keep),
            (Some(_), false) => fresh.min(keep),
        };
        // What was read in Redis may have been granted long before.
        let stands = answer.granted.as_ref().is_none_or(|granted| granted.until > Instant::now());
        stands && answer.stamp == self.changes.stamp_of(&key.0) && answer.asked.elapsed() < *most
    }

    async fn ask(&self, identity: Identity, key: Key) -> Result<Answer<T>, Failure> {
        let (stamp, asked) = (self.changes.stamp_of(&key.0), Instant::now());
        let (tenant, id) = &key;
        let known = match &self.shared {
            Some(shared) => shared.get::<T>(tenant, T::KIND, id).await,
            None => None,
        };
        let (thing, version) = known.map_or((None, None), |known| (known.thing, Some(known.version)));
        if let Some((thing, left)) = thing {
            access(T::KIND, "redis");
            let granted = Granted { thing: Arc::new(thing), stamp, until: asked + left };
            self.kept.insert(key, granted.clone()).await;
            return Ok(Answer { granted: Some(granted), stamp, asked });
        }
        match T::ask(&self.peers, identity, id.clone()).await {
            // Management answers for the tenant that asks; what it says is checked all the same.
            Ok(Some(thing)) => {
                access(T::KIND, "management");
                let thing = thing.brief();
                if let (Some(shared), Some(version)) = (&self.shared, version) {
                    shared.put(tenant, T::KIND, id, &thing, version).await;
                }
                let granted = Granted { thing: Arc::new(thing), stamp, until: asked + self.config.keep };
                self.kept.insert(key, granted.clone()).await;
                Ok(Answer { granted: Some(granted), stamp, asked })
            }
            Ok(None) => Ok(self.refuse(&key, stamp, asked).await),
            Err(status) if is_refusal(&status) => Ok(self.refuse(&key, stamp, asked).await),
            Err(status) => {
                tracing::warn!(code = ?status.code(), %tenant, "management does not answer about access");
                let kept = self.kept.get(&key).await.filter(|kept| kept.stamp == stamp && kept.until > asked);
                access(T::KIND, if kept.is_some() { "kept" } else { "nobody" });
                kept.map(|kept| Answer { granted: Some(kept), stamp, asked }).ok_or_else(away)
            }
        }
    }

    async fn refuse(&self, key: &Key, stamp: u64, asked: Instant) -> Answer<T> {
        access(T::KIND, "management");
        self.kept.invalidate(key).await;
        Answer { granted: None, stamp, asked }
    }
}

fn cache<V: Clone + Send + Sync + 'static>(longest: Duration) -> Cache<Key, V, RandomState> {
    Cache::builder().max_capacity(CAPACITY).time_to_live(longest).build_with_hasher(RandomState::new())
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
    const KIND: &'static str = "agent";

    fn ask(peers: &Peers, identity: Identity, agent_id: String) -> BoxFuture<'_, Result<Option<Self>, Status>> {
        Box::pin(async move {
            let request = GetAgentRequest { tenant_id: String::new(), agent_id };
            Ok(peers.management(identity).get_agent(request).await?.into_inner().agent)
        })
    }

    fn brief(self) -> Self {
        Self { system_prompt: String::new(), description: String::new(), ..self }
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
    const KIND: &'static str = "collection";

    fn ask(peers: &Peers, identity: Identity, collection_id: String) -> BoxFuture<'_, Result<Option<Self>, Status>> {
        Box::pin(async move {
            let request = GetCollectionRequest { tenant_id: String::new(), collection_id };
            Ok(peers.management(identity).get_collection(request).await?.into_inner().collection)
        })
    }

    fn brief(self) -> Self {
        Self { description: String::new(), ..self }
    }

    fn refusal(&self, _: Tier) -> Option<&'static str> {
        None
    }

    fn refused(text: &str) -> Failure {
        Failure::new(&reason::COLLECTION_NOT_FOUND, text).field("collection_id")
    }
}
