//! How the use cases can fail.

use fault::{Failure, Fault, reason};

/// A call was refused or did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field of the request is missing or out of bounds.
    #[error("`{field}` {problem}")]
    Field {
        /// Path of the field in the request.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Error {
    pub(crate) fn field(field: &'static str, problem: &'static str) -> Self {
        Self::Field { field, problem }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Fault for Error {
    fn failure(&self) -> Failure {
        match self {
            Self::Field { field, .. } => Failure::new(&reason::INVALID_FIELD, self.to_string()).field(*field),
            Self::Store(error) => error.failure(),
        }
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        fault::status(&error)
    }
}
