//! Leases actions to somebody outside of this process: a delivery like any other, whose verdict comes from there.

use std::future::Future;

use action::{Action, QueueName, Trace, catalogue};
use fault::{Failure, Fault as _};
use futures::FutureExt as _;
use prost_types::Any;
use proto::action::v1::TokenUsage;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::handler::{Handlers, Ran};
use crate::slots::{Credits, Slots};
use crate::work::{Settlement, Stopped};
use crate::worker::Crew;
use crate::{Queue, Work, trace};

/// Claims actions of one domain for others, as many as there are credits. However many they are, there is one of these in a
/// process and domain, so that its connections do not grow with them.
pub struct Lender {
    queue: Queue,
    domain: action::Domain,
    credits: Credits,
    handlers: Handlers,
}

/// One action for somebody outside. Dropping it gives it back as if it had not been leased.
pub struct Lent {
    work: Work,
    trace: Trace,
    verdict: oneshot::Sender<Ran>,
    settlement: oneshot::Receiver<Settlement>,
}

/// How somebody outside left an action.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It is done.
    Completed {
        /// The reply; none for an outcome that was taken.
        result: Option<Any>,
        /// Tokens consumed.
        tokens_used: TokenUsage,
    },
    /// It failed.
    Failed {
        /// What went wrong.
        failure: Failure,
        /// Whether trying again may help.
        retry: bool,
    },
    /// It is given back as if it had not been leased.
    Released,
    /// Whoever had it is gone. That counts: what ends its workers again and again is given up.
    Crashed,
}

impl Lender {
    /// Makes a lender that hands every action to `lend`. There are no credits yet.
    pub fn new(queue: Queue, domain: action::Domain, lend: impl Fn(Lent) + Send + Sync + 'static) -> Self {
        let mut handlers = Handlers::default();
        handlers.on_any(move |work| {
            let (verdict, awaited) = oneshot::channel();
            let (report, settlement) = oneshot::channel();
            work.inside.report_to(report);
            let trace = trace::inside(&telemetry::Span::current()).unwrap_or_else(|| work.action().trace.clone());
            lend(Lent { work, trace, verdict, settlement });
            async move { awaited.await.unwrap_or(Ran::Released) }.boxed()
        });
        Self { queue, domain, credits: Credits::default(), handlers }
    }

    /// Returns the credits that it claims by.
    pub fn credits(&self) -> Credits {
        self.credits.clone()
    }

    /// Claims until `shutdown`. Then it waits for what is leased as long as the configuration's grace, and gives the rest
    /// back.
    pub fn run(self, shutdown: CancellationToken) -> impl Future<Output = ()> + Send + 'static {
        let Self { queue, domain, credits, handlers } = self;
        let crew = Crew::new(queue.inner, handlers, Slots::Credits(credits));
        async move { crew.work(domain, shutdown).await }
    }
}

impl std::fmt::Debug for Lender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lender").field("domain", &self.domain).finish_non_exhaustive()
    }
}

impl Lent {
    /// Returns the work.
    pub fn work(&self) -> &Work {
        &self.work
    }

    /// Returns the action as it shall be seen outside: what is traced there follows from this delivery.
    pub fn action(&self) -> Action {
        Action { trace: self.trace.clone(), ..self.work.action().clone() }
    }

    /// Waits until the work should stop, and tells why. The queue ends it by itself.
    pub async fn stopped(&self) -> Stopped {
        self.work.cancelled().cancelled().await;
        self.work.stopped().unwrap_or(Stopped::Lost)
    }

    /// Settles it and tells what became of that.
    pub async fn settle(self, verdict: Verdict) -> Settlement {
        let Self { work, verdict: sender, settlement, .. } = self;
        drop(work);
        // A delivery that ended by itself meanwhile tells so all the same.
        let _ = sender.send(Ran::from(verdict));
        settlement.await.unwrap_or(Settlement::Stale)
    }
}

impl std::fmt::Debug for Lent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lent").field("work", &self.work).finish_non_exhaustive()
    }
}

impl Verdict {
    /// Checks that the work can end like this, and returns the verdict in our own spelling; else one sentence that says why
    /// not.
    pub fn for_work(self, work: &Work) -> Result<Self, String> {
        let Self::Completed { result, tokens_used } = self else { return Ok(self) };
        let action = work.action();
        let is_callback =
            matches!(&action.delivery, Some(delivery) if matches!(delivery.queue, QueueName::Callbacks { .. }));
        let result = match (is_callback, result) {
            (true, None) => None,
            (true, Some(_)) => return Err("a callback is completed without a result".to_owned()),
            (false, None) => return Err(format!("`complete.result` is required: {}", reply_of(action))),
            (false, Some(result)) => {
                let entry = catalogue::find(&action.action_type).ok_or("the action type is unknown")?;
                Some(entry.read_reply(result).map_err(|error| error.failure().detail().to_owned())?)
            }
        };
        Ok(Self::Completed { result, tokens_used })
    }
}

fn reply_of(action: &Action) -> String {
    let reply = catalogue::find(&action.action_type).map(|entry| entry.reply).unwrap_or_default();
    format!("`{}` replies {}", action.action_type, reply.rsplit('/').next().unwrap_or_default())
}

impl From<Verdict> for Ran {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Completed { result, tokens_used } => Self::Completed { result, tokens_used },
            Verdict::Failed { failure, retry } => Self::Failed { failure, retry },
            Verdict::Released => Self::Released,
            Verdict::Crashed => Self::Crashed,
        }
    }
}
