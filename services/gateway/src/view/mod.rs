//! What callers read: small types with the mission's snake_case names and lower-case words, pinned by golden files.

mod agent;
mod answer;
mod connections;
mod conversation;
mod document;
mod limit;
mod task;

use std::time::SystemTime;

use action::Status;
use proto::action::v1 as wire;
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use agent::{AgentView, AgentsView, CollectionView, CollectionsView, LimitsView, kind_word};
pub(crate) use answer::{AgentInfo, Source};
pub(crate) use connections::{AllConnections, TenantConnections};
pub(crate) use conversation::{MessageView, MessagesView};
pub(crate) use document::{DocumentView, DocumentsView, StoredView};
pub(crate) use limit::{RateLimitView, UsageView};
pub(crate) use task::{Event, TaskView, TasksView};

/// Tokens of language or embedding models that were consumed.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub(crate) struct Tokens {
    input: u64,
    output: u64,
    total: u64,
}

impl From<Option<wire::TokenUsage>> for Tokens {
    fn from(usage: Option<wire::TokenUsage>) -> Self {
        let usage = usage.unwrap_or_default();
        Self { input: usage.input, output: usage.output, total: usage.total }
    }
}

/// Returns the word for a status.
pub(crate) fn status_word(status: i32) -> &'static str {
    match Status::try_from(status).unwrap_or_default() {
        Status::Unspecified => "unknown",
        Status::Pending => "pending",
        Status::Running => "running",
        Status::Completed => "completed",
        Status::Failed => "failed",
        Status::Timeout => "timeout",
        Status::Cancelled => "cancelled",
    }
}

/// Tells whether nothing follows a status.
pub(crate) fn is_final(status: i32) -> bool {
    matches!(Status::try_from(status), Ok(Status::Completed | Status::Failed | Status::Timeout | Status::Cancelled))
}

/// Returns the word for a tier; empty when there is none.
pub(crate) fn tier_word(tier: i32) -> &'static str {
    action::Tier::from_proto(tier).map(action::Tier::as_str).unwrap_or_default()
}

/// Returns the present time as RFC 3339 with milliseconds.
pub(crate) fn now() -> String {
    action::time::to_proto(SystemTime::now()).to_string()
}

/// Returns a text unless it is empty.
pub(crate) fn filled(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
