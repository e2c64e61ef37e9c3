//! The parts of an answer.

use proto::action::v1 as wire;
use proto::task::v1 as task;
use serde::Serialize;
use utoipa::ToSchema;

/// A passage that an answer rests on.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Source {
    index: u32,
    document_id: String,
    title: String,
    collection_id: String,
    passage: String,
    start: u64,
    end: u64,
    similarity: f64,
}

impl Source {
    /// Returns the number by which the answer cites it, and the title of its document.
    pub(crate) fn cited(&self) -> (u32, &str) {
        (self.index, &self.title)
    }
}

impl From<wire::Source> for Source {
    fn from(source: wire::Source) -> Self {
        Self {
            index: source.index,
            document_id: source.document_id,
            title: source.title,
            collection_id: source.collection_id,
            passage: source.passage,
            start: source.start,
            end: source.end,
            similarity: source.similarity,
        }
    }
}

/// Who answered.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct AgentInfo {
    agent_id: String,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    pub(crate) model_used: String,
}

impl From<task::AgentInfo> for AgentInfo {
    fn from(agent: task::AgentInfo) -> Self {
        Self { agent_id: agent.agent_id, name: agent.name, kind: agent.r#type, model_used: agent.model_used }
    }
}
