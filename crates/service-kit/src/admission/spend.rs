//! What a request costs its tenant.

use std::net::IpAddr;
use std::time::Duration;

use action::{Action, AgentId, SessionId, TaskId};
use fault::{Failure, Fault as _};
use proto::execution::v1::AgentRun;
use proto::management::v1::Agent;
use quota::{AgentLimits, Charge, UsageKind, Window};
use tonic::Status;

use crate::Caller;

/// Characters of a text that make up about one token.
const CHARACTERS_PER_TOKEN: u64 = 4;

/// What a request would cost; everything but its kind may be absent.
#[derive(Clone, Debug)]
pub struct Spend {
    kind: UsageKind,
    session: Option<SessionId>,
    agent: Option<(AgentId, AgentLimits)>,
    address: Option<(IpAddr, u32)>,
    task: Option<TaskId>,
    tokens: u64,
    lease: Option<Duration>,
    repeats: bool,
}

impl From<UsageKind> for Spend {
    fn from(kind: UsageKind) -> Self {
        Self { kind, session: None, agent: None, address: None, task: None, tokens: 0, lease: None, repeats: false }
    }
}

impl Spend {
    /// Counts it for a session.
    #[must_use]
    pub fn of_session(self, session: Option<SessionId>) -> Self {
        Self { session, ..self }
    }

    /// Counts it for an agent, which may have limits of its own.
    #[must_use]
    pub fn of_agent(self, agent: &Agent) -> Self {
        let limits = agent.limits.unwrap_or_default();
        let limit = |number: u32| Some(number).filter(|number| *number > 0);
        let own = AgentLimits {
            per_minute: limit(limits.per_minute),
            per_hour: limit(limits.per_hour),
            per_day: limit(limits.per_day),
        };
        let agent = agent.agent_id.parse().ok().filter(|_| own != AgentLimits::default()).map(|id| (id, own));
        Self { agent, ..self }
    }

    /// Counts it for the address that it comes from, which may make so many requests a minute of the tenant.
    #[must_use]
    pub fn of_address(self, address: Option<(IpAddr, u32)>) -> Self {
        Self { address, ..self }
    }

    /// Counts the task among those that go on, and reserves tokens for it until it is settled.
    #[must_use]
    pub fn of_task(self, task: TaskId, tokens: u64) -> Self {
        Self { task: Some(task), tokens, ..self }
    }

    /// Says after which time the task counts as lost, where it may take longer than the tiers' budgets.
    #[must_use]
    pub fn lasting(self, lease: Duration) -> Self {
        Self { lease: Some(lease), ..self }
    }

    /// Says that its task may have been admitted before, by whoever was not told: it is charged once.
    #[must_use]
    pub fn repeating(self, repeats: bool) -> Self {
        Self { repeats, ..self }
    }

    /// Counts it for the session of an action, and the action's task among those that go on, unless that was said.
    #[must_use]
    pub fn of_action(self, action: &Action) -> Self {
        let session = self.session.or_else(|| action.session.clone());
        Self { session, task: self.task.or(Some(action.task)), ..self }
    }

    pub(super) fn charge(self, caller: &Caller) -> Result<Charge, Failure> {
        let (tenant, tier) = caller.tenant()?;
        let Self { kind, session, agent, address, task, tokens, lease, repeats } = self;
        Ok(Charge { tenant, tier, kind, session, agent, address, task, tokens, lease, repeats })
    }
}

/// Estimates what an agent's answer to a message takes: the message, what was said before as far as the caller says it, what the
/// agent is told, and the longest answer it gives.
pub fn estimate_tokens(agent: &Agent, run: &AgentRun) -> u64 {
    let told: usize = run.history.iter().map(|message| message.content.len()).sum();
    let characters = (run.message.len() + told) as u64 + u64::from(agent.prompt_bytes);
    characters.div_ceil(CHARACTERS_PER_TOKEN) + u64::from(agent.max_tokens)
}

/// Why a request was not admitted, and how the limits that hold for it stand.
#[derive(Clone, Debug)]
pub struct NotAdmitted {
    /// The reason.
    pub failure: Failure,
    /// The limits; empty when they are not known.
    pub windows: Vec<Window>,
}

impl From<Failure> for NotAdmitted {
    fn from(failure: Failure) -> Self {
        Self { failure, windows: Vec::new() }
    }
}

impl From<quota::Error> for NotAdmitted {
    fn from(error: quota::Error) -> Self {
        Self { failure: error.failure(), windows: error.windows().to_vec() }
    }
}

impl From<NotAdmitted> for Failure {
    fn from(refused: NotAdmitted) -> Self {
        refused.failure
    }
}

impl From<NotAdmitted> for Status {
    fn from(refused: NotAdmitted) -> Self {
        refused.failure.into()
    }
}
