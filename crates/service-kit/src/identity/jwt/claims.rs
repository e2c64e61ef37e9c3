//! What a token says, and whether it says it to us and now.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use action::{AgentId, TenantId, Tier, UserId};
use serde_json::Value;

use super::JwtConfig;
use super::compact::Members;
use super::error::Error;
use crate::identity::{Scope, Scopes};

/// Most agents that a token may be limited to; they travel with every call.
const MOST_AGENTS: usize = 64;

/// No calendar of ours goes beyond the year 9999.
const LATEST: f64 = 253_402_300_799.0;

/// What a token that is in force says about who presents it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Tenant for whom calls are made.
    pub tenant: TenantId,
    /// Person who makes them.
    pub user: Option<UserId>,
    /// What may be done: nothing or `tenant`, see [`Proof::read`].
    pub scopes: Scopes,
    /// The only agents that may be used; none for all of the tenant's.
    pub agents: Option<BTreeSet<AgentId>>,
    /// What the token says about the tenant's tier, to be compared with its record.
    pub tier: Option<Tier>,
    /// From when on the token is refused, the leeway included.
    pub expires_at: SystemTime,
}

impl Proof {
    /// Reads claims. A token grants the scope `tenant` and no other: `admin` and `worker:<domain>` reach the work of all
    /// tenants, and the word of an issuer of users is not enough for that. Words that mean something to others are common in
    /// `scope` and grant nothing; without the claim the token grants `tenant`.
    pub(super) fn read(claims: &Members, config: &JwtConfig, now: SystemTime) -> Result<Self, Error> {
        let claims = Claims(claims);
        let issuer = claims.text("iss")?.ok_or(missing("iss"))?;
        if config.issuer.as_deref() != Some(issuer) {
            return Err(wrong("iss", "is not the issuer whose tokens are accepted"));
        }
        let audiences = claims.words("aud")?.ok_or(missing("aud"))?;
        if !audiences.iter().any(|audience| config.audience.as_deref() == Some(*audience)) {
            return Err(wrong("aud", "does not name this service"));
        }
        let expires_at = claims.time("exp")?.ok_or(missing("exp"))? + config.leeway;
        if expires_at <= now {
            return Err(Error::Expired);
        }
        if claims.time("nbf")?.is_some_and(|from| from > now + config.leeway) {
            return Err(wrong("nbf", "says that the token is not in force yet"));
        }
        claims.time("iat")?;
        Ok(Self {
            tenant: claims.tenant()?,
            user: claims.user()?,
            scopes: claims.scopes()?,
            agents: claims.agents()?,
            tier: claims.id("tier", "is not one of free, advance, professional, enterprise")?,
            expires_at,
        })
    }
}

/// Tells whether the time of a token is over, by its own word.
pub(super) fn has_expired(claims: &Members, config: &JwtConfig, now: SystemTime) -> bool {
    let end = Claims(claims).time("exp").ok().flatten();
    end.is_none_or(|end| end + config.leeway <= now)
}

fn missing(claim: &'static str) -> Error {
    wrong(claim, "is required")
}

fn wrong(claim: &'static str, problem: &'static str) -> Error {
    Error::Claim { claim, problem }
}

struct Claims<'a>(&'a Members);

impl<'a> Claims<'a> {
    fn text(&self, claim: &'static str) -> Result<Option<&'a str>, Error> {
        match self.0.0.get(claim) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong(claim, "must be a text")),
        }
    }

    /// Reads a text or a list of texts.
    fn words(&self, claim: &'static str) -> Result<Option<Vec<&'a str>>, Error> {
        match self.0.0.get(claim) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(vec![text])),
            Some(Value::Array(items)) => {
                let words = items.iter().map(|item| item.as_str().ok_or(wrong(claim, "must hold texts only")));
                words.collect::<Result<Vec<_>, _>>().map(Some)
            }
            Some(_) => Err(wrong(claim, "must be a text or a list of texts")),
        }
    }

    fn time(&self, claim: &'static str) -> Result<Option<SystemTime>, Error> {
        let Some(value) = self.0.0.get(claim) else { return Ok(None) };
        let seconds = value.as_f64().filter(|seconds| (0.0..=LATEST).contains(seconds));
        let seconds = seconds.ok_or(wrong(claim, "must be a time in seconds since 1970"))?;
        Ok(Some(UNIX_EPOCH + Duration::from_secs_f64(seconds)))
    }

    fn id<T: FromStr>(&self, claim: &'static str, rule: &'static str) -> Result<Option<T>, Error> {
        self.text(claim)?.map(|text| text.parse().map_err(|_| wrong(claim, rule))).transpose()
    }

    /// The tenant has several names; under which it stands is the issuer's choice, but all must say the same.
    fn tenant(&self) -> Result<TenantId, Error> {
        let mut found: Option<TenantId> = None;
        for claim in ["tenant", "tenant_id", "tid"] {
            let Some(tenant) = self.id(claim, "is not the id of a tenant")? else { continue };
            if found.as_ref().is_some_and(|earlier| *earlier != tenant) {
                return Err(wrong(claim, "names another tenant than a claim before it"));
            }
            found = Some(tenant);
        }
        found.ok_or(missing("tenant"))
    }

    /// `sub` names the user where it can; what else an issuer puts there (an address, a URL) names nobody.
    fn user(&self) -> Result<Option<UserId>, Error> {
        let subject = self.text("sub")?.and_then(|subject| subject.parse().ok());
        Ok(self.id("user", "is not the id of a user")?.or(subject))
    }

    fn scopes(&self) -> Result<Scopes, Error> {
        let words = match self.words("scopes")? {
            Some(words) => Some(words),
            None => self.text("scope")?.map(|words| words.split(' ').collect()),
        };
        let grants = words.is_none_or(|words| words.contains(&"tenant"));
        Ok(if grants { Scopes::from([Scope::Tenant]) } else { Scopes::default() })
    }

    fn agents(&self) -> Result<Option<BTreeSet<AgentId>>, Error> {
        let Some(value) = self.0.0.get("agents") else { return Ok(None) };
        let list = value.as_array().filter(|list| list.len() <= MOST_AGENTS);
        let list = list.ok_or(wrong("agents", "must be a list of at most 64 ids of agents"))?;
        let ids = list.iter().map(|item| item.as_str()?.parse().ok());
        ids.collect::<Option<_>>().map(Some).ok_or(wrong("agents", "must hold ids of agents only"))
    }
}
