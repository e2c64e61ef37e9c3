//! How appending and reading can fail.

use fault::{Failure, Fault, reason};

/// A log was not appended to, or not read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A later attempt of the task writes already; this one must stop.
    #[error("a later attempt of the task has taken over")]
    Stale,
    /// The task's final frame is in the log already. Whoever wanted to append it may count it as appended.
    #[error("the task has its final frame already")]
    Finished,
    /// Redis answered with something that is no log.
    #[error("the log cannot be read: {0}")]
    Malformed(&'static str),
    /// Redis is away or refused.
    #[error(transparent)]
    Broker(#[from] broker::Error),
}

impl Error {
    /// Tells whether the caller's attempt is over: somebody else writes, or everything is written.
    pub fn is_superseded(&self) -> bool {
        matches!(self, Self::Stale | Self::Finished)
    }
}

impl Fault for Error {
    fn failure(&self) -> Failure {
        match self {
            Self::Stale => Failure::new(&reason::CANCELLED, "a later attempt of the task has taken over"),
            Self::Finished => Failure::new(&reason::TASK_FINISHED, "the task has ended"),
            Self::Malformed(_) => Failure::internal(),
            Self::Broker(error) => error.failure(),
        }
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        fault::status(&error)
    }
}
