//! What can go wrong with a model provider.

use std::time::Duration;

use fault::{Failure, Fault, reason};

/// Why a model did not answer. No variant holds the text of a prompt or an answer, or a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The provider is away, overloaded or too slow; the same may succeed later.
    #[error("model provider unavailable: {what}")]
    Unavailable {
        /// What was observed, e.g. `status 503` or `connection failed`.
        what: String,
        /// When the provider asks to come back.
        retry_after: Option<Duration>,
    },
    /// The provider refused the request; the same cannot succeed later.
    #[error("model provider rejected the request: {what}")]
    Rejected {
        /// The HTTP status and the provider's error code, e.g. `status 401, invalid_api_key`.
        what: String,
    },
    /// The provider's answer broke off or cannot be understood; the same may succeed later.
    #[error("model provider answered badly: {what}")]
    Broken {
        /// What was wrong with the answer.
        what: String,
    },
    /// The time that the caller gave ran out.
    #[error("the deadline passed before the model had answered")]
    DeadlineExceeded,
    /// The model cannot be opened as it is configured; said at start.
    #[error("the model cannot be opened: {0}")]
    Setup(String),
    /// A defect on our side.
    #[error("defect in a model: {0}")]
    Internal(String),
}

impl Error {
    /// Tells whether the same request may succeed when it is made again later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Broken { .. })
    }

    /// Returns after which time the provider asks to come back.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    pub(crate) fn unavailable(what: impl Into<String>) -> Self {
        Self::Unavailable { what: what.into(), retry_after: None }
    }

    pub(crate) fn rejected(what: impl Into<String>) -> Self {
        Self::Rejected { what: what.into() }
    }

    pub(crate) fn broken(what: impl Into<String>) -> Self {
        Self::Broken { what: what.into() }
    }
}

impl Fault for Error {
    fn failure(&self) -> Failure {
        match self {
            Self::Unavailable { what, retry_after } => {
                let detail = format!("the model provider cannot answer now ({what})");
                let failure = Failure::new(&reason::PROVIDER_UNAVAILABLE, detail);
                match retry_after {
                    Some(delay) => failure.retry_after(*delay),
                    None => failure,
                }
            }
            Self::Rejected { what } => {
                let detail = format!("the model provider refused the request ({what})");
                Failure::new(&reason::PROVIDER_REJECTED, detail)
            }
            Self::Broken { what } => {
                let detail = format!("the model provider's answer was not usable ({what})");
                Failure::new(&reason::PROVIDER_BROKEN, detail)
            }
            Self::DeadlineExceeded => {
                Failure::new(&reason::DEADLINE_EXCEEDED, "the model did not answer within the time that was left")
            }
            Self::Setup(_) | Self::Internal(_) => Failure::internal(),
        }
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        fault::status(&error)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fault::Fault as _;

    use super::Error;

    #[test]
    fn each_error_has_its_reason_and_says_whether_to_try_again() {
        let delay = Some(Duration::from_secs(7));
        let away = Error::Unavailable { what: "status 429".to_owned(), retry_after: delay };
        let table = [
            (away.clone(), "PROVIDER_UNAVAILABLE", true),
            (Error::rejected("status 401"), "PROVIDER_REJECTED", false),
            (Error::broken("cut off"), "PROVIDER_BROKEN", true),
            (Error::DeadlineExceeded, "DEADLINE_EXCEEDED", false),
        ];
        for (error, id, transient) in table {
            assert_eq!(error.failure().reason().id, id);
            assert_eq!(error.is_transient(), transient, "{error}");
            assert_eq!(error.failure().is_transient(), transient, "{error}");
        }
        assert_eq!(away.failure().retry_delay(), delay);
    }

    #[test]
    fn what_is_wrong_inside_is_not_told_outside() {
        let failure = Error::Setup("/var/lib/models is unreadable".to_owned()).failure();
        assert_eq!(failure.reason().id, "INTERNAL");
        assert!(!failure.detail().contains("/var"));
    }
}
