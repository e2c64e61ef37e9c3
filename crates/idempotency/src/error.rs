//! How remembering can fail.

use fault::{Failure, Fault};

/// A request could not be looked up or remembered.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Redis is away or refused.
    #[error(transparent)]
    Broker(#[from] broker::Error),
    /// What is remembered cannot be read.
    #[error("what is remembered of a request cannot be read")]
    Malformed,
    /// The lease was over, and somebody else runs the request.
    #[error("the request took longer than its lease, and somebody else runs it")]
    Lost,
}

impl Fault for Error {
    fn failure(&self) -> Failure {
        match self {
            Self::Broker(error) => error.failure(),
            Self::Malformed | Self::Lost => Failure::internal(),
        }
    }
}
