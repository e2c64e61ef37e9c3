//! The time that a connection has: for the head of a request, and for doing nothing. hyper alone has one time for both, so
//! a client that keeps its connection and one that never finishes a head would be given the same.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

/// How long a connection waits for its client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For the head of a request, from its first byte; also for the first request.
    pub(super) head: Duration,
    /// Between requests.
    pub(super) idle: Duration,
    /// For something of what is written to be taken.
    pub(super) write: Duration,
}

/// Knows until when a connection may go on as it does. Clones are of one connection.
#[derive(Clone, Debug)]
pub(super) struct Clock(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    patience: Patience,
    /// Several requests at once: bytes between requests are no head that begins.
    multiplexed: bool,
    answering: usize,
    upgraded: bool,
    idle: bool,
    until: Instant,
}

impl Clock {
    /// Begins with the wait for the first request.
    pub(super) fn start(patience: Patience, multiplexed: bool) -> Self {
        let until = Instant::now() + patience.head;
        let state = State { patience, multiplexed, answering: 0, upgraded: false, idle: false, until };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Returns when the connection has waited long enough; none while something is answered.
    pub(super) fn until(&self) -> Option<Instant> {
        let state = self.state();
        (state.answering == 0 && !state.upgraded).then_some(state.until)
    }

    /// Notes that bytes came: between requests they are the beginning of the next one.
    pub(super) fn heard(&self) {
        let mut state = self.state();
        if state.idle && state.answering == 0 && !state.multiplexed {
            state.idle = false;
            state.until = Instant::now() + state.patience.head;
        }
    }

    /// Notes that a request is answered, until what is returned is dropped.
    pub(super) fn answer(&self) -> Answering {
        self.state().answering += 1;
        Answering(self.clone())
    }

    /// Notes that the connection is no HTTP any more, and has its own times.
    pub(super) fn upgrade(&self) {
        self.state().upgraded = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Answering(Clock);

impl Drop for Answering {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.answering -= 1;
        state.idle = true;
        state.until = Instant::now() + state.patience.idle;
    }
}

/// The body of an answer, which is given until it ends.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) body: Body,
    pub(super) _answering: Answering,
}

impl HttpBody for Answered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
