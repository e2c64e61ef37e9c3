//! The identity that services show each other: claims and their HMAC-SHA256, `base64url(claims).base64url(mac)`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fault::{Failure, reason};
use hmac::{Hmac, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;

use super::{Caller, Scopes, Tenant};
use crate::config::Secret;

/// Metadata that carries the identity.
pub const HEADER: &str = "x-nooble-identity";

/// Longest time that a signed identity is accepted; it covers one hop, not one task.
const LONGEST: Duration = Duration::from_mins(1);

/// How far the clocks of two machines may differ.
const SKEW: Duration = Duration::from_secs(5);

/// Signs and verifies identities with the key of the mesh. Cloning is cheap.
#[derive(Clone)]
pub struct Signer {
    mac: Hmac<Sha256>,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tier: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    scopes: Vec<String>,
    /// The only agents that may be used; a service must not widen that by passing the call on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agents: Option<Vec<String>>,
    /// When the credential of the one who called first ends, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    /// Whether the tenant is suspended; a service must not lift that by passing the call on.
    #[serde(default)]
    suspended: bool,
    #[serde(default)]
    admitted: bool,
    service: String,
    /// Milliseconds since 1970.
    expires: u64,
}

impl Signer {
    /// Takes the key that all services of the mesh share.
    pub fn new(key: &Secret) -> Self {
        let mac = Hmac::new_from_slice(key.expose().as_bytes()).expect("HMAC takes keys of any length");
        Self { mac }
    }

    /// Writes the value of [`HEADER`] for a caller, valid for `ttl`, at most a minute.
    pub fn sign(&self, caller: &Caller, ttl: Duration) -> String {
        self.sign_at(caller, SystemTime::now() + ttl.min(LONGEST))
    }

    pub(crate) fn sign_at(&self, caller: &Caller, expires: SystemTime) -> String {
        let claims = Claims {
            tenant: caller.tenant.as_ref().map(|tenant| tenant.id.to_string()),
            tier: caller.tenant.as_ref().map(|tenant| tenant.tier.to_string()),
            user: caller.user.as_ref().map(ToString::to_string),
            scopes: caller.scopes.words(),
            agents: caller.agents.as_ref().map(|agents| agents.iter().map(ToString::to_string).collect()),
            until: caller.expires_at.map(unix_ms),
            suspended: caller.tenant.as_ref().is_some_and(|tenant| !tenant.active),
            admitted: caller.admitted,
            service: caller.service.clone().unwrap_or_default(),
            expires: unix_ms(expires),
        };
        let claims = serde_json::to_vec(&claims).expect("claims are plain strings and numbers");
        let mut text = URL_SAFE_NO_PAD.encode(claims);
        let mac = self.mac.clone().chain_update(text.as_bytes()).finalize().into_bytes();
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(mac, &mut text);
        text
    }

    /// Returns the name that follows from another one, the same in every process of the mesh; nobody else can tell it.
    pub fn name(&self, of: &str) -> Uuid {
        let mac = self.mac.clone().chain_update(b"name\n").chain_update(of).finalize().into_bytes();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&mac[..16]);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// Reads the value of [`HEADER`]. Fails with `IDENTITY_FORGED` unless it was signed with the key and is in force.
    pub fn verify(&self, text: &str) -> Result<Caller, Failure> {
        self.verify_at(text, SystemTime::now())
    }

    pub(crate) fn verify_at(&self, text: &str, now: SystemTime) -> Result<Caller, Failure> {
        let (claims, mac) = text.split_once('.').ok_or_else(forged)?;
        let mac = URL_SAFE_NO_PAD.decode(mac).map_err(|_| forged())?;
        // Compares in constant time.
        self.mac.clone().chain_update(claims.as_bytes()).verify_slice(&mac).map_err(|_| forged())?;
        let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| forged())?;
        let claims: Claims = serde_json::from_slice(&claims).map_err(|_| forged())?;
        let (earliest, latest) = (unix_ms(now - SKEW), unix_ms(now + LONGEST + SKEW));
        if !(earliest..=latest).contains(&claims.expires) {
            return Err(Failure::new(&reason::IDENTITY_FORGED, "the identity is out of date"));
        }
        claims.into_caller().ok_or_else(forged)
    }
}

impl Claims {
    fn into_caller(self) -> Option<Caller> {
        let tenant = match (self.tenant, self.tier) {
            (Some(id), Some(tier)) => {
                Some(Tenant { id: id.parse().ok()?, tier: tier.parse().ok()?, active: !self.suspended })
            }
            (None, None) => None,
            _ => return None,
        };
        let user = self.user.map(|user| user.parse()).transpose().ok()?;
        if self.service.is_empty() {
            return None;
        }
        let scopes = Scopes::parse(self.scopes);
        let agents = self.agents.map(|agents| agents.iter().map(|agent| agent.parse()).collect());
        let agents = agents.transpose().ok()?;
        let expires_at = self.until.map(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms)));
        let expires_at = expires_at.map_or(Some(None), |time| time.map(Some))?;
        let service = Some(self.service);
        Some(Caller { tenant, user, scopes, agents, expires_at, admitted: self.admitted, service })
    }
}

fn forged() -> Failure {
    Failure::new(&reason::IDENTITY_FORGED, "the identity was not signed by this mesh")
}

fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}
