//! The outcome of an action as JSON, in the form that the product documents for `{domain}:{tenant_id}:callbacks`.
//!
//! ```json
//! {"action_type": "execution.callback", "task_id": "…", "status": "completed",
//!  "result": {"response": "…", "sources": [], "agent_info": {}}, "execution_time": 3.456, "tokens_used": {"total": 209}}
//! ```
//!
//! Names are snake_case, words lower case, numbers plain, times in seconds. A golden file in the tests pins it.

use action::{Contract, Outcome, failure_of};
use prost_types::Any;
use proto::action::v1 as wire;
use proto::execution::v1::AgentRun;
use proto::ingestion::v1::ProcessDocument;
use proto::query::v1::{GenerateAnswer, IndexChunks, SearchPassages};
use serde::Serialize;

/// A callback as JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct View {
    /// `{domain}.callback`.
    pub action_type: String,
    /// Task that ended.
    pub task_id: String,
    /// completed, failed, timeout or cancelled.
    pub status: &'static str,
    /// What came of it.
    pub result: ResultView,
    /// Seconds from the first claim to the end.
    pub execution_time: f64,
    /// Tokens consumed.
    pub tokens_used: TokensView,
}

/// What came of an action.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ResultView {
    /// An agent or a query answered.
    Answer {
        /// The answer's whole text.
        response: String,
        /// Passages that it rests on.
        sources: Vec<SourceView>,
        /// Who answered; only the model for an answer without an agent.
        agent_info: AgentView,
    },
    /// Passages were found.
    Passages {
        /// The passages, most similar first.
        sources: Vec<SourceView>,
    },
    /// A document can be found.
    Document {
        /// The document.
        document_id: String,
        /// Collection that it went to.
        collection_id: String,
        /// Its title.
        title: String,
        /// Chunks that can be found.
        chunks: u32,
        /// Characters that were read.
        characters: u64,
    },
    /// Chunks can be found.
    Indexed {
        /// Chunks of the document that can be found.
        indexed: u32,
    },
    /// It ended without a result.
    Error {
        /// What went wrong.
        error: ErrorView,
    },
    /// It has a result that is not shown, e.g. vectors.
    Other {},
}

/// Who answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AgentView {
    /// Agent that answered.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub agent_id: String,
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// conversational or rag.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Model that wrote the answer.
    pub model_used: String,
}

/// A passage that an answer rests on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SourceView {
    /// Number by which the answer cites it.
    pub index: u32,
    /// Document that it stands in.
    pub document_id: String,
    /// Title of the document.
    pub title: String,
    /// Collection of the document.
    pub collection_id: String,
    /// The passage, verbatim.
    pub passage: String,
    /// First character in the document's text.
    pub start: u64,
    /// First character after it.
    pub end: u64,
    /// Cosine similarity of question and passage.
    pub similarity: f64,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ErrorView {
    /// Stable machine name out of the catalogue of reasons.
    #[serde(rename = "type")]
    pub kind: String,
    /// One sentence for a person.
    pub message: String,
    /// Field at fault.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
    /// Seconds after which it is worth trying again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<f64>,
}

/// Tokens consumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TokensView {
    /// Tokens read.
    pub input: u64,
    /// Tokens written.
    pub output: u64,
    /// Both.
    pub total: u64,
}

impl From<&wire::Callback> for View {
    fn from(callback: &wire::Callback) -> Self {
        let tokens = callback.tokens_used.unwrap_or_default();
        Self {
            action_type: callback.action_type.clone(),
            task_id: callback.task_id.clone(),
            status: word(callback.status()),
            result: ResultView::of(callback),
            execution_time: seconds(callback.execution_time.as_ref()),
            tokens_used: TokensView { input: tokens.input, output: tokens.output, total: tokens.total },
        }
    }
}

impl ResultView {
    fn of(callback: &wire::Callback) -> Self {
        if let Some(detail) = &callback.error {
            return Self::Error { error: ErrorView::from(detail) };
        }
        let Some(result) = &callback.result else { return Self::Other {} };
        match callback.source_action_type.as_str() {
            kind if kind == AgentRun::KIND.as_str() => Self::agent_answer(result),
            kind if kind == GenerateAnswer::KIND.as_str() => Self::answer(result),
            kind if kind == SearchPassages::KIND.as_str() => Outcome::reply::<SearchPassages>(result)
                .ok()
                .map(|reply| Self::Passages { sources: reply.sources.iter().map(SourceView::from).collect() }),
            kind if kind == ProcessDocument::KIND.as_str() => Self::document(result),
            kind if kind == IndexChunks::KIND.as_str() => {
                Outcome::reply::<IndexChunks>(result).ok().map(|reply| Self::Indexed { indexed: reply.indexed })
            }
            _ => None,
        }
        .unwrap_or(Self::Other {})
    }

    fn agent_answer(result: &Any) -> Option<Self> {
        let reply = Outcome::reply::<AgentRun>(result).ok()?;
        let agent = reply.agent_info.unwrap_or_default();
        Some(Self::Answer {
            response: reply.response,
            sources: reply.sources.iter().map(SourceView::from).collect(),
            agent_info: AgentView {
                agent_id: agent.agent_id,
                name: agent.name,
                kind: agent.r#type,
                model_used: agent.model_used,
            },
        })
    }

    fn answer(result: &Any) -> Option<Self> {
        let reply = Outcome::reply::<GenerateAnswer>(result).ok()?;
        Some(Self::Answer {
            response: reply.response,
            sources: reply.sources.iter().map(SourceView::from).collect(),
            agent_info: AgentView { model_used: reply.model_used, ..AgentView::default() },
        })
    }

    fn document(result: &Any) -> Option<Self> {
        let reply = Outcome::reply::<ProcessDocument>(result).ok()?;
        Some(Self::Document {
            document_id: reply.document_id,
            collection_id: reply.collection_id,
            title: reply.title,
            chunks: reply.chunks,
            characters: reply.characters,
        })
    }
}

impl From<&wire::Source> for SourceView {
    fn from(source: &wire::Source) -> Self {
        Self {
            index: source.index,
            document_id: source.document_id.clone(),
            title: source.title.clone(),
            collection_id: source.collection_id.clone(),
            passage: source.passage.clone(),
            start: source.start,
            end: source.end,
            similarity: source.similarity,
        }
    }
}

impl From<&wire::ErrorDetail> for ErrorView {
    fn from(detail: &wire::ErrorDetail) -> Self {
        Self {
            kind: detail.reason.clone(),
            message: detail.message.clone(),
            field: detail.field.clone(),
            retry_after: failure_of(detail).retry_delay().map(|delay| delay.as_secs_f64()),
        }
    }
}

/// Returns the product's word for a status.
pub(crate) fn word(status: wire::Status) -> &'static str {
    match status {
        wire::Status::Pending => "pending",
        wire::Status::Running => "running",
        wire::Status::Completed => "completed",
        wire::Status::Timeout => "timeout",
        wire::Status::Cancelled => "cancelled",
        wire::Status::Failed | wire::Status::Unspecified => "failed",
    }
}

/// Returns a duration in seconds; none is no time.
pub(crate) fn seconds(duration: Option<&prost_types::Duration>) -> f64 {
    duration.and_then(action::time::duration_from_proto).unwrap_or_default().as_secs_f64()
}
