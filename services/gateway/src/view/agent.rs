//! Agents and collections.

use proto::management::v1 as wire;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{filled, tier_word};

/// An agent of the tenant.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct AgentView {
    agent_id: String,
    name: String,
    description: String,
    /// Name in an address, unique within the tenant.
    slug: String,
    /// `conversational` or `rag`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Model it prefers; null for the service's own.
    model: Option<String>,
    temperature: f64,
    max_tokens: u32,
    system_prompt: String,
    /// Collections it reads.
    collections: Vec<String>,
    max_history_messages: u32,
    is_active: bool,
    /// Whether anybody may talk to it under its address.
    is_public: bool,
    /// Lowest tier that may use it.
    minimum_tier: &'static str,
    limits: LimitsView,
    created_at: Option<String>,
    updated_at: Option<String>,
    /// Greater with every change.
    version: u64,
}

/// Requests that an agent takes beside the limits of the tier; null is no limit.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "fields have the names of the contract")]
pub(crate) struct LimitsView {
    #[serde(default)]
    per_minute: Option<u32>,
    #[serde(default)]
    per_hour: Option<u32>,
    #[serde(default)]
    per_day: Option<u32>,
}

impl From<wire::AgentLimits> for LimitsView {
    fn from(limits: wire::AgentLimits) -> Self {
        let limit = |number: u32| Some(number).filter(|number| *number > 0);
        Self { per_minute: limit(limits.per_minute), per_hour: limit(limits.per_hour), per_day: limit(limits.per_day) }
    }
}

impl From<LimitsView> for wire::AgentLimits {
    fn from(limits: LimitsView) -> Self {
        Self {
            per_minute: limits.per_minute.unwrap_or_default(),
            per_hour: limits.per_hour.unwrap_or_default(),
            per_day: limits.per_day.unwrap_or_default(),
        }
    }
}

impl From<wire::Agent> for AgentView {
    fn from(agent: wire::Agent) -> Self {
        let kind = kind_word(agent.r#type());
        Self {
            agent_id: agent.agent_id,
            name: agent.name,
            description: agent.description,
            slug: agent.slug,
            kind,
            model: filled(agent.model),
            temperature: agent.temperature.unwrap_or_default(),
            max_tokens: agent.max_tokens,
            system_prompt: agent.system_prompt,
            collections: agent.collections,
            max_history_messages: agent.max_history_messages,
            is_active: agent.is_active,
            is_public: agent.is_public,
            minimum_tier: tier_word(agent.minimum_tier),
            limits: agent.limits.unwrap_or_default().into(),
            created_at: agent.created_at.map(|at| at.to_string()),
            updated_at: agent.updated_at.map(|at| at.to_string()),
            version: agent.version,
        }
    }
}

/// Returns the word for how an agent answers.
pub(crate) fn kind_word(kind: wire::AgentType) -> &'static str {
    match kind {
        wire::AgentType::Rag => "rag",
        wire::AgentType::Workflow => "workflow",
        wire::AgentType::Conversational | wire::AgentType::Unspecified => "conversational",
    }
}

/// Agents, a page of them.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct AgentsView {
    pub(crate) agents: Vec<AgentView>,
    /// Where to go on; null on the last page.
    pub(crate) next_page_token: Option<String>,
}

/// A collection of documents.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct CollectionView {
    collection_id: String,
    name: String,
    description: String,
    created_at: Option<String>,
}

impl From<wire::Collection> for CollectionView {
    fn from(collection: wire::Collection) -> Self {
        Self {
            collection_id: collection.collection_id,
            name: collection.name,
            description: collection.description,
            created_at: collection.created_at.map(|at| at.to_string()),
        }
    }
}

/// Collections, a page of them.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct CollectionsView {
    pub(crate) collections: Vec<CollectionView>,
    /// Where to go on; null on the last page.
    pub(crate) next_page_token: Option<String>,
}
