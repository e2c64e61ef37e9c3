//! Identifiers. Outside names are short words; what the product names itself are UUIDs.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

use crate::Error;

macro_rules! word_ids {
    ($($(#[$doc:meta])* $name:ident = $field:literal;)*) => {$(
        $(#[$doc])*
        ///
        /// 3 to 64 characters out of `A-Z a-z 0-9 _ -`. Cloning is cheap.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Returns the identifier as it is written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                if is_word(text) { Ok(Self(text.into())) } else { Err(Error::Id { field: $field }) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

word_ids! {
    /// A customer.
    TenantId = "tenant_id";
    /// A dialog that shows progress and results.
    SessionId = "session_id";
    /// An agent of a tenant.
    AgentId = "agent_id";
    /// A collection of documents.
    CollectionId = "collection_id";
    /// A person who works for a tenant.
    UserId = "user_id";
    /// A chain of turns with an agent.
    ConversationId = "conversation_id";
    /// A document of a tenant.
    DocumentId = "document_id";
}

/// Names that stand first in paths of the product; a tenant of that name would have addresses that nobody reaches.
const RESERVED: [&str; 12] =
    ["api", "ws", "metrics", "health", "v1", "console", "docs", "errors", "openapi", "asyncapi", "admin", "www"];

impl TenantId {
    /// Tells whether a name would hide a path of the product, in whatever case it is written; no tenant has such a name.
    pub fn is_reserved(name: &str) -> bool {
        RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved))
    }
}

fn is_word(text: &str) -> bool {
    (3..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

macro_rules! uuid_ids {
    ($($(#[$doc:meta])* $name:ident = $field:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes a new one; later ones sort after earlier ones.
            #[expect(clippy::new_without_default, reason = "every call gives another value")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// Returns the 16 bytes.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// Reads it from its 16 bytes.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, Error> {
                Uuid::from_slice(bytes).map(Self).map_err(|_| Error::Uuid { field: $field })
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                Uuid::try_parse(text).map(Self).map_err(|_| Error::Uuid { field: $field })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

uuid_ids! {
    /// One request of a user, from end to end.
    TaskId = "task_id";
    /// One message; the idempotency key of its handling.
    ActionId = "action_id";
    /// One pair of request and reply.
    CorrelationId = "correlation_id";
}

impl ActionId {
    /// Returns the id of the root action of a task: the task's own.
    pub fn root_of(task: TaskId) -> Self {
        Self(task.0)
    }

    /// Returns the task whose root action this would be.
    pub fn task(self) -> TaskId {
        TaskId(self.0)
    }
}
