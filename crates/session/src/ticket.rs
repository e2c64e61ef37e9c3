//! Tickets: somebody who has proved who they are gets a word that opens one socket, once and soon.
//!
//! | key | type | lives | holds |
//! |---|---|---|---|
//! | `{ns:<tenant>}:ticket:<SHA-256 of the ticket>` | string | 30 s | what the ticket stands for, sealed with the ticket |
//!
//! A ticket stands for the credential that it was got with: what is revoked meanwhile opens nothing, and a socket of it ends as one
//! of the credential would. Only the hash of a ticket is kept, and what it stands for under a key that follows from it
//! (AES-256-GCM): whoever reads Redis can neither use a ticket nor learn a credential.

use std::fmt;
use std::time::Duration;

use action::{SessionId, TenantId, UserId};
use broker::Redis;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::Error;

/// What every ticket begins with.
const PREFIX: &str = "nbt_";

/// What the key of a ticket's seal is derived with, so that it is another one than its hash.
const SEAL: &[u8] = b"nooble: what a ticket is sealed with\n";

/// What a ticket stands for.
#[derive(Clone, PartialEq, Eq)]
pub struct Grant {
    /// The only session that it opens; any when absent.
    pub session: Option<SessionId>,
    /// Person for whom it is.
    pub user: Option<UserId>,
    /// What its holder proved who they are with.
    pub credential: String,
}

/// Issues and redeems tickets. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Tickets {
    redis: Redis,
}

impl Tickets {
    /// How long a ticket is good for.
    pub const LIFETIME: Duration = Duration::from_secs(30);

    /// Takes the server that keeps the tickets.
    pub fn new(redis: Redis) -> Self {
        Self { redis }
    }

    /// Makes a ticket of a tenant.
    pub async fn issue(&self, tenant: &TenantId, grant: &Grant) -> Result<String, Error> {
        // Two random UUIDs are 244 bits that nobody guesses.
        let ticket = format!("{PREFIX}{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let key = key(tenant, &ticket);
        let mut command = redis::cmd("SET");
        command.arg(&key).arg(grant.sealed(&key, &ticket)?).arg("NX").arg("EX").arg(Self::LIFETIME.as_secs());
        let kept: Option<String> = self.redis.query(&command).await?;
        if kept.is_some() { Ok(ticket) } else { Err(Error::Malformed("a ticket twice")) }
    }

    /// Returns what a ticket of a tenant stands for, as long as nobody has taken it.
    pub async fn find(&self, tenant: &TenantId, ticket: &str) -> Result<Option<Grant>, Error> {
        if !ticket.starts_with(PREFIX) {
            return Ok(None);
        }
        let key = key(tenant, ticket);
        let found: Option<Vec<u8>> = self.redis.query(redis::cmd("GET").arg(&key)).await?;
        Ok(found.and_then(|sealed| Grant::open(sealed, &key, ticket)))
    }

    /// Takes a ticket of a tenant. Tells whether it was there: to the first who takes it, and to nobody after.
    pub async fn take(&self, tenant: &TenantId, ticket: &str) -> Result<bool, Error> {
        let taken: u64 = self.redis.query(redis::cmd("DEL").arg(key(tenant, ticket))).await?;
        Ok(taken == 1)
    }
}

impl Grant {
    /// Session and user, of which neither holds a line feed, then the credential; all of it sealed.
    fn sealed(&self, key: &str, ticket: &str) -> Result<Vec<u8>, Error> {
        let session = self.session.as_ref().map(SessionId::as_str).unwrap_or_default();
        let user = self.user.as_ref().map(UserId::as_str).unwrap_or_default();
        let mut text = format!("{session}\n{user}\n{}", self.credential).into_bytes();
        let sealed = seal(ticket).seal_in_place_append_tag(once(), Aad::from(key), &mut text);
        sealed.map(|()| text).map_err(|_| Error::Malformed("a ticket that is too long"))
    }

    /// What was not sealed with this ticket and under this key is no ticket.
    fn open(mut sealed: Vec<u8>, key: &str, ticket: &str) -> Option<Self> {
        let text = seal(ticket).open_in_place(once(), Aad::from(key), &mut sealed).ok()?;
        let mut words = std::str::from_utf8(text).ok()?.splitn(3, '\n');
        let (session, user, credential) = (words.next()?, words.next()?, words.next()?);
        Some(Self { session: optional(session).ok()?, user: optional(user).ok()?, credential: credential.to_owned() })
    }
}

/// It never prints the credential.
impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, user, credential: _ } = self;
        f.debug_struct("Grant").field("session", session).field("user", user).finish_non_exhaustive()
    }
}

fn optional<T: std::str::FromStr>(text: &str) -> Result<Option<T>, T::Err> {
    if text.is_empty() { Ok(None) } else { text.parse().map(Some) }
}

fn key(tenant: &TenantId, ticket: &str) -> String {
    format!("{{ns:{tenant}}}:ticket:{:x}", Sha256::digest(ticket.as_bytes()))
}

fn seal(ticket: &str) -> LessSafeKey {
    let key = Sha256::new().chain_update(SEAL).chain_update(ticket).finalize();
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("a SHA-256 is as long as the key"))
}

/// A ticket seals one thing, so its key is used with one nonce.
fn once() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}
