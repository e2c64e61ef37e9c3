//! An outcome becomes the last frame of its task.

use action::Action;
use proto::action::v1::{Callback, Status};
use quota::{Quota, Spent};
use session::{Announcement, Append, Log, Sessions};

use crate::Error;
use crate::callback::word;
use crate::ending::ending;

/// Brings outcomes to the logs of their sessions. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) sessions: Sessions,
    pub(crate) quota: Quota,
}

impl Delivery {
    /// Appends the final frame of a task, once: an outcome that comes again finds the task finished and changes nothing.
    pub(crate) async fn deliver(&self, action: &Action, callback: &Callback) -> Result<(), Error> {
        self.settle(action, callback).await;
        let status = callback.status();
        // The queue has decided how the task ended, whichever attempt wrote last.
        let last = Append { fence: Append::DECIDED, ..Append::last(action, ending(callback)) };
        let (task, tenant) = (action.task, &action.tenant);
        let log = Log::of(action);
        let announcing = self.sessions.announce(Announcement::of(action, status));
        let (shown, ()) = tokio::join!(self.sessions.append(&log, last), announcing);
        match shown {
            Ok(at) => {
                tracing::info!(task_id = %task, tenant_id = %tenant, status = word(status), seq = at.seq, "outcome shown");
                Ok(())
            }
            Err(session::Error::Finished) => {
                tracing::debug!(task_id = %task, tenant_id = %tenant, "the outcome was shown before");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Ends the task in the limits of its tenant: it goes on no more, and took what it took. An outcome that comes again
    /// changes nothing.
    async fn settle(&self, action: &Action, callback: &Callback) {
        let spent = Spent {
            tokens: callback.tokens_used.map_or(0, |used| used.total),
            // What the model was asked before it broke off is told by nobody.
            broke_off: callback.attempts > 0 && callback.status() != Status::Completed,
        };
        let settled = self.quota.settle(&action.tenant, action.tier, action.task, spent).await;
        if let Err(error) = settled {
            // The answer is worth more than the count: what was reserved stands, and the task counts as lost after a while.
            tracing::warn!(task_id = %action.task, %error, "a task was not settled in the limits of its tenant");
        }
    }
}

#[cfg(test)]
mod tests;
