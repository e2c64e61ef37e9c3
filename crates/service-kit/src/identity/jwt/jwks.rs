//! The public keys of an issuer, fetched from its `JWT_JWKS_URL`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use moka::future::Cache;
use reqwest::redirect;
use serde::Deserialize;
use serde_json::Value;

use super::JwksConfig;
use super::error::Error;
use super::key::{Jwk, Key};
use crate::Tasks;

/// Most keys that are kept; an issuer has two or three.
const MOST_KEYS: usize = 64;
/// Most bytes of a key set.
const LONGEST_SET: usize = 256 * 1024;
/// Most key ids that are remembered as unknown.
const MOST_UNKNOWN: u64 = 10_000;
const CONNECT: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(5);

/// Fetches and keeps keys.
///
/// Whatever is presented, there is at most one fetch at a time and one in a cooldown. Keys that are due are fetched again
/// beside the work, so that nobody waits for it; while the issuer is away they are used on, up to a bound.
pub(super) struct Jwks {
    url: String,
    http: reqwest::Client,
    config: JwksConfig,
    state: Mutex<State>,
    fetching: tokio::sync::Mutex<()>,
    unknown: Cache<String, ()>,
    tasks: Tasks,
}

#[derive(Default)]
struct State {
    keys: Vec<(Option<String>, Arc<Key>)>,
    /// When the keys were fetched.
    fetched: Option<Instant>,
    /// When the last fetch began, whatever came of it.
    tried: Option<Instant>,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

/// Why a fetch brought nothing.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("no answer: {0}")]
    Http(#[from] reqwest::Error),
    #[error("status {0}")]
    Status(reqwest::StatusCode),
    #[error("the answer is too large")]
    TooLarge,
    #[error("the answer is no key set: {0}")]
    NotKeys(#[from] serde_json::Error),
}

impl Jwks {
    /// Takes the address; connects when a key is needed.
    pub(super) fn new(url: &http::Uri, config: JwksConfig, tasks: &Tasks) -> Result<Self, reqwest::Error> {
        // Fails only if another part of the process has installed a provider already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .timeout(PATIENCE)
            // Where keys come from is decided by the settings alone.
            .redirect(redirect::Policy::none())
            .user_agent(concat!("nooble/", env!("CARGO_PKG_VERSION")));
        // Plain HTTP is for the loopback: it must work on a machine without certificates, and past any proxy.
        let plain = url.scheme_str() == Some("http");
        let builder = if plain { builder.tls_certs_only([]).no_proxy() } else { builder };
        Ok(Self {
            url: url.to_string(),
            http: builder.build()?,
            unknown: Cache::builder().max_capacity(MOST_UNKNOWN).time_to_live(config.negative).build(),
            config,
            state: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
            tasks: tasks.clone(),
        })
    }

    /// Returns the key of an id; without an id, the only key there is.
    pub(super) async fn key(self: &Arc<Self>, kid: Option<&str>) -> Result<Arc<Key>, Error> {
        if let Some((key, due)) = self.find(kid) {
            if due {
                self.fetch_beside();
            }
            return Ok(key);
        }
        let name = kid.unwrap_or_default();
        if self.unknown.contains_key(name) {
            return Err(Error::UnknownKey);
        }
        let asked = Instant::now();
        let one = self.fetching.lock().await;
        self.fetch_if_cool().await;
        drop(one);
        if let Some((key, _)) = self.find(kid) {
            return Ok(key);
        }
        let (fetched, usable, in_vain) = {
            let state = self.state();
            (state.fetched, state.usable(&self.config), state.fetched < state.tried)
        };
        // Asked in vain, nobody knows whether the issuer has it by now.
        if !usable || in_vain {
            return Err(Error::Away);
        }
        // Within the cooldown nobody was asked: the issuer may have it by now.
        if fetched.is_some_and(|fetched| fetched >= asked) {
            self.unknown.insert(name.to_owned(), ()).await;
        }
        Err(Error::UnknownKey)
    }

    /// Returns a key that may be used, and whether it is due to be fetched again.
    fn find(&self, kid: Option<&str>) -> Option<(Arc<Key>, bool)> {
        let state = self.state();
        if !state.usable(&self.config) {
            return None;
        }
        let key = match kid {
            Some(kid) => state.keys.iter().find(|(name, _)| name.as_deref() == Some(kid)).map(|(_, key)| key),
            None => state.keys.first().filter(|_| state.keys.len() == 1).map(|(_, key)| key),
        };
        let due = state.fetched.is_none_or(|fetched| fetched.elapsed() >= self.config.refresh);
        key.map(|key| (Arc::clone(key), due))
    }

    fn fetch_beside(self: &Arc<Self>) {
        if !self.is_cool() {
            return;
        }
        let jwks = Arc::clone(self);
        self.tasks.spawn(async move {
            let Ok(_one) = jwks.fetching.try_lock() else { return };
            jwks.fetch_if_cool().await;
        });
    }

    fn is_cool(&self) -> bool {
        self.state().tried.is_none_or(|tried| tried.elapsed() >= self.config.cooldown)
    }

    /// To be called by the one who holds the lock.
    async fn fetch_if_cool(&self) {
        if !self.is_cool() {
            return;
        }
        self.state().tried = Some(Instant::now());
        match self.fetch().await {
            Ok(keys) => {
                tracing::debug!(keys = keys.len(), "keys of the issuer fetched");
                telemetry::metric::identity::keys_fetched("fetched");
                let mut state = self.state();
                state.keys = keys;
                state.fetched = Some(Instant::now());
            }
            Err(trouble) => {
                tracing::warn!(%trouble, "the keys of JWT_JWKS_URL cannot be fetched");
                telemetry::metric::identity::keys_fetched("failed");
            }
        }
    }

    async fn fetch(&self) -> Result<Vec<(Option<String>, Arc<Key>)>, Trouble> {
        let mut response = self.http.get(&self.url).header("accept", "application/json").send().await?;
        if !response.status().is_success() {
            return Err(Trouble::Status(response.status()));
        }
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await? {
            if body.len() + piece.len() > LONGEST_SET {
                return Err(Trouble::TooLarge);
            }
            body.extend_from_slice(&piece);
        }
        let set: KeySet = serde_json::from_slice(&body)?;
        let named = set.keys.len();
        // A key of a kind that is not served stands beside others that are.
        let jwks = set.keys.into_iter().filter_map(|value| serde_json::from_value::<Jwk>(value).ok());
        let usable = jwks.filter_map(|jwk| Some((jwk.kid.clone(), Arc::new(jwk.key()?))));
        let keys: Vec<_> = usable.take(MOST_KEYS).collect();
        if keys.is_empty() && named > 0 {
            tracing::warn!(named, "none of the keys of JWT_JWKS_URL verifies RS256, ES256 or EdDSA");
        }
        Ok(keys)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn usable(&self, config: &JwksConfig) -> bool {
        self.fetched.is_some_and(|fetched| fetched.elapsed() < config.stale.max(config.refresh))
    }
}
