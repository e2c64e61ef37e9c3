//! How a command can fail.

use std::time::Duration;

use fault::{Failure, Fault, reason};
use redis::{ErrorKind, RedisError, ServerErrorKind};

/// A command did not succeed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The URL names no Redis.
    #[error("the Redis URL is not valid")]
    Url(#[source] RedisError),
    /// Redis is away, loading, or is being replaced; the same command may succeed later.
    #[error("redis is unavailable")]
    Unavailable(#[source] RedisError),
    /// Redis is out of memory and refuses to take more; nothing was written.
    #[error("redis is out of memory")]
    Full(#[source] RedisError),
    /// Redis answered with an error, or with something that was not expected.
    #[error("redis refused the command")]
    Refused(#[source] RedisError),
}

impl From<RedisError> for Error {
    fn from(error: RedisError) -> Self {
        if error.kind() == ErrorKind::InvalidClientConfig {
            return Self::Url(error);
        }
        if error.code() == Some("OOM") || error.to_string().contains("OOM command not allowed") {
            return Self::Full(error);
        }
        let away = error.is_io_error()
            || error.is_timeout()
            || error.is_connection_dropped()
            || error.is_connection_refusal()
            || is_passing(&error);
        if away { Self::Unavailable(error) } else { Self::Refused(error) }
    }
}

/// Answers of a server that starts, fails over or is shut down: trying again elsewhere or later helps.
fn is_passing(error: &RedisError) -> bool {
    let kind = matches!(
        error.kind(),
        ErrorKind::Io
            | ErrorKind::Server(
                ServerErrorKind::BusyLoading
                    | ServerErrorKind::MasterDown
                    | ServerErrorKind::ReadOnly
                    | ServerErrorKind::TryAgain
                    | ServerErrorKind::ClusterDown
            )
    );
    kind || matches!(error.code(), Some("UNBLOCKED" | "MISCONF" | "NOREPLICAS"))
}

impl Fault for Error {
    fn failure(&self) -> Failure {
        match self {
            Self::Unavailable(_) => {
                Failure::new(&reason::BROKER_UNAVAILABLE, "the broker is away").retry_after(Duration::from_secs(1))
            }
            Self::Full(_) => {
                Failure::new(&reason::BROKER_UNAVAILABLE, "the broker is full").retry_after(Duration::from_secs(5))
            }
            Self::Url(_) | Self::Refused(_) => Failure::internal(),
        }
    }
}
