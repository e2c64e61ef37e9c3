//! Decides whether a request that says it may come again came before, and what it was answered.
//!
//! | key | type | lives | holds |
//! |---|---|---|---|
//! | `idempotency:{tenant}:{hash of route and key}` | hash | the lease while it runs, then a day | `print` of the body, `holder`, `answer` |
//!
//! # What always holds
//!
//! * Of requests with the same key at once, one runs; the others are told that it does.
//! * A request that ran is answered again as it was, byte for byte, for a day; one with the same key and another body never.
//! * Whoever runs a request renews its lease. When it dies, the next one with the same key runs after the lease, and is given
//!   the same id for what it makes: whether the first one came through or not, one thing is made.
//! * That id follows from tenant, route, key and body (as far as it was known before it ran), so that it outlives this memory.
//! * Keys of different tenants and routes have nothing to do with each other.

mod error;

use std::sync::Arc;
use std::time::Duration;

use action::TenantId;
use broker::Script;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

pub use error::Error;

/// How long things are remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long a request counts as running without a word of who runs it.
    pub lease: Duration,
    /// How long an answer is given again.
    pub keep: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { lease: Duration::from_secs(10), keep: Duration::from_hours(24) }
    }
}

/// Remembers requests. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Idempotency {
    redis: broker::Redis,
    config: Config,
    scripts: Arc<Scripts>,
}

#[derive(Debug)]
struct Scripts {
    begin: Script,
    renew: Script,
    end: Script,
}

/// What a request turns out to be.
#[derive(Debug)]
pub enum Begun {
    /// It shall run.
    First(Lease),
    /// It ran, and was answered like this.
    Again {
        /// The answer.
        answer: Vec<u8>,
        /// Print of its body.
        print: Vec<u8>,
        /// The id for what it made.
        id: Uuid,
    },
    /// It runs somewhere.
    Running,
    /// The key belongs to a request with another body.
    Other,
}

/// The right to run a request, until it is finished or let go.
#[derive(Debug)]
pub struct Lease {
    memory: Idempotency,
    key: String,
    holder: String,
    id: Uuid,
}

impl Idempotency {
    /// Takes the server that remembers.
    pub fn new(redis: broker::Redis, config: Config) -> Self {
        let scripts = Scripts {
            begin: Script::new("idempotency_begin", include_str!("begin.lua")),
            renew: Script::new("idempotency_renew", include_str!("renew.lua")),
            end: Script::new("idempotency_end", include_str!("end.lua")),
        };
        Self { redis, config, scripts: Arc::new(scripts) }
    }

    /// Begins a request of a tenant to a route, with its key and the print of its body. The print of a body that is yet to come
    /// is none; it is told when the request is finished, and whoever repeats it compares on its own.
    pub async fn begin(
        &self,
        tenant: &TenantId,
        route: &str,
        key: &str,
        print: Option<&[u8; 32]>,
    ) -> Result<Begun, Error> {
        let id = id(tenant, route, key, print);
        let key = self.name(tenant, route, key);
        let holder = Uuid::new_v4().to_string();
        let print = print.map(|print| print.to_vec()).unwrap_or_default();
        let arguments = [print, holder.clone().into_bytes(), ms(self.config.lease)];
        let (state, data, print): (String, Vec<u8>, Vec<u8>) =
            self.redis.run(&self.scripts.begin, &[&key], &arguments).await?;
        Ok(match state.as_str() {
            "first" => Begun::First(Lease { memory: self.clone(), key, holder, id }),
            "again" => Begun::Again { answer: data, print, id },
            "running" => Begun::Running,
            "other" => Begun::Other,
            _ => return Err(Error::Malformed),
        })
    }

    fn name(&self, tenant: &TenantId, route: &str, key: &str) -> String {
        let hash = digest(&[route.as_bytes(), key.as_bytes()]).simple();
        if self.redis.is_cluster() {
            format!("idempotency:{{{tenant}}}:{hash}")
        } else {
            format!("idempotency:{tenant}:{hash}")
        }
    }
}

impl Lease {
    /// Returns the id for what the request makes, the same for every run under this key.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Renews the lease until the returned future is dropped, or another one has it.
    pub async fn keep(&self) {
        loop {
            tokio::time::sleep(self.memory.config.lease / 3).await;
            let arguments = [self.holder.clone().into_bytes(), ms(self.memory.config.lease)];
            match self.memory.redis.run::<i64>(&self.memory.scripts.renew, &[&self.key], &arguments).await {
                Ok(1) => {}
                Ok(_) => return tracing::warn!("the lease of a request was lost"),
                Err(error) => tracing::debug!(%error, "the lease of a request was not renewed"),
            }
        }
    }

    /// Remembers the answer, and the print of a body that was not known before.
    pub async fn finish(self, answer: &[u8], print: Option<&[u8; 32]>) -> Result<(), Error> {
        self.end(answer.to_vec(), print.map(|print| print.to_vec()).unwrap_or_default()).await
    }

    /// Lets go: nothing was made, or nobody knows. The next one with the key runs, with the same id.
    pub async fn release(self) -> Result<(), Error> {
        self.end(Vec::new(), Vec::new()).await
    }

    async fn end(self, answer: Vec<u8>, print: Vec<u8>) -> Result<(), Error> {
        let arguments = [self.holder.into_bytes(), answer, ms(self.memory.config.keep), print];
        let ended: i64 = self.memory.redis.run(&self.memory.scripts.end, &[&self.key], &arguments).await?;
        if ended == 1 { Ok(()) } else { Err(Error::Lost) }
    }
}

/// Returns the id for what a request makes.
fn id(tenant: &TenantId, route: &str, key: &str, print: Option<&[u8; 32]>) -> Uuid {
    let print = print.map(<[u8; 32]>::as_slice).unwrap_or_default();
    let digest = digest(&[tenant.as_str().as_bytes(), route.as_bytes(), key.as_bytes(), print]);
    uuid::Builder::from_custom_bytes(digest.into_bytes()).into_uuid()
}

fn digest(parts: &[&[u8]]) -> Uuid {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    Uuid::from_slice(&hash.finalize()[..16]).unwrap_or_default()
}

fn ms(duration: Duration) -> Vec<u8> {
    duration.as_millis().to_string().into_bytes()
}
