//! A failure as a gRPC status with rich details, and back.

use std::collections::HashMap;
use std::time::Duration;

use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{Code, Failure, Fault, reason};

/// The `domain` of every ErrorInfo of ours.
pub const DOMAIN: &str = "nooble";

const FIELD: &str = "field";

/// Turns an error into the status its caller sees, and logs it if it is a defect of ours.
pub fn status(error: &(impl Fault + ?Sized)) -> Status {
    let failure = error.failure();
    if failure.reason().code == Code::Internal {
        tracing::error!(reason = failure.reason().id, error = %chain(error), "internal error");
    }
    to_status(&failure)
}

fn chain(error: &(impl Fault + ?Sized)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn to_status(failure: &Failure) -> Status {
    let mut metadata: HashMap<String, String> = failure.metadata().iter().cloned().collect();
    let mut details = ErrorDetails::new();
    if let Some(field) = failure.field_name() {
        metadata.insert(FIELD.to_owned(), field.to_owned());
        if failure.reason().code == Code::InvalidArgument {
            details.add_bad_request_violation(field, failure.detail());
        }
    }
    if let Some(delay) = failure.retry_delay() {
        details.set_retry_info(Some(delay));
    }
    details.set_error_info(failure.reason().id, DOMAIN, metadata);
    Status::with_error_details(failure.reason().code.grpc(), failure.detail(), details)
}

impl Failure {
    /// Reads a failure back from the status of a service of ours, or the nearest one for a foreign status.
    pub fn from_status(status: &Status) -> Self {
        let details = status.get_error_details();
        let known = details.error_info().filter(|info| info.domain == DOMAIN).and_then(|info| {
            let mut metadata = info.metadata.clone();
            let field = metadata.remove(FIELD);
            reason::find(&info.reason).map(|reason| (reason, field, metadata))
        });
        let Some((reason, field, metadata)) = known else {
            return Self::foreign(status);
        };
        let mut failure = Self::new(reason, status.message());
        if let Some(field) = field {
            failure = failure.field(field);
        }
        if let Some(delay) = details.retry_info().and_then(|info| info.retry_delay) {
            failure = failure.retry_after(delay);
        }
        let mut metadata: Vec<_> = metadata.into_iter().collect();
        metadata.sort();
        metadata.into_iter().fold(failure, |failure, (key, value)| failure.with(key, value))
    }

    /// Statuses that the transport itself makes carry no ErrorInfo; their text may name internals and is not passed on.
    fn foreign(status: &Status) -> Self {
        let reason = reason::general(Code::from_grpc(status.code()));
        match reason.code {
            Code::Internal => Self::internal(),
            Code::Unavailable => {
                Self::new(reason, "a part of the system did not answer").retry_after(Duration::from_secs(1))
            }
            _ => Self::new(reason, reason.title.to_lowercase()),
        }
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        status(&failure)
    }
}
