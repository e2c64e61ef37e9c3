//! Which log.

use action::{Action, SessionId, TaskId, TenantId};

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

    /// Returns the tenant whose log it is.
    pub fn tenant(&self) -> &TenantId {
        match self {
            Self::Session { tenant, .. } | Self::Task { tenant, .. } => tenant,
        }
    }

    /// Returns the hash tag of all its keys, with its braces.
    pub(crate) fn tag(&self) -> String {
        match self {
            Self::Session { tenant, session } => format!("{{ns:{tenant}:s:{session}}}"),
            Self::Task { tenant, task } => format!("{{ns:{tenant}:t:{task}}}"),
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
