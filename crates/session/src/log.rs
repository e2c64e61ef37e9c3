//! Which log.

use action::{Action, AgentId, SessionId, TaskId, TenantId};

/// Names a log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Log {
    /// The log of a session.
    Session {
        /// Tenant of the session.
        tenant: TenantId,
        /// The session.
        session: SessionId,
    },
    /// The log of a task that has no session.
    Task {
        /// Tenant of the task.
        tenant: TenantId,
        /// The task.
        task: TaskId,
    },
    /// How the tasks of an agent are getting on; it is written only while somebody follows it.
    Agent {
        /// Tenant of the agent.
        tenant: TenantId,
        /// The agent.
        agent: AgentId,
    },
}

impl Log {
    /// Returns the log that tells about an action: its session's, or the task's own when it has none.
    pub fn of(action: &Action) -> Self {
        match &action.session {
            Some(session) => Self::session(&action.tenant, session),
            None => Self::task(&action.tenant, action.task),
        }
    }

    /// Returns the log of a session.
    pub fn session(tenant: &TenantId, session: &SessionId) -> Self {
        Self::Session { tenant: tenant.clone(), session: session.clone() }
    }

    /// Returns the log of a task without a session.
    pub fn task(tenant: &TenantId, task: TaskId) -> Self {
        Self::Task { tenant: tenant.clone(), task }
    }

    /// Returns the log of an agent.
    pub fn agent(tenant: &TenantId, agent: &AgentId) -> Self {
        Self::Agent { tenant: tenant.clone(), agent: agent.clone() }
    }

    /// Returns the log of the agent that an action runs; none when it runs none.
    pub fn of_agent(action: &Action) -> Option<Self> {
        action.context.primary_agent.as_ref().map(|agent| Self::agent(&action.tenant, agent))
    }

    /// Returns the tenant whose log it is.
    pub fn tenant(&self) -> &TenantId {
        match self {
            Self::Session { tenant, .. } | Self::Task { tenant, .. } | Self::Agent { tenant, .. } => tenant,
        }
    }

    /// Returns the hash tag of all its keys, with its braces.
    pub(crate) fn tag(&self) -> String {
        match self {
            Self::Session { tenant, session } => format!("{{ns:{tenant}:s:{session}}}"),
            Self::Task { tenant, task } => format!("{{ns:{tenant}:t:{task}}}"),
            Self::Agent { tenant, agent } => format!("{{ns:{tenant}:a:{agent}}}"),
        }
    }
}

/// The keys of a log.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) tag: String,
    pub(crate) meta: String,
    pub(crate) log: String,
    pub(crate) nodes: String,
}

impl Keys {
    pub(crate) fn of(log: &Log) -> Self {
        let tag = log.tag();
        Self { meta: format!("{tag}:meta"), log: format!("{tag}:log"), nodes: format!("{tag}:nodes"), tag }
    }

    pub(crate) fn task(&self, task: &TaskId) -> String {
        format!("{}:t:{task}", self.tag)
    }
}
