//! The names of queues, the only place that writes and reads them.

use std::fmt;
use std::str::FromStr;

use crate::{ContextId, Domain, Error, TenantId, Tier};

/// The reserved last segment of callback queues.
const CALLBACKS: &str = "callbacks";

/// `{domain}:{context_id}:{tier}`, or `{domain}:{tenant_id}:callbacks`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum QueueName {
    /// Actions of a context.
    Actions {
        /// Domain that handles them.
        domain: Domain,
        /// Context that they belong to.
        context: ContextId,
        /// Tier of the tenant.
        tier: Tier,
    },
    /// Final outcomes for a tenant.
    Callbacks {
        /// Domain that handles them.
        domain: Domain,
        /// Tenant whose outcomes they are.
        tenant: TenantId,
    },
}

impl QueueName {
    /// Names the queue of a context's actions.
    pub fn actions(domain: Domain, context: ContextId, tier: Tier) -> Self {
        Self::Actions { domain, context, tier }
    }

    /// Names the queue of a tenant's callbacks.
    pub fn callbacks(domain: Domain, tenant: TenantId) -> Self {
        Self::Callbacks { domain, tenant }
    }

    /// Returns the domain that handles what lies in the queue.
    pub fn domain(&self) -> Domain {
        match self {
            Self::Actions { domain, .. } | Self::Callbacks { domain, .. } => *domain,
        }
    }
}

/// Reads the canonical form, and as aliases the dotted forms `{domain}.{tenant}.callbacks` and `{domain}.{context}.{tier}`
/// of the predecessor.
impl FromStr for QueueName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let separator = if text.contains(':') { ':' } else { '.' };
        let mut parts = text.split(separator);
        let (Some(domain), Some(middle), Some(last), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Error::QueueName);
        };
        let domain: Domain = domain.parse()?;
        if last == CALLBACKS || last == "callback" {
            return Ok(Self::callbacks(domain, middle.parse().map_err(|_| Error::QueueName)?));
        }
        let tier = last.parse().map_err(|_| Error::QueueName)?;
        Ok(Self::actions(domain, middle.parse().map_err(|_| Error::QueueName)?, tier))
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Actions { domain, context, tier } => write!(f, "{domain}:{context}:{tier}"),
            Self::Callbacks { domain, tenant } => write!(f, "{domain}:{tenant}:{CALLBACKS}"),
        }
    }
}
