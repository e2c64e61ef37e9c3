//! Calls from one handler to another: a child action through its own queue, its outcome back through the process' inbox.

use std::sync::Arc;
use std::time::Duration;

use action::{Action, Contract, Deadline, Domain, ExecutionContext, Outcome, Status, failure_of};
use fault::{Failure, Fault};
use proto::action::v1::{Callback, TaskEvent, TokenUsage};

use crate::queue::{Inner, Queue};
use crate::work::{Work, add};
use crate::{Error, keys, outcome};

/// What a call to another handler answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer<R> {
    /// The reply.
    pub reply: R,
    /// Tokens that the call consumed; they are added to those of the caller already.
    pub tokens_used: TokenUsage,
    /// Steps that the call went through; they are in the caller's timeline already.
    pub events: Vec<TaskEvent>,
}

/// A call to another handler did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The called action ended without a result.
    #[error("the called action ended without a result")]
    Failed(#[source] Failure),
    /// The time for the work ran out before the reply came.
    #[error("no reply came in time")]
    Timeout,
    /// A handler of this domain may not wait for that one: circles of waits could form.
    #[error("a handler of {from} may not await {to}")]
    Circular {
        /// Domain of the caller.
        from: Domain,
        /// Domain of the called.
        to: Domain,
    },
    /// The call could not be made, or its reply not be read.
    #[error(transparent)]
    Queue(#[from] Error),
}

impl Fault for CallError {
    fn failure(&self) -> Failure {
        match self {
            Self::Failed(failure) => failure.clone(),
            Self::Timeout => outcome::out_of_time(),
            Self::Circular { .. } => Failure::internal(),
            Self::Queue(error) => error.failure(),
        }
    }
}

impl From<CallError> for tonic::Status {
    fn from(error: CallError) -> Self {
        fault::status(&error)
    }
}

impl Work {
    /// Has another domain do something and waits for the reply, as long as time is left. Dropping the future cancels the
    /// called action, as far as possible.
    ///
    /// What the call cost and went through is added to this work.
    pub async fn call<C: Contract>(
        &self,
        context: ExecutionContext,
        payload: &C,
    ) -> Result<Answer<C::Reply>, CallError> {
        let (from, to) = (self.inside.domain, C::KIND.domain());
        if !from.may_await(to) {
            return Err(CallError::Circular { from, to });
        }
        let remaining = self.remaining();
        if remaining.is_zero() {
            return Err(CallError::Timeout);
        }
        let inner = &self.inside.queue;
        let mut child = self.action().child::<C>(context, payload);
        child.deadline = Deadline::Within(remaining);
        child.reply_inbox = Some(inner.inbox.key().to_owned());
        let callback = send_and_wait(inner, child, to, remaining).await?;
        self.diary(|diary| {
            diary.events.extend(callback.events.iter().cloned());
            add(&mut diary.tokens, &callback.tokens_used.unwrap_or_default());
        });
        read::<C>(callback)
    }
}

async fn send_and_wait(
    inner: &Arc<Inner>,
    child: Action,
    domain: Domain,
    remaining: Duration,
) -> Result<Callback, CallError> {
    inner.inbox.open().await.map_err(Error::from)?;
    let mut awaited = inner.inbox.expect(child.id, &inner.tracker, &inner.handle, &inner.stop);
    let mut unanswered = Unanswered {
        inner: Arc::clone(inner),
        domain,
        tenant: child.tenant.to_string(),
        id: keys::entry_id(child.id),
        answered: false,
    };
    Queue { inner: Arc::clone(inner) }.submit(child).await?;
    let reply = tokio::time::timeout(remaining, awaited.reply()).await;
    let callback = reply.map_err(|_| CallError::Timeout)?.ok_or(Error::Closed)?;
    unanswered.answered = true;
    Ok(callback)
}

fn read<C: Contract>(callback: Callback) -> Result<Answer<C::Reply>, CallError> {
    if callback.status() != Status::Completed {
        let failure = callback.error.as_ref().map_or_else(Failure::internal, failure_of);
        return Err(CallError::Failed(failure));
    }
    let result = callback.result.ok_or_else(|| Error::Data("a completed action without a result".to_owned()))?;
    let reply = Outcome::reply::<C>(&result).map_err(Error::from)?;
    Ok(Answer { reply, tokens_used: callback.tokens_used.unwrap_or_default(), events: callback.events })
}

/// A child whose reply nobody waits for any more is cancelled.
struct Unanswered {
    inner: Arc<Inner>,
    domain: Domain,
    tenant: String,
    id: String,
    answered: bool,
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let part = self.inner.part(self.domain, &self.tenant);
        let id = std::mem::take(&mut self.id);
        let cancelling = async move {
            // Best effort: a child that is not reached ends by its deadline, which was its parent's.
            let _ = part.engine.cancel(0, &id, None, "the caller does not wait any more").await;
        };
        self.inner.tracker.spawn_on(cancelling, &self.inner.handle);
    }
}
