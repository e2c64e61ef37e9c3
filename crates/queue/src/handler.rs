//! Handlers behind one type: decode, run, encode.

use std::collections::HashMap;
use std::future::Future;

use action::{Contract, Outcome, catalogue};
use fault::{Failure, Fault};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use prost_types::Any;
use proto::action::v1::{Callback, TokenUsage};

use crate::work::{Completed, Work};

/// What a handler's future gives: `Result<R, E>` where `R` is the reply, or a [`Completed`] one, and `E` a [`Fault`].
pub trait Verdict<R>: Send + 'static {
    /// Turns it into the form that is settled.
    fn settle(self) -> Result<Completed<R>, Failure>;
}

impl<R, T, E> Verdict<R> for Result<T, E>
where
    T: Into<Completed<R>> + Send + 'static,
    E: Fault + Send + 'static,
{
    fn settle(self) -> Result<Completed<R>, Failure> {
        self.map(Into::into).map_err(|error| told(&error))
    }
}

/// How a handler left an action.
#[derive(Debug)]
pub(crate) enum Ran {
    Completed {
        result: Option<Any>,
        tokens_used: TokenUsage,
    },
    Failed {
        failure: Failure,
        /// Whether trying again may help.
        retry: bool,
    },
    /// The payload is not what the action's type takes.
    Malformed(Failure),
    /// It is given back as if it had not been leased.
    Released,
    /// Whoever had it is gone.
    Crashed,
}

impl Ran {
    /// A failure that itself tells whether trying again may help.
    fn failed(failure: Failure) -> Self {
        Self::Failed { retry: failure.is_transient(), failure }
    }
}

type Handler = Box<dyn Fn(Work) -> BoxFuture<'static, Ran> + Send + Sync>;

/// The handlers of a worker.
#[derive(Default)]
pub(crate) struct Handlers {
    by_type: HashMap<&'static str, Handler>,
    callback: Option<Handler>,
    /// Takes whatever can be read, instead of the others.
    any: Option<Handler>,
}

impl Handlers {
    pub(crate) fn on<C, F, Fut, V>(&mut self, handler: F)
    where
        C: Contract,
        F: Fn(Work, C) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = V> + Send + 'static,
        V: Verdict<C::Reply>,
    {
        let boxed: Handler = Box::new(move |work| match work.action().payload::<C>() {
            Err(error) => futures::future::ready(Ran::Malformed(error.failure())).boxed(),
            Ok(payload) => handler(work, payload).map(|verdict| ran::<C>(verdict.settle())).boxed(),
        });
        self.by_type.insert(C::KIND.as_str(), boxed);
    }

    pub(crate) fn on_callback<F, Fut, E>(&mut self, handler: F)
    where
        F: Fn(Work, Callback) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Fault + Send + 'static,
    {
        self.callback = Some(Box::new(move |work| match work.action().outcome() {
            Err(error) => futures::future::ready(Ran::Malformed(error.failure())).boxed(),
            Ok(callback) => handler(work, callback).map(acknowledged).boxed(),
        }));
    }

    pub(crate) fn on_any(&mut self, handler: impl Fn(Work) -> BoxFuture<'static, Ran> + Send + Sync + 'static) {
        self.any = Some(Box::new(move |work| match work.action().check() {
            Err(error) => futures::future::ready(Ran::Malformed(error.failure())).boxed(),
            Ok(()) => handler(work),
        }));
    }

    /// Starts the handler of an action; none when there is none. A callback is told by where it lay.
    pub(crate) fn start(&self, work: &Work, is_callback: bool) -> Option<BoxFuture<'static, Ran>> {
        let kind = work.action().action_type.as_str();
        let handler = match &self.any {
            Some(any) => (is_callback || catalogue::find(kind).is_some()).then_some(any),
            None if is_callback => self.callback.as_ref(),
            None => self.by_type.get(kind),
        };
        handler.map(|handler| handler(work.clone()))
    }
}

fn ran<C: Contract>(verdict: Result<Completed<C::Reply>, Failure>) -> Ran {
    let Completed { reply, tokens_used } = match verdict {
        Ok(completed) => completed,
        Err(failure) => return Ran::failed(failure),
    };
    match Outcome::completed::<C>(&reply, tokens_used) {
        Outcome::Completed { result, tokens_used } => Ran::Completed { result: Some(result), tokens_used },
        Outcome::Ended { failure, .. } => Ran::failed(failure),
    }
}

fn acknowledged<E: Fault>(result: Result<(), E>) -> Ran {
    match result {
        Ok(()) => Ran::Completed { result: None, tokens_used: TokenUsage::default() },
        Err(error) => Ran::failed(told(&error)),
    }
}

/// Returns what the caller is told of an error; what they are not told of a defect goes to the log.
fn told(error: &impl Fault) -> Failure {
    let failure = error.failure();
    if failure.reason().code == fault::Code::Internal {
        let mut chain = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            chain.push_str(": ");
            chain.push_str(&cause.to_string());
            source = cause.source();
        }
        tracing::error!(error = %chain, "a handler failed");
    }
    failure
}
