//! The final outcome of an action.

use std::time::Duration;

use fault::{Failure, reason};
use prost_types::Any;
use proto::action::v1::{ErrorDetail, Status, TokenUsage};

use crate::envelope::{pack, same_type};
use crate::{Contract, Error, time};

/// How an action ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// With a result.
    Completed {
        /// The reply that the catalogue lists.
        result: Any,
        /// Tokens consumed by the action and what it caused.
        tokens_used: TokenUsage,
    },
    /// Without one.
    Ended {
        /// failed, timeout or cancelled.
        status: Status,
        /// What went wrong.
        failure: Failure,
    },
}

impl Outcome {
    /// Makes the outcome of a completed action.
    pub fn completed<C: Contract>(reply: &C::Reply, tokens_used: TokenUsage) -> Self {
        Self::Completed { result: pack(reply), tokens_used }
    }

    /// Makes the outcome of a failed action; running out of time and being cancelled have their own status.
    pub fn failed(failure: Failure) -> Self {
        let status = match failure.reason().code {
            fault::Code::DeadlineExceeded => Status::Timeout,
            fault::Code::Cancelled => Status::Cancelled,
            _ => Status::Failed,
        };
        Self::Ended { status, failure }
    }

    /// Returns the status.
    pub fn status(&self) -> Status {
        match self {
            Self::Completed { .. } => Status::Completed,
            Self::Ended { status, .. } => *status,
        }
    }

    /// Reads the reply of a completed action.
    pub fn reply<C: Contract>(result: &Any) -> Result<C::Reply, Error> {
        let expected = <C::Reply as prost::Name>::type_url();
        if !same_type(&result.type_url, &expected) {
            let found = result.type_url.clone();
            return Err(Error::PayloadMismatch { kind: C::KIND.as_str().to_owned(), expected, found });
        }
        <C::Reply as prost::Message>::decode(result.value.as_slice())
            .map_err(|_| Error::PayloadMalformed(C::KIND.as_str().to_owned()))
    }
}

/// Writes a failure as it travels inside messages.
pub fn detail_of(failure: &Failure) -> ErrorDetail {
    ErrorDetail {
        reason: failure.reason().id.to_owned(),
        message: failure.detail().to_owned(),
        field: failure.field_name().unwrap_or_default().to_owned(),
        retry_after: failure.retry_delay().map(time::duration_to_proto),
    }
}

/// Reads a failure that travelled inside a message; an unknown reason is an internal error.
pub fn failure_of(detail: &ErrorDetail) -> Failure {
    let reason = reason::find(&detail.reason).unwrap_or(&reason::INTERNAL);
    let mut failure = Failure::new(reason, detail.message.clone());
    if !detail.field.is_empty() {
        failure = failure.field(detail.field.clone());
    }
    let delay: Option<Duration> = detail.retry_after.as_ref().and_then(time::duration_from_proto);
    match delay {
        Some(delay) => failure.retry_after(delay),
        None => failure,
    }
}
