//! How a delivery went.

use fault::Failure;
use prost_types::Any;
use proto::action::v1::TokenUsage;

use crate::handler::Ran;
use crate::work::Stopped;

pub(super) enum Verdict {
    Completed {
        result: Option<Any>,
        tokens_used: TokenUsage,
    },
    /// What went wrong, and whether trying again may help.
    Failed(Failure, bool),
    /// Nobody here can handle it: the reason of its dead letter, and what the caller is told.
    Refused(&'static str, Failure),
    OutOfTime,
    Cancelled(String),
    Lost,
    Released,
    Crashed,
}

impl From<Ran> for Verdict {
    fn from(ran: Ran) -> Self {
        match ran {
            Ran::Completed { result, tokens_used } => Self::Completed { result, tokens_used },
            Ran::Failed { failure, retry } => Self::Failed(failure, retry),
            Ran::Malformed(failure) => Self::Refused("malformed", failure),
            Ran::Released => Self::Released,
            Ran::Crashed => Self::Crashed,
        }
    }
}

impl From<Stopped> for Verdict {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Cancelled(reason) => Self::Cancelled(reason),
            Stopped::Lost => Self::Lost,
            Stopped::Overdue => Self::OutOfTime,
            Stopped::Draining => Self::Released,
        }
    }
}

impl Verdict {
    /// Returns the word for spans, and what went wrong.
    pub(super) fn named(&self) -> (&'static str, Option<&Failure>) {
        match self {
            Self::Completed { .. } => ("completed", None),
            Self::Failed(failure, _) => ("failed", Some(failure)),
            Self::Refused(why, failure) => (why, Some(failure)),
            Self::OutOfTime => ("timeout", None),
            Self::Cancelled(_) => ("cancelled", None),
            Self::Lost => ("lost", None),
            Self::Released => ("released", None),
            Self::Crashed => ("crashed", None),
        }
    }
}
