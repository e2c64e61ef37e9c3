//! How admission can fail.

use std::time::Duration;

use fault::{Failure, Fault, reason};

/// A request was not admitted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A window is used up. Nothing was charged.
    #[error("{limit} requests a {window} are used up")]
    Exceeded {
        /// Window that is used up, `minute` or `day`; the one that ends last if several are.
        window: &'static str,
        /// Requests that it allows.
        limit: u32,
        /// Time until it ends.
        retry_after: Duration,
    },
    /// Redis answered with something that is no decision.
    #[error("the limits cannot be read: {0}")]
    Malformed(&'static str),
    /// Redis is away or refused.
    #[error(transparent)]
    Broker(#[from] broker::Error),
}

impl Fault for Error {
    fn failure(&self) -> Failure {
        match self {
            Self::Exceeded { window, limit, retry_after } => {
                Failure::new(&reason::RATE_LIMIT_EXCEEDED, format!("the {limit} requests a {window} are used up"))
                    .retry_after(*retry_after)
                    .with("limit", limit.to_string())
                    .with("remaining", "0")
                    .with("window", *window)
            }
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
