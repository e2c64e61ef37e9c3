//! What can go wrong when a message is taken in or a session is followed.

use fault::{Failure, Fault};

/// Why the orchestrator did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value does not belong to the vocabulary.
    #[error(transparent)]
    Vocabulary(#[from] action::Error),
    /// The request was refused: a field, access, or a limit.
    #[error(transparent)]
    Refused(#[from] Failure),
    /// The session's log did not answer.
    #[error("the session's log did not answer")]
    Session(#[from] session::Error),
}

impl Fault for Error {
    fn failure(&self) -> Failure {
        match self {
            Self::Vocabulary(error) => error.failure(),
            Self::Refused(failure) => failure.clone(),
            Self::Session(error) => error.failure(),
        }
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        fault::status(&error)
    }
}
