//! What the one who opens a socket says about it: path, query and headers.

use action::{AgentId, SessionId, TenantId, Tier, UserId};
use fault::{Failure, reason};
use http::HeaderMap;
use service_kit::Caller;

use super::Position;
use crate::credential::Credential;
use crate::edge::Edge;
use crate::headers::{self, Asserted, name};
use crate::params::{GRAMMAR, Params, wrong};

/// Parameters that would carry a credential into logs and histories.
const NOT_IN_ADDRESS: [&str; 12] = [
    "token",
    "access_token",
    "auth_token",
    "api_key",
    "apikey",
    "api-key",
    "x-api-key",
    "key",
    "jwt",
    "auth",
    "authorization",
    "bearer",
];

/// A session to follow, and what is asserted about who follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Session to follow.
    pub(crate) session: SessionId,
    /// Where to go on; after the last acknowledged frame when it is absent.
    pub(crate) from: Option<Position>,
    asserted: Asserted,
    /// Agent that messages go to which name none.
    pub(crate) agent: Option<AgentId>,
    /// Person who is there.
    pub(crate) user: Option<UserId>,
}

impl Wanted {
    /// Reads path, query and headers; what stands in both must agree.
    pub(crate) fn parse(session: &str, params: &Params, headers: &HeaderMap) -> Result<Self, Failure> {
        check_address(params)?;
        let names = [name::TENANT, name::TIER, name::AGENT, name::USER, name::SESSION];
        headers::unique(headers, names.iter())?;
        let session: SessionId = session.parse().map_err(|_| wrong("session_id", GRAMMAR))?;
        agreed(headers::id(headers, name::SESSION)?, Some(session.clone()), "session_id")?;
        let tenant: Option<TenantId> =
            agreed(headers::id(headers, name::TENANT)?, params.id("tenant_id")?, "tenant_id")?;
        let tier = agreed(headers::tier(headers)?, tier(params)?, "tier")?;
        require(tenant.is_none(), tier.is_none())?;
        Ok(Self {
            session,
            from: position(params)?,
            asserted: Asserted { tenant, tier },
            agent: agreed(headers::id(headers, name::AGENT)?, params.id("agent_id")?, "agent_id")?,
            user: agreed(headers::id(headers, name::USER)?, params.id("user_id")?, "user_id")?,
        })
    }

    /// Returns the tenant that is asserted, which is what a ticket is looked for under.
    pub(crate) fn tenant(&self) -> Option<&TenantId> {
        self.asserted.tenant.as_ref()
    }

    /// Checks what is asserted against what was proved, and that the tenant may use the agent.
    pub(crate) async fn check(&self, edge: &Edge, caller: &Caller) -> Result<(TenantId, Tier), Failure> {
        let proved = caller.tenant()?;
        // Named as the parameters are, like everything that is wrong with them.
        self.asserted.agree_as(caller, ["tenant_id", "tier"])?;
        caller.assert_user(self.user.clone(), "user_id")?;
        if let Some(agent) = &self.agent {
            edge.grant_agent(caller, agent).await.map_err(|failure| failure.field("agent_id"))?;
        }
        Ok(proved)
    }
}

/// Reads the ticket, the only credential that may stand in an address.
pub(crate) fn ticket(params: &Params) -> Result<Option<Credential>, Failure> {
    params.one("ticket")?.map(Credential::new).transpose()
}

fn require(no_tenant: bool, no_tier: bool) -> Result<(), Failure> {
    let missing: Vec<_> = [("tenant_id", no_tenant), ("tier", no_tier)]
        .into_iter()
        .filter_map(|(name, missing)| missing.then_some(name))
        .collect();
    let Some(first) = missing.first() else { return Ok(()) };
    let names = missing.join(", ");
    let text = format!("missing: {names}; send them as parameters, or as X-Tenant-ID and X-Tenant-Tier");
    Err(Failure::new(&reason::MISSING_REQUIRED_HEADERS, text).field(*first).with("missing", names))
}

fn agreed<T: PartialEq>(header: Option<T>, parameter: Option<T>, name: &'static str) -> Result<Option<T>, Failure> {
    match (header, parameter) {
        (Some(header), Some(parameter)) if header != parameter => {
            let text = format!("`{name}` says something else than its header");
            Err(Failure::new(&reason::INVALID_REQUEST, text).field(name))
        }
        (header, parameter) => Ok(header.or(parameter)),
    }
}

/// Refuses a credential in the address.
fn check_address(params: &Params) -> Result<(), Failure> {
    let Some(name) = NOT_IN_ADDRESS.into_iter().find(|name| params.has_ignoring_case(name)) else { return Ok(()) };
    let text = "a credential does not belong into an address; send it as a header, a subprotocol or an `auth` frame, or get a ticket";
    Err(Failure::new(&reason::INVALID_REQUEST, text).field(name))
}

/// Reads `tier`, or `tenant_tier` as the predecessor called it.
fn tier(params: &Params) -> Result<Option<Tier>, Failure> {
    let read = |name| params.one(name)?.map(|text| headers::parse_tier(text, name)).transpose();
    agreed(read("tier")?, read("tenant_tier")?, "tier")
}

fn position(params: &Params) -> Result<Option<Position>, Failure> {
    match (params.one("epoch")?, params.one("seq")?) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(wrong("epoch", "is missing: `epoch` and `seq` go together")),
        (Some(_), None) => Err(wrong("seq", "is missing: `epoch` and `seq` go together")),
        (Some(epoch), Some(seq)) => {
            let seq = seq.parse().map_err(|_| wrong("seq", "must be a whole number, 0 or greater"))?;
            Ok(Some(Position { epoch: epoch.to_owned(), seq }))
        }
    }
}
