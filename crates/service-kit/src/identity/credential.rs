//! Credentials from outside: found in the headers, resolved by management, remembered for seconds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fault::{Failure, reason};
use http::{HeaderMap, header};
use moka::Expiry;
use moka::future::Cache;
use proto::management::v1::{ResolveCredentialRequest, ResolveCredentialResponse};
use sha2::{Digest as _, Sha256};

use super::{Caller, Identity, Scopes, Tenant};
use crate::Peers;

/// Longer ones are none of ours.
const LONGEST: usize = 4096;

/// How long an answer of management is remembered.
#[derive(Clone, Debug)]
pub struct ResolverConfig {
    /// Time for which a good credential stays good after it was revoked.
    pub positive: Duration,
    /// Time for which an unknown credential stays unknown after it was made.
    pub negative: Duration,
    /// Most credentials that are remembered.
    pub capacity: u64,
}

impl Default for ResolverConfig {
    fn default() -> Self {
        Self { positive: Duration::from_secs(5), negative: Duration::from_secs(1), capacity: 10_000 }
    }
}

/// Tells who presents a credential. Cloning is cheap.
///
/// Callers who present the same credential at once cause one question; an answer is remembered under the hash of what was
/// presented; when management does not answer, nobody gets in.
#[derive(Clone)]
pub struct Resolver {
    peers: Peers,
    known: Cache<[u8; 32], Answer>,
}

#[derive(Clone)]
enum Answer {
    Known(Arc<Caller>),
    Unknown,
}

impl Resolver {
    /// Makes a resolver that asks management through `peers`.
    pub fn new(peers: Peers, config: &ResolverConfig) -> Self {
        let lifetime = Lifetime { positive: config.positive, negative: config.negative };
        let known = Cache::builder().max_capacity(config.capacity).expire_after(lifetime).build();
        Self { peers, known }
    }

    /// Returns whom a credential belongs to. Fails with `CREDENTIAL_INVALID` or, when management is away, `UNAVAILABLE`.
    pub async fn resolve(&self, credential: &str) -> Result<Caller, Failure> {
        if credential.is_empty() || credential.len() > LONGEST {
            return Err(refused());
        }
        let key: [u8; 32] = Sha256::digest(credential.as_bytes()).into();
        match self.known.try_get_with(key, self.ask(credential)).await {
            Ok(Answer::Known(caller)) => Ok(Caller::clone(&caller)),
            Ok(Answer::Unknown) => Err(refused()),
            Err(failure) => Err(Failure::clone(&failure)),
        }
    }

    async fn ask(&self, credential: &str) -> Result<Answer, Failure> {
        let request = ResolveCredentialRequest { credential: credential.to_owned() };
        let mut management = self.peers.management(Identity::service());
        let status = match management.resolve_credential(request).await {
            Ok(response) => return Ok(Answer::Known(Arc::new(read(response.into_inner())?))),
            Err(status) => status,
        };
        match status.code() {
            tonic::Code::Unauthenticated | tonic::Code::NotFound | tonic::Code::InvalidArgument
                if Failure::from_status(&status).reason() != &reason::IDENTITY_FORGED =>
            {
                Ok(Answer::Unknown)
            }
            code => {
                tracing::warn!(?code, "management does not resolve credentials");
                Err(away())
            }
        }
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("remembered", &self.known.entry_count()).finish_non_exhaustive()
    }
}

/// Returns the credential that a request presents, if any: `authorization: Bearer <credential>` or
/// `x-api-key: <credential>`. Fails with `CREDENTIAL_INVALID` when the headers contradict each other or are malformed.
pub fn presented(headers: &HeaderMap) -> Result<Option<&str>, Failure> {
    let bearers = headers.get_all(header::AUTHORIZATION).iter().map(|value| bearer(value.to_str().ok()?));
    let keys = headers.get_all("x-api-key").iter().map(|value| value.to_str().ok().map(str::trim));
    let mut found = None;
    for credential in bearers.chain(keys) {
        let credential = credential.filter(|text| !text.is_empty()).ok_or_else(refused)?;
        if found.is_some_and(|earlier| earlier != credential) {
            return Err(Failure::new(&reason::CREDENTIAL_INVALID, "two different credentials were presented"));
        }
        found = Some(credential);
    }
    Ok(found)
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, credential) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| credential.trim())
}

fn read(response: ResolveCredentialResponse) -> Result<Caller, Failure> {
    let malformed = |_| Failure::internal();
    let tenant = response.tenant.map(|tenant| {
        let id = tenant.tenant_id.parse().map_err(malformed)?;
        let tier = action::Tier::from_proto(tenant.tier).map_err(malformed)?;
        Ok::<_, Failure>(Tenant { id, tier, active: tenant.is_active })
    });
    Ok(Caller { tenant: tenant.transpose()?, scopes: Scopes::parse(response.scopes), ..Caller::default() })
}

fn refused() -> Failure {
    Failure::new(&reason::CREDENTIAL_INVALID, "the credential is malformed, unknown or revoked")
}

fn away() -> Failure {
    Failure::new(&reason::UNAVAILABLE, "credentials cannot be checked at the moment")
        .retry_after(Duration::from_secs(1))
}

/// Good answers are kept longer than bad ones.
struct Lifetime {
    positive: Duration,
    negative: Duration,
}

impl Expiry<[u8; 32], Answer> for Lifetime {
    fn expire_after_create(&self, _: &[u8; 32], answer: &Answer, _: Instant) -> Option<Duration> {
        Some(match answer {
            Answer::Known(_) => self.positive,
            Answer::Unknown => self.negative,
        })
    }
}
