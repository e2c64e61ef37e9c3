//! The areas that work is divided into.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// An area of work with queues of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Domain {
    /// Messages of users in, results out.
    Orchestrator,
    /// Runs of workflows.
    Workflow,
    /// Runs of agents.
    Execution,
    /// Documents to passages.
    Ingestion,
    /// Search and answers.
    Query,
    /// Texts to vectors.
    Embedding,
    /// Histories.
    Conversation,
    /// Tenants and what they own.
    Management,
}

impl Domain {
    /// All domains.
    pub const ALL: [Self; 8] = [
        Self::Orchestrator,
        Self::Workflow,
        Self::Execution,
        Self::Ingestion,
        Self::Query,
        Self::Embedding,
        Self::Conversation,
        Self::Management,
    ];

    /// Returns the word used in names, keys and settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Orchestrator => "orchestrator",
            Self::Workflow => "workflow",
            Self::Execution => "execution",
            Self::Ingestion => "ingestion",
            Self::Query => "query",
            Self::Embedding => "embedding",
            Self::Conversation => "conversation",
            Self::Management => "management",
        }
    }

    /// Returns the height in the order of waiting: a handler may await only domains with a smaller one, so that no
    /// circle of waits can form.
    pub const fn height(self) -> u8 {
        match self {
            Self::Orchestrator => 5,
            Self::Workflow => 4,
            Self::Execution | Self::Ingestion => 3,
            Self::Query => 2,
            Self::Embedding => 1,
            Self::Conversation | Self::Management => 0,
        }
    }

    /// Tells whether a handler of this domain may await a reply of `other`.
    pub const fn may_await(self, other: Self) -> bool {
        self.height() > other.height()
    }
}

impl FromStr for Domain {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|domain| domain.as_str() == text).ok_or_else(|| Error::Domain(text.to_owned()))
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
