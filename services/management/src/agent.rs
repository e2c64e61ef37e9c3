//! What an agent may be set to.

use action::{CollectionId, Tier};
use proto::management::v1::{self as wire, AgentType};

use crate::{Error, field, slug};

/// More than any tier has use for.
const MOST_COLLECTIONS: usize = 100;
/// More than an agent has.
const MOST_FIELDS: usize = 20;
/// More requests than any window has room for.
const MOST_REQUESTS: u32 = 1_000_000_000;
const DEFAULT_TEMPERATURE: f64 = 0.7;
const DEFAULT_MAX_TOKENS: u32 = 2048;
const DEFAULT_HISTORY: u32 = 10;

/// Everything about an agent that its owner decides, checked.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) description: String,
    /// None when it is to be made from the name.
    pub(crate) slug: Option<String>,
    pub(crate) kind: Kind,
    pub(crate) model: String,
    pub(crate) temperature: f64,
    pub(crate) max_tokens: u32,
    pub(crate) system_prompt: String,
    /// Each once, in the order in which they were given.
    pub(crate) collections: Vec<CollectionId>,
    pub(crate) max_history_messages: u32,
    pub(crate) minimum_tier: Tier,
    pub(crate) limits: wire::AgentLimits,
    pub(crate) is_public: bool,
}

/// How an agent answers, of those ways that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Conversational,
    Rag,
}

impl Kind {
    /// The word in the table.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Conversational => "conversational",
            Self::Rag => "rag",
        }
    }

    pub(crate) fn from_stored(word: &str) -> Result<AgentType, store::Error> {
        match word {
            "conversational" => Ok(AgentType::Conversational),
            "rag" => Ok(AgentType::Rag),
            _ => Err(store::Error::Stored("type")),
        }
    }

    fn read(value: i32) -> Result<Self, Error> {
        match AgentType::try_from(value) {
            Ok(AgentType::Unspecified | AgentType::Conversational) => Ok(Self::Conversational),
            Ok(AgentType::Rag) => Ok(Self::Rag),
            Ok(AgentType::Workflow) => Err(Error::WorkflowAgent),
            Err(_) => Err(Error::field("agent.type", "must be conversational or rag")),
        }
    }
}

impl Settings {
    /// Checks every field; the first that is wrong is named.
    ///
    /// The counts have no use for 0, so that it stands for their default; a temperature of 0 is meant as 0.
    pub(crate) fn read(agent: &wire::Agent) -> Result<Self, Error> {
        let kind = Kind::read(agent.r#type)?;
        let collections = collections(&agent.collections)?;
        if kind == Kind::Rag && collections.is_empty() {
            return Err(Error::field(
                "agent.collections",
                "must name at least one collection for an agent of type rag",
            ));
        }
        let slug = Some(&agent.slug).filter(|slug| !slug.is_empty());
        Ok(Self {
            name: field::line("agent.name", &agent.name, 1..=100)?,
            description: field::prose("agent.description", &agent.description, 0..=500)?,
            slug: slug.map(|slug| slug::read("agent.slug", slug)).transpose()?,
            kind,
            model: field::line("agent.model", &agent.model, 0..=100)?,
            temperature: temperature(agent.temperature)?,
            max_tokens: field::number("agent.max_tokens", agent.max_tokens, DEFAULT_MAX_TOKENS, 1..=8192)?,
            system_prompt: field::prose("agent.system_prompt", &agent.system_prompt, 1..=8000)?,
            collections,
            max_history_messages: field::number(
                "agent.max_history_messages",
                agent.max_history_messages,
                DEFAULT_HISTORY,
                1..=50,
            )?,
            minimum_tier: minimum_tier(agent.minimum_tier)?,
            limits: limits(agent.limits.unwrap_or_default())?,
            is_public: agent.is_public,
        })
    }
}

fn temperature(value: Option<f64>) -> Result<f64, Error> {
    let value = value.unwrap_or(DEFAULT_TEMPERATURE);
    let problem = || Error::field("agent.temperature", "must be 0 to 1");
    // Not a number is in no range; -0.0 is stored as 0.
    if (0.0..=1.0).contains(&value) { Ok(value.abs()) } else { Err(problem()) }
}

fn collections(ids: &[String]) -> Result<Vec<CollectionId>, Error> {
    // Before any work on them: a message has room for hundreds of thousands.
    if ids.len() > MOST_COLLECTIONS {
        return Err(Error::field("agent.collections", format!("must name at most {MOST_COLLECTIONS} collections")));
    }
    let mut collections = Vec::with_capacity(ids.len());
    for id in ids {
        let id = field::id("agent.collections", id)?;
        if !collections.contains(&id) {
            collections.push(id);
        }
    }
    Ok(collections)
}

fn minimum_tier(value: i32) -> Result<Tier, Error> {
    if value == 0 {
        return Ok(Tier::Free);
    }
    Tier::from_proto(value)
        .map_err(|_| Error::field("agent.minimum_tier", "must be one of free, advance, professional, enterprise"))
}

/// A minute that allows more than its hour, or an hour more than its day, is a mistake.
fn limits(limits: wire::AgentLimits) -> Result<wire::AgentLimits, Error> {
    let wire::AgentLimits { per_minute, per_hour, per_day } = limits;
    if per_minute.max(per_hour).max(per_day) > MOST_REQUESTS {
        return Err(Error::field("agent.limits", format!("allow at most {MOST_REQUESTS} requests")));
    }
    let set = [per_minute, per_hour, per_day].into_iter().filter(|limit| *limit > 0);
    if !set.is_sorted() {
        return Err(Error::field("agent.limits", "must not allow more in a shorter time than in a longer one"));
    }
    Ok(limits)
}

/// Takes the named fields of `change` over into `agent`. A name that is none, or that the owner does not decide, is refused.
pub(crate) fn apply(agent: &mut wire::Agent, change: &wire::Agent, fields: &[String]) -> Result<(), Error> {
    if fields.is_empty() {
        return Err(Error::field("fields", "must name at least one field of the agent"));
    }
    if fields.len() > MOST_FIELDS {
        return Err(Error::field("fields", format!("must name at most {MOST_FIELDS} fields")));
    }
    for field in fields {
        match field.as_str() {
            "name" => agent.name.clone_from(&change.name),
            "description" => agent.description.clone_from(&change.description),
            "slug" => agent.slug.clone_from(&change.slug),
            "type" => agent.r#type = change.r#type,
            "model" => agent.model.clone_from(&change.model),
            "temperature" => agent.temperature = change.temperature,
            "max_tokens" => agent.max_tokens = change.max_tokens,
            "system_prompt" => agent.system_prompt.clone_from(&change.system_prompt),
            "collections" => agent.collections.clone_from(&change.collections),
            "max_history_messages" => agent.max_history_messages = change.max_history_messages,
            "is_active" => agent.is_active = change.is_active,
            "minimum_tier" => agent.minimum_tier = change.minimum_tier,
            "limits" => agent.limits = change.limits,
            "is_public" => agent.is_public = change.is_public,
            "agent_id" | "tenant_id" | "created_at" | "updated_at" | "version" | "prompt_bytes" => {
                return Err(Error::field("fields", format!("names `{field}`, which cannot be changed")));
            }
            _ => {
                let shown: String = field.chars().filter(|c| !c.is_control()).take(64).collect();
                return Err(Error::field("fields", format!("names `{shown}`, which an agent does not have")));
            }
        }
    }
    Ok(())
}
