//! Reading and saving.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use action::{AgentId, ConversationId, TenantId, Tier, UserId};
use proto::conversation::v1 as wire;
use store::{Page, PageBounds};

use crate::id::{self, UUID, WORD};
use crate::turn::{self, Turn};
use crate::{Conversations, Error, loose, table};

/// Who reads, as far as that says what is for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reader {
    /// The only person whose conversations are read, besides those that were begun for nobody in particular.
    pub user: Option<UserId>,
    /// The only agents whose messages are read.
    pub agents: Option<BTreeSet<AgentId>>,
    /// Whether it is no service of the mesh.
    pub is_outside: bool,
}

impl Reader {
    fn may_read(&self, message: &wire::Message) -> bool {
        self.agents.as_ref().is_none_or(|agents| agents.iter().any(|agent| agent.as_str() == message.agent_id))
    }
}

const BOUNDS: PageBounds = PageBounds { default: 50, max: 200 };

impl Conversations {
    /// Returns the last messages of a conversation, oldest first, as many as are asked for and the tier allows (all that it
    /// allows when `limit` is 0), without those of the task that asks; what that task saved stands in `saved_turn`. Of long
    /// messages there are fewer, 2 MiB in all. Without a conversation and a session there is nothing but that.
    pub async fn context(
        &self,
        tenant: &TenantId,
        tier: Tier,
        reader: &Reader,
        request: &wire::GetContextRequest,
    ) -> Result<wire::GetContextResponse, Error> {
        let agent: AgentId = id::required("agent_id", &request.agent_id, WORD)?;
        let task = id::optional("task_id", &request.task_id, UUID)?;
        if let Some(task) = task.filter(|_| is_loose(&request.conversation_id, &request.session_id)) {
            // It belongs to no conversation, and is for whoever runs the task again.
            if reader.is_outside {
                return Ok(wire::GetContextResponse::default());
            }
            let saved_turn = loose::find(&self.database.tenant(tenant), task).await?;
            return Ok(wire::GetContextResponse { saved_turn, ..wire::GetContextResponse::default() });
        }
        let conversation = resolve(tenant, &request.conversation_id, &request.session_id, &agent)?;
        let bound = self.tiers.of(tier).history_messages;
        let limit = if request.limit == 0 { bound } else { request.limit.min(bound) };

        let scope = self.database.tenant(tenant);
        let mut connection = scope.read().acquire().await?;
        if let Some(user) = &reader.user
            && table::is_anothers(&scope, &mut connection, (&conversation, &agent), user).await?
        {
            let conversation_id = conversation.to_string();
            return Ok(wire::GetContextResponse { conversation_id, ..wire::GetContextResponse::default() });
        }
        let saved_turn = match task {
            Some(task) => table::saved_turn(&scope, &mut connection, &conversation, &agent, task).await?,
            None => None,
        };
        let mut rows = table::last(&scope, &mut connection, &conversation, &agent, limit, task).await?;
        rows.truncate(store::fitting(rows.iter().map(table::MessageRow::bytes)));
        let messages = rows.into_iter().rev().map(Into::into).collect();
        Ok(wire::GetContextResponse { conversation_id: conversation.to_string(), messages, saved_turn })
    }

    /// Saves both messages of a turn in one step. A task saves one turn: what it saves again changes nothing. One without a
    /// conversation and a session is kept for the task alone.
    pub async fn save_turn(
        &self,
        tenant: &TenantId,
        request: wire::SaveTurnRequest,
    ) -> Result<wire::SaveTurnResponse, Error> {
        let now = now_ms();
        let scope = self.database.tenant(tenant);
        if is_loose(&request.conversation_id, &request.session_id) {
            let (task, turn) = turn::loose(request)?;
            let saved_before = !loose::save(&scope, task, &turn, now).await?;
            return Ok(wire::SaveTurnResponse { saved_before });
        }
        let turn = Turn::read(request)?;
        let mut transaction = scope.begin().await?;
        table::touch(&scope, &mut transaction, &turn, now).await?;
        let number = match turn.number {
            Some(number) => number,
            None => table::next_number(&scope, &mut transaction, &turn).await?,
        };
        if !table::insert_turn(&scope, &mut transaction, &turn, number, now).await? {
            transaction.rollback().await?;
            return Ok(wire::SaveTurnResponse { saved_before: true });
        }
        table::insert_messages(&scope, &mut transaction, &turn, number, now).await?;
        transaction.commit().await?;
        Ok(wire::SaveTurnResponse { saved_before: false })
    }

    /// Lists the messages of a conversation, oldest first, 2 MiB a page at most. One that nobody has begun is empty, and so is what is
    /// not for the reader.
    pub async fn messages(
        &self,
        tenant: &TenantId,
        reader: &Reader,
        request: &wire::ListMessagesRequest,
    ) -> Result<wire::ListMessagesResponse, Error> {
        let agent: Option<AgentId> = id::optional("agent_id", &request.agent_id, WORD)?;
        let conversation = match &agent {
            Some(agent) => resolve(tenant, &request.conversation_id, &request.session_id, agent)?,
            None if request.conversation_id.is_empty() => {
                return Err(Error::field("agent_id", "is required when `conversation_id` is empty"));
            }
            None => id::required("conversation_id", &request.conversation_id, WORD)?,
        };
        let page = Page::read("messages", table::KEY_PARTS, BOUNDS, request.page_size, &request.page_token)?;
        let scope = self.database.tenant(tenant);
        let rows = table::page(&scope, &conversation, (agent.as_ref(), reader.user.as_ref()), &page).await?;
        let most = store::fitting(rows.iter().map(table::MessageRow::bytes));
        let (rows, next_page_token) = page.finish_at(most, rows, table::MessageRow::key);
        let messages = rows.into_iter().map(wire::Message::from).filter(|message| reader.may_read(message)).collect();
        Ok(wire::ListMessagesResponse { conversation_id: conversation.to_string(), messages, next_page_token })
    }
}

fn is_loose(conversation: &str, session: &str) -> bool {
    conversation.is_empty() && session.is_empty()
}

/// Returns the conversation that is named, or the one that the session has with the agent.
fn resolve(tenant: &TenantId, conversation: &str, session: &str, agent: &AgentId) -> Result<ConversationId, Error> {
    if let Some(named) = id::optional("conversation_id", conversation, WORD)? {
        return Ok(named);
    }
    let session = id::optional("session_id", session, WORD)?
        .ok_or_else(|| Error::field("session_id", "is required when `conversation_id` is empty"))?;
    Ok(id::conversation(tenant, &session, agent))
}

/// Milliseconds since 1970, as the tables have it.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
