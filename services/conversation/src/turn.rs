//! A turn as it may be saved.

use action::{AgentId, ConversationId, SessionId, TaskId, UserId};
use proto::conversation::v1 as wire;

use crate::Error;
use crate::id::{self, UUID, WORD};

/// Most bytes of what is said in one message.
const MAX_CONTENT: usize = 256 * 1024;
/// Most bytes of what is kept with a turn.
const MAX_RESULT: usize = 512 * 1024;

/// Names of an answer and its fields.
const ANSWER: [&str; 3] = ["turn.assistant", "turn.assistant.role", "turn.assistant.content"];

/// A question and its answer, checked.
pub(crate) struct Turn {
    pub(crate) conversation: ConversationId,
    pub(crate) agent: AgentId,
    pub(crate) session: Option<SessionId>,
    pub(crate) user: Option<UserId>,
    pub(crate) task: TaskId,
    /// None when the turn comes after those that are there.
    pub(crate) number: Option<i64>,
    /// The question, then the answer.
    pub(crate) messages: [Said; 2],
    pub(crate) result: Vec<u8>,
}

/// One message of a turn.
pub(crate) struct Said {
    pub(crate) role: &'static str,
    pub(crate) content: String,
    pub(crate) model: String,
    pub(crate) tokens: u32,
}

impl Turn {
    /// Checks a request; the first field that is wrong is named.
    pub(crate) fn read(request: wire::SaveTurnRequest) -> Result<Self, Error> {
        let turn = bounded(request.turn)?;
        let question = Said::read("user", ["turn.user", "turn.user.role", "turn.user.content"], turn.user)?;
        if question.content.is_empty() {
            return Err(Error::field("turn.user.content", "is required"));
        }
        let answer = Said::read("assistant", ANSWER, turn.assistant)?;
        let number = i64::try_from(request.turn_number);
        let number = number.map_err(|_| Error::field("turn_number", "must be less than 2^63"))?;
        Ok(Self {
            conversation: id::required("conversation_id", &request.conversation_id, WORD)?,
            agent: id::required("agent_id", &request.agent_id, WORD)?,
            session: id::optional("session_id", &request.session_id, WORD)?,
            user: id::optional("user_id", &request.user_id, WORD)?,
            task: id::required("turn.task_id", &turn.task_id, UUID)?,
            number: Some(number).filter(|number| *number > 0),
            messages: [question, answer],
            result: turn.result,
        })
    }
}

/// Reads a turn that belongs to no conversation: what counts of it is its result.
pub(crate) fn loose(request: wire::SaveTurnRequest) -> Result<(TaskId, wire::SavedTurn), Error> {
    let turn = bounded(request.turn)?;
    let answer = Said::read("assistant", ANSWER, turn.assistant.clone())?;
    let assistant = Some(wire::Message { role: answer.role.to_owned(), content: answer.content, ..Default::default() });
    let task: TaskId = id::required("turn.task_id", &turn.task_id, UUID)?;
    // The question is known to whoever asks again.
    Ok((task, wire::SavedTurn { task_id: task.to_string(), user: None, assistant, result: turn.result }))
}

fn bounded(turn: Option<wire::SavedTurn>) -> Result<wire::SavedTurn, Error> {
    let turn = turn.ok_or_else(|| Error::field("turn", "is required"))?;
    if turn.result.len() > MAX_RESULT {
        return Err(Error::field("turn.result", "must be at most 512 KiB"));
    }
    Ok(turn)
}

impl Said {
    fn read(
        expected: &'static str,
        [field, role, content]: [&'static str; 3],
        message: Option<wire::Message>,
    ) -> Result<Self, Error> {
        let message = message.ok_or_else(|| Error::field(field, "is required"))?;
        if !message.role.is_empty() && message.role != expected {
            return Err(Error::field(role, "must be `user` in the question and `assistant` in the answer"));
        }
        if message.content.len() > MAX_CONTENT {
            return Err(Error::field(content, "must be at most 256 KiB"));
        }
        Ok(Self {
            role: expected,
            content: storable(message.content),
            model: storable(message.model_used),
            tokens: message.tokens,
        })
    }
}

/// PostgreSQL takes no NUL in a text; that a model wrote one is no reason to lose the turn.
fn storable(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}
