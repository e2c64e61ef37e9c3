//! In which contexts a caller may have an agent run.

use std::collections::BTreeMap;

use action::{ContextId, ContextType, ExecutionContext};
use fault::{Failure, reason};

use crate::Error;

/// Facts about the request that a context may carry, and the most characters of one.
const FACTS: [&str; 5] = ["user_id", "conversation_id", "request_source", "client_version", "created_from"];
const FACT: usize = 64;
/// Most agents, and most collections, of a context.
const PARTICIPANTS: usize = 16;

/// Checks that an agent is to answer, in a context that is its own or a collection's.
pub(crate) fn check(context: &ExecutionContext) -> Result<(), Error> {
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
    check_facts(&context.metadata)
}

fn check_facts(facts: &BTreeMap<String, String>) -> Result<(), Error> {
    let fits = |name: &str, value: &str| FACTS.contains(&name) && value.chars().count() <= FACT;
    if facts.iter().all(|(name, value)| fits(name, value)) {
        return Ok(());
    }
    let known = FACTS.join(", ");
    Err(wrong("context.metadata", format!("the facts are {known}, each of at most {FACT} characters")))
}

fn wrong(field: &'static str, text: String) -> Error {
    Failure::new(&reason::INVALID_FIELD, text).field(field).into()
}

#[cfg(test)]
mod tests;
