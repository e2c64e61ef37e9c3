//! The payload of `execution.agent_run`: what may be asked of an agent, the same at every entrance and in the worker.

use std::collections::HashMap;

use fault::{Failure, Fault, reason};
use proto::execution::v1::AgentRun;
use uuid::Uuid;

use crate::ConversationId;

/// Most characters of a message, in Unicode scalar values.
const MESSAGE_CHARACTERS: usize = 4_000;
/// Most facts about a user, and the most characters of a fact's name and value.
const FACTS: usize = 32;
const FACT_NAME: usize = 64;
const FACT_VALUE: usize = 512;

/// Most messages of a history that a caller keeps itself, and the most bytes of all of them.
const HISTORY: usize = 100;
const HISTORY_BYTES: usize = 64 * 1024;

/// A field of a run is out of bounds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Invalid {
    field: &'static str,
    text: String,
}

impl Fault for Invalid {
    fn failure(&self) -> Failure {
        Failure::new(&reason::INVALID_FIELD, self.text.clone()).field(self.field)
    }
}

impl From<Invalid> for tonic::Status {
    fn from(invalid: Invalid) -> Self {
        fault::status(&invalid)
    }
}

/// Accepts a run: checks it and numbers its turn within the conversation. The number is the leading 64 bits of a fresh
/// UUIDv7, which are the milliseconds at which it is accepted and a count within them, so that later turns have greater
/// numbers.
///
/// # Errors
///
/// Those of [`checked`]; the field `run` when there is none.
pub fn accepted(run: Option<AgentRun>) -> Result<AgentRun, Invalid> {
    let run = checked(run.ok_or_else(|| wrong("run", "`run` is required"))?)?;
    let mut leading = [0; 8];
    leading.copy_from_slice(&Uuid::now_v7().as_bytes()[..8]);
    Ok(AgentRun { turn: u64::from_be_bytes(leading), ..run })
}

/// Checks what the user wrote, and fills in the kind of message; also done by the worker, because an action may come from
/// elsewhere.
///
/// # Errors
///
/// [`Invalid`], naming the field at fault.
pub fn checked(mut run: AgentRun) -> Result<AgentRun, Invalid> {
    check_history(&run)?;
    let characters = run.message.chars().count();
    if characters > MESSAGE_CHARACTERS {
        let text = format!("a message has 1 to {MESSAGE_CHARACTERS} characters, this has {characters}");
        return Err(wrong("message", text));
    }
    if run.message.trim().is_empty() {
        return Err(wrong(
            "message",
            format!("a message has 1 to {MESSAGE_CHARACTERS} characters that are not all blank"),
        ));
    }
    if run.message_type.is_empty() {
        "text".clone_into(&mut run.message_type);
    }
    if run.message_type != "text" {
        return Err(wrong("message_type", "the only type of message is `text`"));
    }
    if !run.conversation_id.is_empty() {
        run.conversation_id.parse::<ConversationId>().map_err(|error| wrong("conversation_id", error.to_string()))?;
    }
    check_facts(&run.user_info)?;
    Ok(run)
}

fn check_facts(facts: &HashMap<String, String>) -> Result<(), Invalid> {
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

fn check_history(run: &AgentRun) -> Result<(), Invalid> {
    if run.history.iter().any(|message| !matches!(message.role.as_str(), "user" | "assistant")) {
        return Err(wrong("history", "`history` holds messages of `user` and `assistant` only"));
    }
    let bytes: usize = run.history.iter().map(|message| message.content.len()).sum();
    if run.history.len() > HISTORY || bytes > HISTORY_BYTES {
        let text = format!("`history` has at most {HISTORY} messages and {HISTORY_BYTES} bytes");
        return Err(wrong("history", text));
    }
    Ok(())
}

fn wrong(field: &'static str, text: impl Into<String>) -> Invalid {
    Invalid { field, text: text.into() }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{AgentRun, accepted};

    fn run(message: &str) -> AgentRun {
        AgentRun { message: message.into(), ..AgentRun::default() }
    }

    #[track_caller]
    fn refused(change: impl FnOnce(&mut AgentRun), field: &str) {
        let mut run = run("hola");
        change(&mut run);
        assert_eq!(accepted(Some(run)).expect_err("must be refused").field, field);
    }

    #[test]
    fn a_message_has_one_to_4000_characters_however_many_bytes_they_take() {
        for text in ["a", &"ñ".repeat(4_000), &"🦀".repeat(4_000)] {
            assert!(accepted(Some(run(text))).is_ok());
        }
        for text in ["", "  \n", &"a".repeat(4_001)] {
            refused(|run| run.message = text.into(), "message");
        }
    }

    #[test]
    fn every_field_out_of_bounds_is_named() {
        refused(|run| run.message_type = "image".into(), "message_type");
        refused(|run| run.conversation_id = "a b".into(), "conversation_id");
        refused(|run| drop(run.user_info.insert("x".repeat(65), String::new())), "user_info");
        refused(|run| drop(run.user_info.insert("x".into(), "y".repeat(513))), "user_info");
        refused(|run| run.user_info = (0..33).map(|n| (n.to_string(), n.to_string())).collect(), "user_info");
        assert_eq!(accepted(None).expect_err("must be refused").field, "run");
    }

    #[test]
    fn later_turns_have_greater_numbers() {
        let mut last = 0;
        let end = Instant::now() + Duration::from_millis(3);
        while Instant::now() < end {
            let turn = accepted(Some(run("hola"))).expect("whole").turn;
            assert!(turn > 0 && turn >= last, "a later turn never has a smaller number");
            last = turn;
        }
        assert!(i64::try_from(last).is_ok(), "a number fits a signed column");
    }
}
