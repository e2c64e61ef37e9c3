//! What can go wrong between a caller and the queue.

use std::time::Duration;

use fault::{Failure, Fault, reason};

/// A call to the queue did not succeed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Redis is away, full, or answered with an error.
    #[error(transparent)]
    Broker(#[from] broker::Error),
    /// The action does not belong to the vocabulary.
    #[error(transparent)]
    Action(#[from] action::Error),
    /// The payload is larger than the queue takes.
    #[error("the action has {size} bytes; its payload may have {MAX_PAYLOAD}")]
    PayloadTooLarge {
        /// Bytes of the payload.
        size: usize,
    },
    /// An id is not one that may stand in a key.
    #[error("`{field}` must be 1 to 128 characters out of A-Z a-z 0-9 . _ @ -")]
    Id {
        /// Which id.
        field: &'static str,
    },
    /// A value is out of its range.
    #[error("{rule}")]
    Field {
        /// Which value.
        field: &'static str,
        /// What holds for it.
        rule: String,
    },
    /// A queue, a tenant or a tier holds as many waiting actions as it may. Nothing was written.
    #[error("{what} holds {limit} waiting actions, as many as it may")]
    Full {
        /// `the queue`, `the tenant` or `the tier`.
        what: &'static str,
        /// How many it may hold.
        limit: u64,
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// The callback queue belongs to another tenant, or is no callback queue.
    #[error("the callback queue is not one of the tenant's")]
    ForeignCallback,
    /// The task has ended and cannot be changed any more.
    #[error("the task has finished")]
    Finished,
    /// A page token is not one of ours.
    #[error("the page token is not valid")]
    PageToken,
    /// The server must not hold queues as it is.
    #[error("redis cannot be used: {0}")]
    Server(String),
    /// The queue does not run any more.
    #[error("the queue is closed")]
    Closed,
    /// Redis holds, or a script answered, something that is not understood.
    #[error("unexpected data: {0}")]
    Data(String),
}

impl Error {
    /// Makes the error of a refused submit out of the script's word.
    pub(crate) fn full(word: &str, limit: u64) -> Self {
        let what = match word {
            "queue" => "the queue",
            "tenant" => "the tenant",
            _ => "the tier",
        };
        Self::Full { what, limit, retry_after: FULL_RETRY }
    }
}

/// When it is worth trying again after something was full, as long as nobody knows better.
const FULL_RETRY: Duration = Duration::from_secs(5);

/// Most bytes that an action's payload may have.
pub const MAX_PAYLOAD: usize = 256 * 1024;

/// Most bytes of everything else in an action: context, metadata, names.
pub(crate) const MAX_ENVELOPE: usize = 16 * 1024;

impl Fault for Error {
    fn failure(&self) -> Failure {
        match self {
            Self::Broker(error) => error.failure(),
            Self::Action(error) => error.failure(),
            Self::PayloadTooLarge { .. } => Failure::new(&reason::PAYLOAD_TOO_LARGE, self.to_string()).field("payload"),
            Self::Id { field } | Self::Field { field, .. } => {
                Failure::new(&reason::INVALID_FIELD, self.to_string()).field(*field)
            }
            Self::Full { retry_after, .. } => {
                Failure::new(&reason::QUEUE_FULL, self.to_string()).retry_after(*retry_after)
            }
            Self::ForeignCallback => Failure::new(&reason::INVALID_FIELD, self.to_string()).field("callback_queue"),
            Self::Finished => Failure::new(&reason::TASK_FINISHED, self.to_string()),
            Self::PageToken => Failure::new(&reason::INVALID_FIELD, self.to_string()).field("page_token"),
            Self::Closed => Failure::new(&reason::DRAINING, "this process is shutting down"),
            Self::Server(_) | Self::Data(_) => Failure::internal(),
        }
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        fault::status(&error)
    }
}
