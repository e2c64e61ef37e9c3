//! One failure: its reason, and what is particular about this occurrence.

use std::fmt;
use std::time::Duration;

use crate::{Reason, reason};

/// A failure as it is shown to a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    reason: &'static Reason,
    detail: String,
    field: Option<String>,
    retry_after: Option<Duration>,
    metadata: Vec<(String, String)>,
}

impl Failure {
    /// Makes a failure; `detail` is read by callers, so it says what they can do and nothing about the inside.
    pub fn new(reason: &'static Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), field: None, retry_after: None, metadata: Vec::new() }
    }

    /// Makes the failure of a defect on our side: its text is generic, the cause belongs into the log.
    pub fn internal() -> Self {
        Self::new(&reason::INTERNAL, "an unexpected error happened")
    }

    /// Names the field, header or parameter that is at fault.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Says after which time it is worth trying again.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// Adds a machine-readable detail, e.g. the limit that was hit.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.push((key.into(), value.into()));
        self
    }

    /// Tells whether what failed may have been done all the same: a call broke off, and nobody knows how far it came.
    pub fn leaves_doubt(&self) -> bool {
        self.reason.code.is_in_doubt() && self.reason != &crate::reason::DRAINING
    }

    /// Returns the reason.
    pub fn reason(&self) -> &'static Reason {
        self.reason
    }

    /// Returns the sentence for the caller.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Returns the field at fault, if one is.
    pub fn field_name(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// Returns after which time it is worth trying again.
    pub fn retry_delay(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns the machine-readable details.
    pub fn metadata(&self) -> &[(String, String)] {
        &self.metadata
    }

    /// Tells whether trying the same again later may help.
    pub fn is_transient(&self) -> bool {
        self.reason.code.is_transient()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.title, self.detail)
    }
}

impl std::error::Error for Failure {}

/// An error that knows how it is shown outside. Every error enum of the workspace implements it.
pub trait Fault: std::error::Error {
    /// Returns what the caller is told.
    fn failure(&self) -> Failure;
}

impl Fault for Failure {
    fn failure(&self) -> Failure {
        self.clone()
    }
}
