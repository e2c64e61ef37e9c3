//! What can go wrong with a search, an answer or a part of a document.

use fault::{Failure, Fault, reason};

/// Why something was not found, answered or indexed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another part of the system refused or failed; its own words are passed on.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// A name or an action is malformed.
    #[error(transparent)]
    Action(#[from] action::Error),
    /// A field of the request is missing or out of bounds.
    #[error("`{field}` {text}")]
    Field {
        /// Name of the field.
        field: &'static str,
        /// What is wrong with it.
        text: String,
    },
    /// The documents were embedded by another model than questions are.
    #[error("the documents were indexed with another embedding model than questions are asked with; upload them again")]
    OtherModel,
    /// The embedding service answered with something that is no vector.
    #[error("the embedding of the text has no direction")]
    NoVector,
    /// The tables did not answer.
    #[error("the index: {0}")]
    Store(#[from] store::Error),
    /// The language model did not answer.
    #[error(transparent)]
    Model(#[from] models::Error),
    /// The session's log could not be written, or a later attempt writes it.
    #[error(transparent)]
    Session(#[from] session::Error),
    /// The process is being shut down.
    #[error("the process is shutting down")]
    Stopping,
}

impl Error {
    /// Makes the error of a field.
    pub(crate) fn field(field: &'static str, text: impl Into<String>) -> Self {
        Self::Field { field, text: text.into() }
    }
}

impl Fault for Error {
    fn failure(&self) -> Failure {
        match self {
            Self::Failed(failure) => failure.clone(),
            Self::Action(error) => error.failure(),
            Self::Field { field, .. } => Failure::new(&reason::INVALID_FIELD, self.to_string()).field(*field),
            Self::OtherModel => Failure::new(&reason::INVALID_FIELD, self.to_string()).field("collection_ids"),
            Self::NoVector => Failure::new(&reason::PROVIDER_BROKEN, self.to_string()),
            Self::Store(error) => error.failure(),
            Self::Model(error) => error.failure(),
            Self::Session(error) => error.failure(),
            Self::Stopping => Failure::new(&reason::DRAINING, self.to_string()),
        }
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        fault::status(&error)
    }
}
