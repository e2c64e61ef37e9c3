//! The tables: rows and statements.

use action::{AgentId, ConversationId, TaskId, UserId, time};
use proto::conversation::v1 as wire;
use sqlx::FromRow;
use store::{Connection, Page, Scoped};

use crate::turn::Turn;
use crate::{Error, id};

/// A row of `messages`.
#[derive(FromRow)]
pub(crate) struct MessageRow {
    message_id: String,
    task_id: String,
    agent_id: String,
    turn_number: i64,
    created_at: i64,
    position: i64,
    role: String,
    content: String,
    model_used: String,
    tokens: i64,
}

impl MessageRow {
    /// Returns what messages are ordered by, as the parts of a page's key.
    pub(crate) fn key(&self) -> Vec<String> {
        let Self { turn_number, created_at, task_id, position, .. } = self;
        vec![turn_number.to_string(), created_at.to_string(), task_id.clone(), position.to_string()]
    }

    /// Returns how long what was said is.
    pub(crate) fn bytes(&self) -> usize {
        self.content.len()
    }
}

/// How many parts [`MessageRow::key`] has.
pub(crate) const KEY_PARTS: usize = 4;

impl From<MessageRow> for wire::Message {
    fn from(row: MessageRow) -> Self {
        Self {
            message_id: row.message_id,
            role: row.role,
            content: row.content,
            agent_id: row.agent_id,
            model_used: row.model_used,
            tokens: u32::try_from(row.tokens).unwrap_or_default(),
            created_at: Some(time::from_unix_ms(row.created_at.unsigned_abs())),
            task_id: row.task_id,
        }
    }
}

macro_rules! messages {
    ($conditions:literal) => {
        concat!(
            "SELECT message_id, task_id, agent_id, turn_number, created_at, position, role, content, model_used, tokens ",
            "FROM messages WHERE tenant_id = $1 AND ",
            $conditions
        )
    };
}

/// Returns the last messages of a conversation with an agent, newest first, without those of one task.
pub(crate) async fn last(
    scope: &Scoped<'_>,
    connection: &mut Connection,
    conversation: &ConversationId,
    agent: &AgentId,
    limit: u32,
    without: Option<TaskId>,
) -> Result<Vec<MessageRow>, Error> {
    let rows = scope
        .query_as(messages!(
            "conversation_id = $2 AND agent_id = $3 AND task_id <> $4 \
             ORDER BY turn_number DESC, created_at DESC, task_id DESC, position DESC LIMIT $5"
        ))
        .bind(conversation.as_str().to_owned())
        .bind(agent.as_str().to_owned())
        .bind(without.map(|task| task.to_string()).unwrap_or_default())
        .bind(i64::from(limit))
        .fetch_all(connection)
        .await?;
    Ok(rows)
}

/// Returns a page of a conversation, and one message more if there is one; with every agent where none is named, and without what
/// another person began where one is named.
pub(crate) async fn page(
    scope: &Scoped<'_>,
    conversation: &ConversationId,
    (agent, user): (Option<&AgentId>, Option<&UserId>),
    page: &Page,
) -> Result<Vec<MessageRow>, Error> {
    let rows = scope
        .query_as(messages!(
            "conversation_id = $2 AND ($3 = '' OR agent_id = $3) \
             AND (turn_number, created_at, task_id, position) > ($4, $5, $6, $7) \
             AND ($9 = '' OR NOT EXISTS (SELECT 1 FROM conversations AS begun \
             WHERE begun.tenant_id = $1 AND begun.conversation_id = $2 AND begun.agent_id = messages.agent_id \
             AND begun.user_id NOT IN ('', $9))) \
             ORDER BY turn_number, created_at, task_id, position LIMIT $8"
        ))
        .bind(conversation.as_str().to_owned())
        .bind(agent.map(|agent| agent.as_str().to_owned()).unwrap_or_default())
        .bind(page.after_number(0)?.unwrap_or(-1))
        .bind(page.after_number(1)?.unwrap_or(-1))
        .bind(page.after(2).unwrap_or_default().to_owned())
        .bind(page.after_number(3)?.unwrap_or(-1))
        .bind(page.limit())
        .bind(user.map(|user| user.as_str().to_owned()).unwrap_or_default())
        .fetch_all(scope.read())
        .await?;
    Ok(rows)
}

/// Tells whether another person began a conversation with an agent.
pub(crate) async fn is_anothers(
    scope: &Scoped<'_>,
    connection: &mut Connection,
    (conversation, agent): (&ConversationId, &AgentId),
    user: &UserId,
) -> Result<bool, Error> {
    let sql = "SELECT COUNT(*) FROM conversations \
               WHERE tenant_id = $1 AND conversation_id = $2 AND agent_id = $3 AND user_id NOT IN ('', $4)";
    let found: i64 = scope
        .query_scalar(sql)
        .bind(conversation.as_str().to_owned())
        .bind(agent.as_str().to_owned())
        .bind(user.as_str().to_owned())
        .fetch_one(connection)
        .await?;
    Ok(found > 0)
}

/// Returns the turn that a task saved in a conversation with an agent.
pub(crate) async fn saved_turn(
    scope: &Scoped<'_>,
    connection: &mut Connection,
    conversation: &ConversationId,
    agent: &AgentId,
    task: TaskId,
) -> Result<Option<wire::SavedTurn>, Error> {
    let sql = "SELECT result FROM turns \
               WHERE tenant_id = $1 AND task_id = $2 AND conversation_id = $3 AND agent_id = $4";
    let result: Option<Vec<u8>> = scope
        .query_scalar(sql)
        .bind(task.to_string())
        .bind(conversation.as_str().to_owned())
        .bind(agent.as_str().to_owned())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(result) = result else { return Ok(None) };
    let rows: Vec<MessageRow> = scope
        .query_as(messages!("task_id = $2 ORDER BY position"))
        .bind(task.to_string())
        .fetch_all(connection)
        .await?;
    let mut messages = rows.into_iter().map(wire::Message::from);
    let (user, assistant) = (messages.next(), messages.next());
    Ok(Some(wire::SavedTurn { task_id: task.to_string(), user, assistant, result }))
}

/// Notes that the conversation is going on, making it with its first turn.
pub(crate) async fn touch(scope: &Scoped<'_>, connection: &mut Connection, turn: &Turn, now: i64) -> Result<(), Error> {
    let sql = "INSERT INTO conversations \
               (tenant_id, conversation_id, agent_id, session_id, user_id, created_at, updated_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $6) \
               ON CONFLICT (tenant_id, conversation_id, agent_id) DO UPDATE SET updated_at = excluded.updated_at";
    scope
        .query(sql)
        .bind(turn.conversation.as_str().to_owned())
        .bind(turn.agent.as_str().to_owned())
        .bind(turn.session.as_ref().map(|session| session.as_str().to_owned()).unwrap_or_default())
        .bind(turn.user.as_ref().map(|user| user.as_str().to_owned()).unwrap_or_default())
        .bind(now)
        .execute(connection)
        .await?;
    Ok(())
}

/// Returns the number of a turn that comes after those that are there.
pub(crate) async fn next_number(scope: &Scoped<'_>, connection: &mut Connection, turn: &Turn) -> Result<i64, Error> {
    let sql = "SELECT COALESCE(MAX(turn_number), 0) FROM turns \
               WHERE tenant_id = $1 AND conversation_id = $2 AND agent_id = $3";
    let last: i64 = scope
        .query_scalar(sql)
        .bind(turn.conversation.as_str().to_owned())
        .bind(turn.agent.as_str().to_owned())
        .fetch_one(connection)
        .await?;
    Ok(last.saturating_add(1))
}

/// Inserts a turn, unless its task has saved one. Tells whether it was inserted.
pub(crate) async fn insert_turn(
    scope: &Scoped<'_>,
    connection: &mut Connection,
    turn: &Turn,
    number: i64,
    now: i64,
) -> Result<bool, Error> {
    let sql = "INSERT INTO turns (tenant_id, task_id, conversation_id, agent_id, turn_number, result, created_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tenant_id, task_id) DO NOTHING";
    let inserted = scope
        .query(sql)
        .bind(turn.task.to_string())
        .bind(turn.conversation.as_str().to_owned())
        .bind(turn.agent.as_str().to_owned())
        .bind(number)
        .bind(turn.result.clone())
        .bind(now)
        .execute(connection)
        .await?;
    Ok(inserted.rows_affected() > 0)
}

/// Inserts the messages of a turn.
pub(crate) async fn insert_messages(
    scope: &Scoped<'_>,
    connection: &mut Connection,
    turn: &Turn,
    number: i64,
    now: i64,
) -> Result<(), Error> {
    let sql = "INSERT INTO messages (tenant_id, message_id, task_id, conversation_id, agent_id, turn_number, created_at, \
               position, role, content, model_used, tokens) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    for (position, said) in (0_i64..).zip(&turn.messages) {
        scope
            .query(sql)
            .bind(id::message(turn.task, said.role))
            .bind(turn.task.to_string())
            .bind(turn.conversation.as_str().to_owned())
            .bind(turn.agent.as_str().to_owned())
            .bind(number)
            .bind(now)
            .bind(position)
            .bind(said.role)
            .bind(said.content.clone())
            .bind(said.model.clone())
            .bind(i64::from(said.tokens))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
