//! How a command can fail.

use std::time::Duration;

use fault::{Failure, Fault, reason};
use redis::{ErrorKind, RedisError, ServerErrorKind, Value};

use crate::UrlProblem;

/// A command did not succeed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The URL names no Redis.
    #[error("the Redis URL is not valid: {0}")]
    Url(#[source] UrlProblem),
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
            return Self::Url(UrlProblem::Client(error));
        }
        if is_full(&error) {
            return Self::Full(error);
        }
        if is_passing(&error) { Self::Unavailable(error) } else { Self::Refused(error) }
    }
}

/// Tells whether trying again elsewhere or later helps.
pub(crate) fn is_passing(error: &RedisError) -> bool {
    let redirected = [ServerErrorKind::Moved, ServerErrorKind::Ask, ServerErrorKind::TryAgain];
    is_lost(error) || redirected.into_iter().any(|kind| has_kind(error, kind)) || is_down(error)
}

/// Tells whether the connection is of no more use: it broke, or it leads to a server that is not the right one now.
pub(crate) fn is_lost(error: &RedisError) -> bool {
    let broken = error.is_io_error()
        || error.is_timeout()
        || error.is_connection_dropped()
        || error.is_connection_refusal()
        || matches!(error.kind(), ErrorKind::MasterNameNotFoundBySentinel | ErrorKind::ClusterConnectionNotFound);
    let wrong = [ServerErrorKind::BusyLoading, ServerErrorKind::MasterDown, ServerErrorKind::ReadOnly];
    broken
        || wrong.into_iter().any(|kind| has_kind(error, kind))
        || ["UNBLOCKED", "MISCONF", "NOREPLICAS"].into_iter().any(|code| has_code(error, code))
}

fn is_down(error: &RedisError) -> bool {
    has_kind(error, ServerErrorKind::ClusterDown)
}

/// Tells whether a server has no memory for what it was to write.
pub(crate) fn is_full(error: &RedisError) -> bool {
    error.code() == Some("OOM") || error.to_string().contains("OOM command not allowed")
}

/// Tells whether a server does not know a script.
pub(crate) fn is_unknown_script(error: &RedisError) -> bool {
    has_kind(error, ServerErrorKind::NoScript)
}

/// Tells whether a server does not know a function.
pub(crate) fn is_unknown_function(error: &RedisError) -> bool {
    says(error, "Function not found")
}

/// Tells whether a server has the library already that it was given.
pub(crate) fn is_known_library(error: &RedisError) -> bool {
    says(error, "already exists")
}

/// Redis has no code for errors about functions, only words.
fn says(error: &RedisError, words: &str) -> bool {
    let has = |detail: Option<&str>| detail.is_some_and(|detail| detail.contains(words));
    has(error.detail()) || of_pipeline(error).iter().any(|(_, inner)| has(inner.details()))
}

/// Returns the error inside an answer, if it is one.
pub(crate) fn refusal(answer: &Value) -> Option<RedisError> {
    match answer {
        Value::ServerError(_) => answer.clone().extract_error().err(),
        _ => None,
    }
}

/// Makes the error for a server that cannot be reached now.
pub(crate) fn away(why: &'static str) -> RedisError {
    (ErrorKind::Io, why).into()
}

fn has_kind(error: &RedisError, kind: ServerErrorKind) -> bool {
    error.kind() == ErrorKind::Server(kind) || of_pipeline(error).iter().any(|(_, inner)| inner.kind() == Some(kind))
}

fn has_code(error: &RedisError, code: &str) -> bool {
    error.code() == Some(code) || of_pipeline(error).iter().any(|(_, inner)| inner.code() == code)
}

/// A pipeline that failed names the error of each of its commands; one that will pass makes the whole worth repeating.
fn of_pipeline(error: &RedisError) -> std::sync::Arc<[(usize, redis::ServerError)]> {
    error.clone().into_server_errors().unwrap_or_default()
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
