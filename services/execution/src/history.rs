//! What was said before, and saving what is said now.

use action::{Action, SessionId, TaskId, UserId};
use models::{Role, Turn};
use prost::Message as _;
use proto::conversation::v1::{GetContextRequest, Message, SaveTurnRequest, SavedTurn};
use proto::execution::v1::{AgentRun, AgentRunResult};
use proto::management::v1::Agent;
use service_kit::Peers;
use uuid::Uuid;

use crate::Error;

const SERVICE: &str = "conversation";

/// Most bytes of all turns together: half of what the payload of an action may have.
const ROOM: usize = 128 * 1024;

/// A conversation as the service that keeps it resolved it.
#[derive(Debug, Default)]
pub(crate) struct Conversation {
    /// Empty for a run that belongs to none.
    id: String,
    /// What was said before, oldest first, as far as it has room.
    pub(crate) turns: Vec<Turn>,
    /// The answer that an earlier attempt of the same task saved.
    pub(crate) answered: Option<AgentRunResult>,
}

/// Reaches the service that keeps conversations.
#[derive(Clone, Debug)]
pub(crate) struct History {
    peers: Peers,
}

impl History {
    pub(crate) fn new(peers: Peers) -> Self {
        Self { peers }
    }

    /// Reads at most `limit` messages, and the turn of this very task if it was saved before. A run that belongs to neither
    /// a session nor a conversation has that turn and no history.
    pub(crate) async fn of(
        &self,
        action: &Action,
        run: &AgentRun,
        agent: &Agent,
        limit: u32,
    ) -> Result<Conversation, Error> {
        let request = GetContextRequest {
            conversation_id: run.conversation_id.clone(),
            session_id: action.session.as_ref().map(SessionId::to_string).unwrap_or_default(),
            agent_id: agent.agent_id.clone(),
            limit,
            task_id: action.task.to_string(),
        };
        let mut client = self.peers.conversation(action);
        let response = client.get_context(request).await.map_err(|status| Error::peer(SERVICE, &status))?.into_inner();
        Ok(Conversation {
            id: response.conversation_id,
            turns: latest(response.messages.into_iter().filter_map(turn).collect()),
            answered: response.saved_turn.map(|saved| answer_of(&saved)),
        })
    }

    /// Saves both messages of the turn in one step. Returns whether an attempt of the same task had saved its own before,
    /// which then stands.
    pub(crate) async fn save(
        &self,
        action: &Action,
        conversation: &Conversation,
        run: &AgentRun,
        agent: &Agent,
        result: &AgentRunResult,
    ) -> Result<bool, Error> {
        let request = SaveTurnRequest {
            conversation_id: conversation.id.clone(),
            session_id: action.session.as_ref().map(SessionId::to_string).unwrap_or_default(),
            agent_id: agent.agent_id.clone(),
            user_id: action.user.as_ref().map(UserId::to_string).unwrap_or_default(),
            turn: Some(saved(action.task, run, agent, result)),
            turn_number: run.turn,
        };
        let mut client = self.peers.conversation(action);
        let response = client.save_turn(request).await.map_err(|status| Error::peer(SERVICE, &status))?;
        Ok(response.into_inner().saved_before)
    }
}

/// Drops the oldest turns until the rest has room in the action that carries it to the documents.
fn latest(mut turns: Vec<Turn>) -> Vec<Turn> {
    let mut room = ROOM;
    let fits = |turn: &&Turn| {
        let left = room.checked_sub(turn.text.len());
        room = left.unwrap_or(room);
        left.is_some()
    };
    let kept = turns.iter().rev().take_while(fits).count();
    turns.split_off(turns.len() - kept)
}

fn turn(message: Message) -> Option<Turn> {
    let role = match message.role.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        _ => return None,
    };
    Some(Turn { role, text: message.content })
}

/// Reads the answer of a saved turn; one that this version cannot decode still has its text.
fn answer_of(saved: &SavedTurn) -> AgentRunResult {
    let text = saved.assistant.as_ref().map(|message| message.content.clone()).unwrap_or_default();
    AgentRunResult::decode(saved.result.as_slice())
        .ok()
        .filter(|result| !result.response.is_empty())
        .unwrap_or_else(|| AgentRunResult { response: text, found: true, ..AgentRunResult::default() })
}

fn saved(task: TaskId, run: &AgentRun, agent: &Agent, result: &AgentRunResult) -> SavedTurn {
    let message = |role: &str, content: &str| Message {
        message_id: Uuid::new_v5(&task.into(), role.as_bytes()).to_string(),
        role: role.to_owned(),
        content: content.to_owned(),
        agent_id: agent.agent_id.clone(),
        tokens: estimated_tokens(content),
        task_id: task.to_string(),
        ..Message::default()
    };
    let model_used = result.agent_info.as_ref().map(|info| info.model_used.clone()).unwrap_or_default();
    SavedTurn {
        task_id: task.to_string(),
        user: Some(message("user", &run.message)),
        assistant: Some(Message { model_used, ..message("assistant", &result.response) }),
        result: result.encode_to_vec(),
    }
}

/// Estimates tokens where no tokenizer is at hand: four characters each.
fn estimated_tokens(text: &str) -> u32 {
    u32::try_from(text.chars().count().div_ceil(4)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use models::{Role, Turn};

    use super::{ROOM, latest};

    #[test]
    fn the_oldest_turns_are_dropped_until_the_rest_has_room() {
        let kept = |lengths: &[usize]| {
            let turn = |&length| Turn { role: Role::User, text: "x".repeat(length) };
            latest(lengths.iter().map(turn).collect()).iter().map(|turn| turn.text.len()).collect::<Vec<_>>()
        };
        assert_eq!(kept(&[]), [0; 0]);
        assert_eq!(kept(&[1, 2, 3]), [1, 2, 3]);
        assert_eq!(kept(&[1, ROOM - 5, 5]), [ROOM - 5, 5]);
        assert_eq!(kept(&[1, ROOM, 5]), [5], "what was said before a turn that is dropped is dropped too");
        assert_eq!(kept(&[1, ROOM + 1]), [0; 0]);
    }
}
