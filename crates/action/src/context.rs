//! Where an action is executed.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use proto::action::v1 as wire;

use crate::{AgentId, CollectionId, Error, time};

/// What a context stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContextType {
    /// One agent answers.
    Agent,
    /// A workflow runs several agents or operations.
    Workflow,
    /// A collection of documents is worked on.
    Collection,
}

impl ContextType {
    /// Returns the word used on the wire and as prefix of a context id.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Workflow => "workflow",
            Self::Collection => "collection",
        }
    }

    const fn to_proto(self) -> wire::ContextType {
        match self {
            Self::Agent => wire::ContextType::Agent,
            Self::Workflow => wire::ContextType::Workflow,
            Self::Collection => wire::ContextType::Collection,
        }
    }

    fn from_proto(value: i32) -> Result<Self, Error> {
        match wire::ContextType::try_from(value) {
            Ok(wire::ContextType::Agent) => Ok(Self::Agent),
            Ok(wire::ContextType::Workflow) => Ok(Self::Workflow),
            Ok(wire::ContextType::Collection) => Ok(Self::Collection),
            Ok(wire::ContextType::Unspecified) | Err(_) => Err(Error::ContextType(WRONG_TYPE)),
        }
    }
}

const WRONG_TYPE: &str = "the context type must be agent, workflow or collection";

impl FromStr for ContextType {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        [Self::Agent, Self::Workflow, Self::Collection]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(Error::ContextType(WRONG_TYPE))
    }
}

/// `agent-{id}`, `workflow-{id}` or `collection-{id}`: the middle part of a queue's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContextId {
    kind: ContextType,
    text: String,
}

impl ContextId {
    /// Makes the id of the context of something; an id that carries the prefix already is not prefixed twice.
    pub fn new(kind: ContextType, id: &str) -> Self {
        let prefix = kind.as_str();
        let prefixed = id.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('-'));
        let text = if prefixed { id.to_owned() } else { format!("{prefix}-{id}") };
        Self { kind, text }
    }

    /// Returns what the context stands for.
    pub fn kind(&self) -> ContextType {
        self.kind
    }

    /// Returns the id as it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for ContextId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (kind, id) = text.split_once('-').ok_or(Error::ContextType("a context id is {type}-{id}"))?;
        let kind: ContextType = kind.parse()?;
        id.parse::<AgentId>().or_else(|_| text.parse()).map_err(|_| Error::Id { field: "context_id" })?;
        Ok(Self { kind, text: text.to_owned() })
    }
}

impl fmt::Display for ContextId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Which agent, workflow or collection works, with what beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutionContext {
    /// Names the context.
    pub id: ContextId,
    /// Agent that is entered first; none in a collection context.
    pub primary_agent: Option<AgentId>,
    /// All agents that may take part.
    pub agents: Vec<AgentId>,
    /// Collections that may be read.
    pub collections: Vec<CollectionId>,
    /// Facts about the request; never message text.
    pub metadata: BTreeMap<String, String>,
    /// When the context was made.
    pub created_at: SystemTime,
}

impl ExecutionContext {
    /// Makes the context in which one agent answers.
    pub fn agent(agent: AgentId) -> Self {
        let id = ContextId::new(ContextType::Agent, agent.as_str());
        Self { primary_agent: Some(agent.clone()), agents: vec![agent], ..Self::empty(id) }
    }

    /// Makes the context in which a collection is worked on.
    pub fn collection(collection: CollectionId) -> Self {
        let id = ContextId::new(ContextType::Collection, collection.as_str());
        Self { collections: vec![collection], ..Self::empty(id) }
    }

    fn empty(id: ContextId) -> Self {
        Self {
            id,
            primary_agent: None,
            agents: Vec::new(),
            collections: Vec::new(),
            metadata: BTreeMap::new(),
            created_at: SystemTime::now(),
        }
    }

    /// Writes the protobuf form.
    pub fn to_proto(&self) -> wire::ExecutionContext {
        wire::ExecutionContext {
            context_id: self.id.as_str().to_owned(),
            context_type: self.id.kind.to_proto().into(),
            primary_agent_id: self.primary_agent.as_ref().map(ToString::to_string).unwrap_or_default(),
            agents: self.agents.iter().map(ToString::to_string).collect(),
            collections: self.collections.iter().map(ToString::to_string).collect(),
            metadata: self.metadata.clone().into_iter().collect(),
            created_at: Some(time::to_proto(self.created_at)),
        }
    }

    /// Reads the protobuf form and checks that its parts agree.
    pub fn from_proto(wire: wire::ExecutionContext) -> Result<Self, Error> {
        let id: ContextId = wire.context_id.parse()?;
        if ContextType::from_proto(wire.context_type)? != id.kind {
            return Err(Error::ContextType("context_id must begin with the context type"));
        }
        let primary = Some(wire.primary_agent_id).filter(|id| !id.is_empty());
        Ok(Self {
            id,
            primary_agent: primary.map(|id| id.parse()).transpose()?,
            agents: wire.agents.iter().map(|id| id.parse()).collect::<Result<_, _>>()?,
            collections: wire.collections.iter().map(|id| id.parse()).collect::<Result<_, _>>()?,
            metadata: wire.metadata.into_iter().collect(),
            created_at: wire.created_at.map_or_else(SystemTime::now, time::from_proto),
        })
    }
}
