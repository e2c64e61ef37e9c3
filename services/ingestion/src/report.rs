//! Telling how far a document is: on the task, and in the log that its session shows.

use action::Status;
use proto::action::v1::TraceContext;
use proto::task::v1::frame::Body;
use proto::task::v1::{Frame, TaskUpdate};
use queue::Work;
use session::{Append, Finality, Log, Sessions};

use crate::Error;

/// Reports the progress of one attempt.
pub(crate) struct Report<'a> {
    sessions: Sessions,
    log: Log,
    work: &'a Work,
}

impl<'a> Report<'a> {
    pub(crate) fn new(sessions: Sessions, log: Log, work: &'a Work) -> Self {
        Self { sessions, log, work }
    }

    /// Begins a stage; `percentage` is the share of the whole that is done before it.
    ///
    /// # Errors
    ///
    /// A later attempt has taken over, or the log cannot be written.
    pub(crate) async fn stage(&self, stage: &str, percentage: f64) -> Result<(), Error> {
        self.work.stage(stage).await;
        self.progress(stage, percentage).await
    }

    /// Tells how far the present stage is.
    ///
    /// # Errors
    ///
    /// A later attempt has taken over, or the log cannot be written.
    pub(crate) async fn progress(&self, stage: &str, percentage: f64) -> Result<(), Error> {
        let action = self.work.action();
        let update = TaskUpdate {
            status: Status::Running.into(),
            stage: stage.to_owned(),
            attempt: action.attempt(),
            percentage,
            ..TaskUpdate::default()
        };
        let (traceparent, tracestate) = telemetry::current();
        let frame = Frame {
            task_id: action.task.to_string(),
            session_id: action.session.as_ref().map(ToString::to_string).unwrap_or_default(),
            tenant_id: action.tenant.to_string(),
            tier: action.tier.to_proto().into(),
            trace: Some(TraceContext { traceparent, tracestate }),
            body: Some(Body::TaskUpdate(update)),
            ..Frame::default()
        };
        let append = Append { task: action.task, fence: action.fence(), finality: Finality::Progress, frame };
        self.sessions.append(&self.log, append).await?;
        Ok(())
    }
}
