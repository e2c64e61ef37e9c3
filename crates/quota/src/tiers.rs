//! What each tier may do.

use std::time::Duration;

use action::Tier;

use crate::Degraded;

/// The limits of one tier. `None` is unlimited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierLimits {
    /// Requests a minute.
    pub per_minute: Option<u32>,
    /// Requests a day.
    pub per_day: Option<u32>,
    /// Requests a session may make in an hour.
    pub per_session_hour: Option<u32>,
    /// Tasks of a tenant that may wait or run at a time.
    pub concurrent_tasks: Option<u32>,
    /// Tokens of language models a minute.
    pub tokens_per_minute: Option<u64>,
    /// Tokens of language models a day.
    pub tokens_per_day: Option<u64>,
    /// What requests get while the limits cannot be looked up.
    pub degraded: Degraded,
    /// Time for the work, from the first claim, all attempts together.
    pub timeout: Duration,
    /// Agents that a tenant may have.
    pub max_agents: Option<u32>,
    /// Collections that an agent may use.
    pub collections_per_agent: Option<u32>,
    /// Steps that an agent may take for one answer.
    pub max_iterations: u32,
    /// Messages of the history that an answer takes into account.
    pub history_messages: u32,
    /// Passages that a search returns at most.
    pub search_results: u32,
    /// Characters of a query.
    pub query_chars: u32,
    /// Texts in one request for embeddings.
    pub embed_texts: u32,
    /// Characters of one text to embed.
    pub embed_chars: u32,
    /// Bytes of a document.
    pub max_document_bytes: u64,
    /// Chunks that a document may give.
    pub chunks_per_document: u32,
    /// Documents an hour.
    pub documents_per_hour: u32,
}

impl TierLimits {
    /// Returns the limits that the product promises.
    pub const fn of(tier: Tier) -> Self {
        match tier {
            Tier::Free => FREE,
            Tier::Advance => ADVANCE,
            Tier::Professional => PROFESSIONAL,
            Tier::Enterprise => ENTERPRISE,
        }
    }
}

impl TierLimits {
    /// Tells whether tasks are noted until they are settled.
    pub const fn reserves(&self) -> bool {
        self.concurrent_tasks.is_some() || self.tokens_per_minute.is_some() || self.tokens_per_day.is_some()
    }
}

/// The limits of all tiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tiers([TierLimits; 4]);

impl Tiers {
    /// Returns the limits of a tier.
    pub fn of(&self, tier: Tier) -> &TierLimits {
        &self.0[tier as usize]
    }

    /// Returns the limits of a tier for changing them, as settings do.
    pub fn of_mut(&mut self, tier: Tier) -> &mut TierLimits {
        &mut self.0[tier as usize]
    }
}

impl Default for Tiers {
    /// Returns the limits that the product promises.
    fn default() -> Self {
        Self([Tier::Free, Tier::Advance, Tier::Professional, Tier::Enterprise].map(TierLimits::of))
    }
}

const MEGABYTE: u64 = 1024 * 1024;

const FREE: TierLimits = TierLimits {
    per_minute: Some(10),
    per_day: Some(100),
    per_session_hour: Some(100),
    concurrent_tasks: Some(20),
    tokens_per_minute: None,
    tokens_per_day: Some(500_000),
    degraded: Degraded::Local,
    timeout: Duration::from_secs(30),
    max_agents: Some(1),
    collections_per_agent: Some(1),
    max_iterations: 3,
    history_messages: 5,
    search_results: 5,
    query_chars: 500,
    embed_texts: 10,
    embed_chars: 2000,
    max_document_bytes: 5 * MEGABYTE,
    chunks_per_document: 500,
    documents_per_hour: 5,
};

const ADVANCE: TierLimits = TierLimits {
    per_minute: Some(50),
    per_day: Some(1000),
    per_session_hour: Some(100),
    concurrent_tasks: Some(100),
    tokens_per_minute: None,
    tokens_per_day: Some(5_000_000),
    degraded: Degraded::Local,
    timeout: Duration::from_mins(1),
    max_agents: Some(3),
    collections_per_agent: Some(3),
    max_iterations: 5,
    history_messages: 15,
    search_results: 10,
    query_chars: 1000,
    embed_texts: 25,
    embed_chars: 4000,
    max_document_bytes: 10 * MEGABYTE,
    chunks_per_document: 1000,
    documents_per_hour: 20,
};

const PROFESSIONAL: TierLimits = TierLimits {
    per_minute: Some(200),
    per_day: Some(10_000),
    per_session_hour: Some(100),
    concurrent_tasks: Some(400),
    tokens_per_minute: None,
    tokens_per_day: Some(50_000_000),
    degraded: Degraded::Local,
    timeout: Duration::from_mins(2),
    max_agents: Some(10),
    collections_per_agent: Some(10),
    max_iterations: 10,
    history_messages: 30,
    search_results: 20,
    query_chars: 2000,
    embed_texts: 50,
    embed_chars: 8000,
    max_document_bytes: 50 * MEGABYTE,
    chunks_per_document: 5000,
    documents_per_hour: 100,
};

const ENTERPRISE: TierLimits = TierLimits {
    per_minute: None,
    per_day: None,
    per_session_hour: None,
    concurrent_tasks: None,
    tokens_per_minute: None,
    tokens_per_day: None,
    degraded: Degraded::Allow,
    timeout: Duration::from_mins(5),
    max_agents: None,
    collections_per_agent: None,
    max_iterations: 20,
    history_messages: 50,
    search_results: 50,
    query_chars: 5000,
    embed_texts: 100,
    embed_chars: 8000,
    max_document_bytes: 100 * MEGABYTE,
    chunks_per_document: 10_000,
    documents_per_hour: 500,
};
