//! Tokens (JWT, RFC 7519) as credentials: signed with a shared secret (HS256), or by an issuer whose public keys are
//! fetched (RS256, ES256, EdDSA).
//!
//! What a token could decide about its own check is not left to it: the key comes from the settings or the issuer's key
//! set, the algorithm from the key. `docs/adr/0015-tokens-on-ring.md` says why this stands on `ring` directly.

mod checked;
mod claims;
mod compact;
mod config;
mod error;
mod jwks;
mod key;
mod mint;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::SystemTime;

use fault::{Failure, Fault as _};

pub use claims::Proof;
pub(crate) use compact::is_token;
pub use config::{JwksConfig, JwtConfig};
pub use mint::{Grant, mint};

use crate::Tasks;
use checked::{Checked, Good, Name};
use compact::Compact;
use error::Error;
use jwks::Jwks;
use key::Key;

/// Longest token that is looked at.
pub(super) const LONGEST: usize = 8 * 1024;

/// Checks tokens. Cloning is cheap.
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    config: JwtConfig,
    secret: Option<Arc<Key>>,
    jwks: Option<Arc<Jwks>>,
    checked: Checked,
}

/// No client for `JWT_JWKS_URL` can be made.
#[derive(Debug, thiserror::Error)]
#[error("no client can be made: {0}")]
pub struct NoClient(#[from] reqwest::Error);

impl Tokens {
    /// Takes the settings. Keys of an issuer are fetched when the first token comes; later fetches run in `tasks`.
    pub fn new(config: &JwtConfig, tasks: &Tasks) -> Result<Self, NoClient> {
        let jwks = config.jwks_url.as_ref().map(|url| Jwks::new(url, config.jwks.clone(), tasks)).transpose()?;
        let secret = config.secret.as_ref().map(|secret| Arc::new(Key::hs256(secret)));
        Ok(Self(Arc::new(Inner {
            config: config.clone(),
            secret,
            jwks: jwks.map(Arc::new),
            checked: Checked::default(),
        })))
    }

    /// Returns what a token proves. Fails with `CREDENTIAL_EXPIRED` when its time is over, with `UNAVAILABLE` when the keys
    /// of its issuer cannot be fetched, with `CREDENTIAL_INVALID` otherwise.
    ///
    /// A signature is checked once as long as its key is in use; whether a token is in force, at each moment in which it is
    /// presented.
    pub async fn verify(&self, token: &str) -> Result<Proof, Failure> {
        self.verify_at(token, SystemTime::now()).await.map_err(|error| error.failure())
    }

    async fn verify_at(&self, token: &str, now: SystemTime) -> Result<Proof, Error> {
        if self.0.secret.is_none() && self.0.jwks.is_none() {
            return Err(Error::NotConfigured);
        }
        if token.len() > LONGEST {
            return Err(Error::Malformed("it is longer than 8 KiB"));
        }
        let name = Name::of(token);
        if let Some(good) = self.0.checked.get(name) {
            if good.proof.expires_at <= now {
                return Err(Error::Expired);
            }
            // The issuer may have withdrawn its key, or not have been heard of for too long.
            if self.key(good.kid.as_deref()).await.is_ok_and(|key| Arc::ptr_eq(&key, &good.key)) {
                return Ok(good.proof.clone());
            }
        }
        let compact = Compact::parse(token)?;
        let key = match self.key(compact.header.kid.as_deref()).await {
            // Refused in any case; what is over is not told to come again, and does not keep a socket open.
            Err(Error::Away) if claims::has_expired(&compact.claims()?, &self.0.config, now) => {
                return Err(Error::Expired);
            }
            key => key?,
        };
        key.verify(&compact.header.algorithm, compact.signed, &compact.signature)?;
        let proof = Proof::read(&compact.claims()?, &self.0.config, now)?;
        self.0.checked.put(name, Good { kid: compact.header.kid, key, proof: proof.clone() });
        Ok(proof)
    }

    /// Returns the key of a token. The id names keys of the issuer's set only; what has none is checked with the secret.
    async fn key(&self, kid: Option<&str>) -> Result<Arc<Key>, Error> {
        match (&self.0.jwks, &self.0.secret) {
            (Some(_), Some(secret)) if kid.is_none() => Ok(Arc::clone(secret)),
            // Fetching keys takes much room, which other tokens need not carry along.
            (Some(jwks), _) => Box::pin(jwks.key(kid)).await,
            (None, secret) => secret.clone().ok_or(Error::NotConfigured),
        }
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("config", &self.0.config).finish_non_exhaustive()
    }
}
