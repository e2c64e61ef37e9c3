//! What a request would be charged, and where.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use action::{AgentId, SessionId, TaskId, TenantId, Tier};

use crate::{TierLimits, Tiers};

/// What a request is counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UsageKind {
    /// A message to an agent.
    Agent,
    /// A run of a workflow.
    Workflow,
    /// Work on a collection, such as a document.
    Collection,
    /// A search or a question outside a chat.
    Query,
}

impl UsageKind {
    /// Returns the field of the tenant's usage.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Agent => "agent_requests",
            Self::Workflow => "workflow_requests",
            Self::Collection => "collection_requests",
            Self::Query => "query_requests",
        }
    }
}

/// Limits that the owner of an agent sets for it, beside those of the tier. `None` is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AgentLimits {
    /// Requests a minute.
    pub per_minute: Option<u32>,
    /// Requests an hour.
    pub per_hour: Option<u32>,
    /// Requests a day.
    pub per_day: Option<u32>,
}

/// A request that asks to be admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// For whom.
    pub tenant: TenantId,
    /// The tenant's tier.
    pub tier: Tier,
    /// What it is counted as.
    pub kind: UsageKind,
    /// Session that it belongs to.
    pub session: Option<SessionId>,
    /// Agent that it goes to, with limits of its own.
    pub agent: Option<(AgentId, AgentLimits)>,
    /// Address that it comes from, and requests a minute that one address may make of the tenant.
    pub address: Option<(IpAddr, u32)>,
    /// Task that it becomes; none for a request that is over when it is answered.
    pub task: Option<TaskId>,
    /// Tokens that the task may take, as estimated.
    pub tokens: u64,
    /// Time after which the task counts as lost, where it is another than usual.
    pub lease: Option<Duration>,
    /// Whether its task may have been admitted before, by whoever was not told.
    pub repeats: bool,
}

impl Charge {
    /// A request that belongs to no session, goes to no agent and becomes no task.
    pub fn new(tenant: TenantId, tier: Tier, kind: UsageKind) -> Self {
        Self {
            tenant,
            tier,
            kind,
            session: None,
            agent: None,
            address: None,
            task: None,
            tokens: 0,
            lease: None,
            repeats: false,
        }
    }
}

/// Whose requests a window counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    Tenant,
    Session(SessionId),
    Agent(AgentId),
    Address(IpAddr),
    /// Somebody who looks at what is public, and has proved nothing.
    Visitor(IpAddr),
}

/// A window that holds for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) name: &'static str,
    pub(crate) scope: Scope,
    /// Length in seconds.
    pub(crate) unit: u32,
    pub(crate) limit: u64,
    /// What is charged.
    pub(crate) amount: u64,
}

impl Planned {
    /// Tells whether it counts tokens, which are settled when the task ends.
    pub(crate) fn counts_tokens(&self) -> bool {
        matches!(self.name, TOKENS_MINUTE | TOKENS_DAY)
    }

    /// Tells whether another one counts the same up to the same limit; what each charges may differ.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.unit == other.unit && self.limit == other.limit && self.name == other.name && self.scope == other.scope
    }

    /// Writes the beginning of its key behind `rate_limit:{tenant}`.
    pub(crate) fn write_suffix(&self, text: &mut String) {
        match &self.scope {
            Scope::Tenant if self.counts_tokens() => text.push_str("tokens:"),
            Scope::Tenant => {}
            Scope::Session(session) => text.extend(["session:", session.as_str(), ":"]),
            Scope::Agent(agent) => text.extend(["agent:", agent.as_str(), ":"]),
            Scope::Address(address) => text.extend(["address:", &address.to_string(), ":"]),
            Scope::Visitor(address) => text.extend(["visits:", &address.to_string(), ":"]),
        }
        text.push_str(unit_word(self.unit));
    }
}

/// All that holds for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) windows: Vec<Planned>,
    /// Tasks that may go on at a time.
    pub(crate) tasks: Option<u32>,
    /// Task that is noted until it is settled.
    pub(crate) task: Option<TaskId>,
}

pub(crate) const MINUTE: u32 = 60;
pub(crate) const HOUR: u32 = 3600;
pub(crate) const DAY: u32 = 86_400;

pub(crate) const TOKENS_MINUTE: &str = "tokens-minute";
pub(crate) const TOKENS_DAY: &str = "tokens-day";
pub(crate) const TASKS: &str = "tasks";

impl Plan {
    /// Finds what holds for a request.
    pub(crate) fn of(charge: &Charge, tiers: &Tiers) -> Self {
        let limits = tiers.of(charge.tier);
        let mut windows = tenant_windows(limits);
        if let Some(session) = &charge.session {
            let scope = Scope::Session(session.clone());
            windows.extend(requests("session", &scope, HOUR, limits.per_session_hour));
        }
        if let Some((agent, own)) = &charge.agent {
            windows.extend(agent_windows(agent, own));
        }
        if let Some((address, limit)) = charge.address {
            windows.extend(requests("address", &Scope::Address(network(address)), MINUTE, Some(limit)));
        }
        let task = charge.task.filter(|_| limits.reserves());
        if charge.task.is_some() {
            windows.extend(tokens(TOKENS_MINUTE, MINUTE, limits.tokens_per_minute, charge.tokens));
            windows.extend(tokens(TOKENS_DAY, DAY, limits.tokens_per_day, charge.tokens));
        }
        let tasks = limits.concurrent_tasks.filter(|_| charge.task.is_some());
        Self { windows, tasks, task }
    }

    /// Finds what holds for a visit.
    pub(crate) fn of_visit(visitor: &Scope, per_minute: u32) -> Self {
        let window = requests("visits", visitor, MINUTE, Some(per_minute));
        Self { windows: window.into_iter().collect(), tasks: None, task: None }
    }

    /// Finds what holds for an agent on top of its tenant's limits, to look at.
    pub(crate) fn of_agent(charge: &Charge) -> Self {
        let windows = charge.agent.as_ref().map(|(agent, own)| agent_windows(agent, own)).unwrap_or_default();
        Self { windows, tasks: None, task: None }
    }

    /// Finds what holds for a tenant, to look at.
    pub(crate) fn to_look(limits: &TierLimits) -> Self {
        let mut windows = tenant_windows(limits);
        windows.extend(tokens(TOKENS_MINUTE, MINUTE, limits.tokens_per_minute, 0));
        windows.extend(tokens(TOKENS_DAY, DAY, limits.tokens_per_day, 0));
        Self { windows, tasks: limits.concurrent_tasks, task: None }
    }

    /// Tells whether nothing can refuse.
    pub(crate) fn is_unlimited(&self) -> bool {
        self.windows.is_empty() && self.tasks.is_none()
    }
}

fn tenant_windows(limits: &TierLimits) -> Vec<Planned> {
    let minute = requests("minute", &Scope::Tenant, MINUTE, limits.per_minute);
    minute.into_iter().chain(requests("day", &Scope::Tenant, DAY, limits.per_day)).collect()
}

fn agent_windows(agent: &AgentId, own: &AgentLimits) -> Vec<Planned> {
    let scope = Scope::Agent(agent.clone());
    let limits = [
        requests("agent-minute", &scope, MINUTE, own.per_minute),
        requests("agent-hour", &scope, HOUR, own.per_hour),
        requests("agent-day", &scope, DAY, own.per_day),
    ];
    limits.into_iter().flatten().collect()
}

fn requests(name: &'static str, scope: &Scope, unit: u32, limit: Option<u32>) -> Option<Planned> {
    Some(Planned { name, scope: scope.clone(), unit, limit: limit?.into(), amount: 1 })
}

/// A task that may take more than the whole budget is let in when nothing of it is used: otherwise it never could be.
fn tokens(name: &'static str, unit: u32, limit: Option<u64>, estimate: u64) -> Option<Planned> {
    let limit = limit?;
    Some(Planned { name, scope: Scope::Tenant, unit, limit, amount: estimate.min(limit).max(u64::from(estimate > 0)) })
}

/// Returns what an address is counted as: whoever has one IPv6 address has all of its /64.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

fn unit_word(unit: u32) -> &'static str {
    match unit {
        MINUTE => "minute",
        HOUR => "hour",
        _ => "day",
    }
}
