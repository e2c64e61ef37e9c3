//! Credentials from outside: found in the headers; a key is resolved by management, a token is checked here; what management
//! says is remembered for seconds.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use action::TenantId;
use fault::{Failure, Reason, reason};
use http::{HeaderMap, header};
use proto::management::v1 as wire;
use proto::management::v1::{GetTenantRequest, ResolveCredentialRequest, ResolveCredentialResponse};
use sha2::{Digest as _, Sha256};
use tonic::{Code, Status};

use super::caller::expired;
use super::jwt::{self, Tokens};
use super::memory::{Answer, Memory};
use super::{Caller, Identity, Scopes, Tenant};
use crate::{Changes, Peers};

/// Longer ones are none of ours.
const LONGEST: usize = jwt::LONGEST;

/// How long an answer of management is remembered.
#[derive(Clone, Debug)]
pub struct ResolverConfig {
    /// Time for which a good credential stays good after it was revoked, while changes are not heard of.
    pub positive: Duration,
    /// The same while changes are heard of ([`Changes::connected`]): then a revoked credential is refused at once.
    pub held: Duration,
    /// Time for which an unknown credential stays unknown after it was made.
    pub negative: Duration,
    /// Most credentials that are remembered.
    pub capacity: u64,
}

impl Default for ResolverConfig {
    fn default() -> Self {
        Self {
            positive: Duration::from_secs(5),
            held: Duration::from_mins(1),
            negative: Duration::from_secs(1),
            capacity: 10_000,
        }
    }
}

/// Tells who presents a credential. Cloning is cheap.
///
/// Callers who present the same credential at once cause one question; an answer is remembered under the hash of what was
/// presented; when management does not answer, nobody gets in. A token is checked whenever it comes; what is remembered is
/// the record of its tenant.
#[derive(Clone)]
pub struct Resolver {
    peers: Peers,
    tokens: Tokens,
    changes: Changes,
    known: Memory<[u8; 32], Caller>,
    tenants: Memory<TenantId, Tenant>,
}

impl Resolver {
    /// Makes a resolver that asks management through `peers` and checks tokens with `tokens`.
    pub fn new(peers: Peers, tokens: Tokens, changes: Changes, config: &ResolverConfig) -> Self {
        let (known, tenants) = (Memory::new(&changes, config), Memory::new(&changes, config));
        Self { peers, tokens, changes, known, tenants }
    }

    /// Returns whom a credential belongs to. Fails with `CREDENTIAL_INVALID`, `CREDENTIAL_EXPIRED`, `TIER_MISMATCH` for a
    /// token that says something else than its tenant's record, or, when it cannot be checked, `UNAVAILABLE`.
    pub async fn resolve(&self, credential: &str) -> Result<Caller, Failure> {
        let is_token = jwt::is_token(credential);
        let resolved = self.resolve_uncounted(credential, is_token).await;
        let outcome = match &resolved {
            Ok(_) => "accepted",
            Err(failure) if failure.is_transient() => "unavailable",
            Err(failure) if failure.reason() == &reason::CREDENTIAL_EXPIRED => "expired",
            Err(_) => "refused",
        };
        let kind = if is_token { "token" } else { "key" };
        telemetry::metric::identity::presented(kind, outcome);
        resolved
    }

    /// Like [`Resolver::resolve`], for a credential that was presented before and is not presented again.
    pub(super) async fn resolve_again(&self, credential: &str) -> Result<Caller, Failure> {
        self.resolve_uncounted(credential, jwt::is_token(credential)).await
    }

    /// Returns what tells when what is remembered may be wrong.
    pub(super) fn changes(&self) -> &Changes {
        &self.changes
    }

    async fn resolve_uncounted(&self, credential: &str, is_token: bool) -> Result<Caller, Failure> {
        if credential.is_empty() || credential.len() > LONGEST {
            return Err(refused());
        }
        if is_token {
            return self.token(credential).await;
        }
        let key: [u8; 32] = Sha256::digest(credential.as_bytes()).into();
        let stamp = || self.changes.stamp_of_keys();
        match self.known.get(key, stamp, || Box::pin(self.ask(credential))).await {
            Ok(Answer::Known(caller)) => caller.in_force(SystemTime::now()).map(|()| Caller::clone(&caller)),
            Ok(Answer::Refused(reason)) if reason == &reason::CREDENTIAL_EXPIRED => Err(expired()),
            Ok(Answer::Refused(_)) => Err(refused()),
            Err(failure) => Err(failure),
        }
    }

    /// Returns who presents a token, as the record of its tenant says.
    async fn token(&self, token: &str) -> Result<Caller, Failure> {
        let proof = self.tokens.verify(token).await?;
        let stamp = || self.changes.stamp_of(&proof.tenant);
        let asking = || self.ask_tenant(proof.tenant.clone());
        let tenant = match self.tenants.get(proof.tenant.clone(), stamp, asking).await {
            Ok(Answer::Known(tenant)) => Tenant::clone(&tenant),
            Ok(Answer::Refused(_)) => {
                let text = "the token's tenant does not exist";
                return Err(Failure::new(&reason::CREDENTIAL_INVALID, text).with("claim", "tenant"));
            }
            Err(failure) => return Err(failure),
        };
        let caller = Caller {
            tenant: Some(tenant),
            user: proof.user,
            scopes: proof.scopes,
            agents: proof.agents,
            expires_at: Some(proof.expires_at),
            ..Caller::default()
        };
        proof.tier.map_or(Ok(()), |tier| caller.assert_tier(tier, "tier"))?;
        Ok(caller)
    }

    async fn ask(&self, credential: &str) -> Result<Answer<Caller>, Failure> {
        let request = ResolveCredentialRequest { credential: credential.to_owned() };
        let mut management = self.peers.management(Identity::service());
        match management.resolve_credential(request).await {
            Ok(response) => read(response.into_inner()).map(|caller| Answer::Known(Arc::new(caller))),
            Err(status) => judge(&status).map(Answer::Refused),
        }
    }

    async fn ask_tenant(&self, tenant: TenantId) -> Result<Answer<Tenant>, Failure> {
        let request = GetTenantRequest { tenant_id: tenant.to_string() };
        let mut management = self.peers.management(Identity::service());
        match management.get_tenant(request).await {
            Ok(response) => {
                let record = read_tenant(&response.into_inner().tenant.unwrap_or_default())?;
                // Management answers about the tenant that was named; another one would be let in.
                if record.id == tenant { Ok(Answer::Known(Arc::new(record))) } else { Err(Failure::internal()) }
            }
            Err(status) => judge(&status).map(Answer::Refused),
        }
    }
}

/// Tells why management says no; fails when it says nothing.
fn judge(status: &Status) -> Result<&'static Reason, Failure> {
    let reason = Failure::from_status(status).reason();
    match status.code() {
        Code::Unauthenticated | Code::NotFound | Code::InvalidArgument if reason != &reason::IDENTITY_FORGED => {
            Ok(reason)
        }
        code => {
            tracing::warn!(?code, "management does not resolve credentials");
            Err(away())
        }
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
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
    let tenant = response.tenant.as_ref().map(read_tenant).transpose()?;
    let expires_at = response.expires_at.map(action::time::from_proto);
    Ok(Caller { tenant, scopes: Scopes::parse(response.scopes), expires_at, ..Caller::default() })
}

fn read_tenant(tenant: &wire::Tenant) -> Result<Tenant, Failure> {
    let malformed = |_: action::Error| Failure::internal();
    let id = tenant.tenant_id.parse().map_err(malformed)?;
    let tier = action::Tier::from_proto(tenant.tier).map_err(malformed)?;
    Ok(Tenant { id, tier, active: tenant.is_active })
}

fn refused() -> Failure {
    Failure::new(&reason::CREDENTIAL_INVALID, "the credential is malformed, unknown or revoked")
}

fn away() -> Failure {
    Failure::new(&reason::UNAVAILABLE, "credentials cannot be checked at the moment")
        .retry_after(Duration::from_secs(1))
}
