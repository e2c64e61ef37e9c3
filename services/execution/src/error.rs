//! What can go wrong while an agent answers.

use fault::{Failure, Fault, reason};

/// Why a run was not accepted, or an agent did not answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value does not belong to the vocabulary.
    #[error(transparent)]
    Vocabulary(#[from] action::Error),
    /// The request was refused: a field, access, or a limit.
    #[error(transparent)]
    Refused(#[from] Failure),
    /// Another service did not give what the run needs.
    #[error("`{service}` did not answer: {failure}")]
    Peer {
        /// Which service.
        service: &'static str,
        /// What it said.
        failure: Failure,
    },
    /// Nothing could be retrieved.
    #[error("the passages were not answered from")]
    Retrieval(#[from] queue::CallError),
    /// The language model did not answer.
    #[error("the language model did not answer")]
    Model(#[from] models::Error),
    /// The session's log did not take what was shown.
    #[error("the session's log did not take what was shown")]
    Session(#[source] session::Error),
    /// A later attempt answers, or the task has ended; whatever this attempt does is void.
    #[error("a later attempt took over, or the task has ended")]
    Superseded,
}

impl Error {
    /// Says that another service failed with a status.
    pub(crate) fn peer(service: &'static str, status: &tonic::Status) -> Self {
        Self::Peer { service, failure: Failure::from_status(status) }
    }
}

impl From<session::Error> for Error {
    fn from(error: session::Error) -> Self {
        if error.is_superseded() { Self::Superseded } else { Self::Session(error) }
    }
}

impl Fault for Error {
    fn failure(&self) -> Failure {
        match self {
            Self::Vocabulary(error) => error.failure(),
            Self::Refused(failure) | Self::Peer { failure, .. } => failure.clone(),
            Self::Retrieval(error) => error.failure(),
            Self::Model(error) => error.failure(),
            Self::Session(error) => error.failure(),
            Self::Superseded => Failure::new(&reason::CANCELLED, "another attempt answers, or the task has ended"),
        }
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        fault::status(&error)
    }
}
