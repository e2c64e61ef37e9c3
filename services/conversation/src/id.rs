//! Identifiers that follow from others, so that doing something again finds what the first time made.

use std::str::FromStr;

use action::{AgentId, ConversationId, SessionId, TaskId, TenantId};
use uuid::Uuid;

use crate::Error;

/// What every conversation of a session is derived in; part of the stored data, never to be changed.
const CONVERSATIONS: Uuid = Uuid::from_u128(0x5d3f_8f0a_7c1e_4b5d_9a62_1f4f_0e8c_7b21);

/// Returns the conversation that a session has with an agent.
pub(crate) fn conversation(tenant: &TenantId, session: &SessionId, agent: &AgentId) -> ConversationId {
    let derived = Uuid::new_v5(&CONVERSATIONS, format!("{tenant}:{session}:{agent}").as_bytes());
    derived.to_string().parse().expect("a UUID is within the grammar of identifiers")
}

/// Returns the id of the message that a role said in the turn of a task.
pub(crate) fn message(task: TaskId, role: &str) -> String {
    Uuid::new_v5(&task.into(), role.as_bytes()).to_string()
}

/// Reads an identifier that must be there.
pub(crate) fn required<T: FromStr>(field: &'static str, text: &str, grammar: &'static str) -> Result<T, Error> {
    optional(field, text, grammar)?.ok_or_else(|| Error::field(field, "is required"))
}

/// Reads an identifier that may be empty.
pub(crate) fn optional<T: FromStr>(field: &'static str, text: &str, grammar: &'static str) -> Result<Option<T>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| Error::field(field, grammar))
}

/// The grammar of names from outside.
pub(crate) const WORD: &str = "must be 3 to 64 characters out of A-Z a-z 0-9 _ -";
/// The grammar of tasks.
pub(crate) const UUID: &str = "must be a UUID";

#[cfg(test)]
mod tests {
    use super::{conversation, message};

    #[test]
    fn derived_ids_are_the_same_every_time_and_on_every_machine() {
        let (tenant, session, agent) = ("acme".parse().unwrap(), "s-1".parse().unwrap(), "agent-1".parse().unwrap());
        let id = conversation(&tenant, &session, &agent);
        assert_eq!(id, conversation(&tenant, &session, &agent));
        assert_eq!(id.as_str(), "51c66327-e9db-5513-9463-46820d344a91");
        let task = "0192f0c1-2345-7abc-8def-0123456789ab".parse().unwrap();
        assert_ne!(message(task, "user"), message(task, "assistant"));
    }

    #[test]
    fn another_tenant_session_or_agent_gives_another_conversation() {
        let id = |tenant: &str, session: &str, agent: &str| {
            conversation(&tenant.parse().unwrap(), &session.parse().unwrap(), &agent.parse().unwrap())
        };
        let own = id("acme", "session", "agent");
        assert_ne!(own, id("acme2", "session", "agent"));
        assert_ne!(own, id("acme", "session2", "agent"));
        assert_ne!(own, id("acme", "session", "agent2"));
    }
}
