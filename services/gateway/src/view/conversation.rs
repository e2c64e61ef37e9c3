//! What was said.

use proto::conversation::v1 as wire;
use serde::Serialize;
use utoipa::ToSchema;

use super::filled;

/// One message of a conversation.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct MessageView {
    message_id: String,
    /// `user`, `assistant` or `system`.
    role: String,
    content: String,
    agent_id: Option<String>,
    /// Model that wrote it; null for a user's message.
    model_used: Option<String>,
    tokens: u32,
    task_id: Option<String>,
    created_at: Option<String>,
}

impl From<wire::Message> for MessageView {
    fn from(message: wire::Message) -> Self {
        Self {
            message_id: message.message_id,
            role: message.role,
            content: message.content,
            agent_id: filled(message.agent_id),
            model_used: filled(message.model_used),
            tokens: message.tokens,
            task_id: filled(message.task_id),
            created_at: message.created_at.map(|at| at.to_string()),
        }
    }
}

/// Messages of a conversation, oldest first, a page of them.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct MessagesView {
    pub(crate) conversation_id: String,
    pub(crate) messages: Vec<MessageView>,
    /// Where to go on; null on the last page.
    pub(crate) next_page_token: Option<String>,
}
