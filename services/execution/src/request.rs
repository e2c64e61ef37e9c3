//! What a caller may ask to be run, parsed once: a [`Request`] is well formed and its context agrees with itself.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use action::{
    ContextId, ContextType, ConversationId, Domain, ExecutionContext, QueueName, SessionId, TenantId, UserId, time,
};
use fault::{Failure, reason};
use proto::execution::v1::{AgentRun, RunAgentRequest};
use uuid::Uuid;

use crate::Error;

/// Most characters of a message, in Unicode scalar values.
const MESSAGE_CHARACTERS: usize = 4_000;
/// Most facts about a user, and the most characters of a fact's name and value.
const FACTS: usize = 32;
const FACT_NAME: usize = 64;
const FACT_VALUE: usize = 512;
/// Facts about the request that a context may carry, and the most characters of one.
const CONTEXT_FACTS: [&str; 5] = ["user_id", "conversation_id", "request_source", "client_version", "created_from"];
const CONTEXT_FACT: usize = 64;
/// Most agents, and most collections, of a context.
const PARTICIPANTS: usize = 16;

/// A run that a caller asks for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Where it is executed; its primary agent is set.
    pub(crate) context: ExecutionContext,
    /// Session that shows the progress.
    pub(crate) session: Option<SessionId>,
    /// User on whose behalf it is asked for.
    pub(crate) user: Option<UserId>,
    /// Longest time that the caller gives it.
    pub(crate) timeout: Option<Duration>,
    run: AgentRun,
    callback: Option<QueueName>,
}

impl Request {
    /// Reads and checks a request; the failure names the field at fault.
    pub(crate) fn parse(request: RunAgentRequest) -> Result<Self, Error> {
        let context = ExecutionContext::from_proto(request.context.ok_or(action::Error::Missing("context"))?)?;
        let context = agreeing(context)?;
        let user = context.metadata.get("user_id").map(|user| user.parse()).transpose()?;
        let run = checked(request.run.ok_or(action::Error::Missing("run"))?)?;
        let session = optional(&request.session_id)?;
        let callback = optional(&request.callback_queue)?;
        let timeout = request.timeout.as_ref().map(timeout).transpose()?;
        Ok(Self { context, session, user, timeout, run, callback })
    }

    /// Returns where the outcome goes: the caller's choice, which must be its own tenant's, or the orchestrator's callbacks.
    pub(crate) fn callback(&self, tenant: &TenantId) -> Result<QueueName, Error> {
        match &self.callback {
            None => Ok(QueueName::callbacks(Domain::Orchestrator, tenant.clone())),
            Some(own @ QueueName::Callbacks { tenant: owner, .. }) if owner == tenant => Ok(own.clone()),
            Some(_) => {
                let text = "outcomes go to {domain}:{tenant_id}:callbacks of your own tenant";
                Err(Failure::new(&reason::INVALID_QUEUE_NAME, text).field("callback_queue").into())
            }
        }
    }

    /// Returns the run with its turn numbered within the conversation: the leading 64 bits of a fresh UUIDv7, which are the
    /// milliseconds at which it is accepted and a count within them, so that later turns have greater numbers.
    pub(crate) fn numbered(&self) -> AgentRun {
        let mut leading = [0; 8];
        leading.copy_from_slice(&Uuid::now_v7().as_bytes()[..8]);
        AgentRun { turn: u64::from_be_bytes(leading), ..self.run.clone() }
    }
}

/// Checks that an agent is to answer, in a context that is its own or a collection's.
fn agreeing(context: ExecutionContext) -> Result<ExecutionContext, Error> {
    let agent = context.primary_agent.as_ref().ok_or(action::Error::Missing("context.primary_agent_id"))?;
    let fits = match context.id.kind() {
        ContextType::Workflow => {
            let text = "workflow contexts are not served by this version";
            return Err(Failure::new(&reason::CONTEXT_TYPE_UNAVAILABLE, text).field("context.context_type").into());
        }
        ContextType::Agent => ContextId::new(ContextType::Agent, agent.as_str()) == context.id,
        ContextType::Collection => context
            .collections
            .iter()
            .any(|collection| ContextId::new(ContextType::Collection, collection.as_str()) == context.id),
    };
    if !fits {
        let text = "context_id must name the primary agent, or one of the collections in a collection context";
        return Err(Failure::new(&reason::INVALID_CONTEXT_TYPE, text).field("context.context_id").into());
    }
    if context.agents.len() > PARTICIPANTS || context.collections.len() > PARTICIPANTS {
        return Err(wrong("context", format!("a context has at most {PARTICIPANTS} agents and as many collections")));
    }
    check_context_facts(&context.metadata)?;
    Ok(context)
}

fn check_context_facts(facts: &BTreeMap<String, String>) -> Result<(), Error> {
    let fits = |name: &str, value: &str| CONTEXT_FACTS.contains(&name) && value.chars().count() <= CONTEXT_FACT;
    if facts.iter().all(|(name, value)| fits(name, value)) {
        return Ok(());
    }
    let known = CONTEXT_FACTS.join(", ");
    Err(wrong("context.metadata", format!("the facts are {known}, each of at most {CONTEXT_FACT} characters")))
}

/// Checks what the user wrote; also done by the worker, because an action may come from elsewhere.
pub(crate) fn checked(mut run: AgentRun) -> Result<AgentRun, Error> {
    let characters = run.message.chars().count();
    if run.message.trim().is_empty() || characters > MESSAGE_CHARACTERS {
        let text = format!("a message has 1 to {MESSAGE_CHARACTERS} characters, this has {characters}");
        return Err(wrong("message", text));
    }
    if run.message_type.is_empty() {
        "text".clone_into(&mut run.message_type);
    }
    if run.message_type != "text" {
        return Err(wrong("message_type", "the only type of message is `text`"));
    }
    if !run.conversation_id.is_empty() {
        run.conversation_id.parse::<ConversationId>()?;
    }
    check_user_facts(&run.user_info)?;
    Ok(run)
}

fn check_user_facts(facts: &HashMap<String, String>) -> Result<(), Error> {
    if facts.len() > FACTS {
        return Err(wrong("user_info", format!("at most {FACTS} facts about the user are taken")));
    }
    let fits = |name: &str, value: &str| {
        (1..=FACT_NAME).contains(&name.chars().count()) && value.chars().count() <= FACT_VALUE
    };
    if facts.iter().all(|(name, value)| fits(name, value)) {
        return Ok(());
    }
    let bounds = format!("a fact's name has 1 to {FACT_NAME} characters, its value at most {FACT_VALUE}");
    Err(wrong("user_info", bounds))
}

fn timeout(given: &prost_types::Duration) -> Result<Duration, Error> {
    let positive = time::duration_from_proto(given).filter(|timeout| !timeout.is_zero());
    positive.ok_or_else(|| wrong("timeout", "a timeout is longer than nothing"))
}

fn optional<T: std::str::FromStr<Err = action::Error>>(text: &str) -> Result<Option<T>, Error> {
    if text.is_empty() { Ok(None) } else { Ok(Some(text.parse()?)) }
}

fn wrong(field: &'static str, text: impl Into<String>) -> Error {
    Failure::new(&reason::INVALID_FIELD, text).field(field).into()
}

#[cfg(test)]
mod tests;
