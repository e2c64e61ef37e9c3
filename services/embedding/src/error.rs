//! What can go wrong with texts to embed.

use fault::{Failure, Fault, reason};

/// Why texts were not embedded.
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
        field: String,
        /// What is wrong with it.
        text: String,
    },
    /// The model did not answer.
    #[error(transparent)]
    Model(#[from] models::Error),
    /// The model gave another number of vectors than there were texts.
    #[error("the model gave {vectors} vectors for {texts} texts")]
    Mismatch {
        /// Number of texts.
        texts: usize,
        /// Number of vectors.
        vectors: usize,
    },
}

impl Fault for Error {
    fn failure(&self) -> Failure {
        match self {
            Self::Failed(failure) => failure.clone(),
            Self::Action(error) => error.failure(),
            Self::Field { field, .. } => Failure::new(&reason::INVALID_FIELD, self.to_string()).field(field.clone()),
            Self::Model(error) => error.failure(),
            Self::Mismatch { .. } => Failure::new(&reason::PROVIDER_BROKEN, self.to_string()),
        }
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        fault::status(&error)
    }
}
