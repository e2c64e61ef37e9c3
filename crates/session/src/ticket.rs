//! Tickets: somebody who has proved who they are gets a word that opens one socket, once and soon.
//!
//! | key | type | lives | holds |
//! |---|---|---|---|
//! | `{ns:<tenant>}:ticket:<SHA-256 of the ticket>` | string | 30 s | session or nothing, a line feed, whose it is |
//!
//! Only the hash of a ticket is kept, so nobody who reads Redis can use one; it is taken out by the first who shows it.

use std::time::Duration;

use action::{SessionId, TenantId};
use broker::Redis;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::Error;

/// What every ticket begins with.
const PREFIX: &str = "nbt_";

/// What a ticket grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The only session that it opens; any when absent.
    pub session: Option<SessionId>,
    /// Whose it is, in the words of who issued it; it may not hold line feeds.
    pub identity: String,
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
        let session = grant.session.as_ref().map(ToString::to_string).unwrap_or_default();
        let mut command = redis::cmd("SET");
        command.arg(key(tenant, &ticket)).arg(format!("{session}\n{}", grant.identity));
        command.arg("NX").arg("EX").arg(Self::LIFETIME.as_secs());
        let kept: Option<String> = self.redis.query(&command).await?;
        if kept.is_some() { Ok(ticket) } else { Err(Error::Malformed("a ticket twice")) }
    }

    /// Takes a ticket of a tenant: returns what it grants, to the first who shows it and to nobody after.
    pub async fn redeem(&self, tenant: &TenantId, ticket: &str) -> Result<Option<Grant>, Error> {
        if !ticket.starts_with(PREFIX) {
            return Ok(None);
        }
        let found: Option<String> = self.redis.query(redis::cmd("GETDEL").arg(key(tenant, ticket))).await?;
        let Some(found) = found else { return Ok(None) };
        let (session, identity) = found.split_once('\n').ok_or(Error::Malformed("not a ticket"))?;
        let session = Some(session).filter(|session| !session.is_empty());
        let session = session.map(str::parse).transpose().map_err(|_| Error::Malformed("not a session"))?;
        Ok(Some(Grant { session, identity: identity.to_owned() }))
    }
}

fn key(tenant: &TenantId, ticket: &str) -> String {
    format!("{{ns:{tenant}}}:ticket:{:x}", Sha256::digest(ticket.as_bytes()))
}
