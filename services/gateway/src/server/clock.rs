//! The time that a connection has: for the head of a request, and for doing nothing. hyper alone has one time for both, so
//! a client that keeps its connection and one that never finishes a head would be given the same.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

/// Most bytes that are kept of what may be a head, and about as many as one has.
const MOST_HEARD: usize = 32 * 1024;
const USUAL_HEAD: usize = 1024;

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
    /// Requests that are being answered, and until when their clients must take something; none while the answer itself is
    /// not there yet.
    answering: Vec<(u64, Option<Instant>)>,
    last: u64,
    upgraded: bool,
    idle: bool,
    until: Instant,
    /// What was read since the last request, as far as it may be the head of the next one.
    head: Vec<u8>,
}

impl Clock {
    /// Begins with the wait for the first request.
    pub(super) fn start(patience: Patience, multiplexed: bool) -> Self {
        let until = Instant::now() + patience.head;
        let state = State {
            patience,
            multiplexed,
            answering: Vec::new(),
            last: 0,
            upgraded: false,
            idle: false,
            until,
            head: Vec::new(),
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Returns when the connection has waited long enough; none while it waits for nothing of its client.
    pub(super) fn until(&self) -> Option<Instant> {
        let state = self.state();
        match (state.upgraded, state.answering.is_empty()) {
            (true, _) => None,
            (false, true) => Some(state.until),
            (false, false) => state.answering.iter().filter_map(|(_, until)| *until).min(),
        }
    }

    /// Tells whether the connection does nothing, and is kept in case that it will.
    pub(super) fn rests(&self) -> bool {
        let state = self.state();
        state.idle && state.answering.is_empty()
    }

    /// Tells whether no request has come yet.
    pub(super) fn is_new(&self) -> bool {
        self.state().last == 0
    }

    /// Gives the first request no more than some time to come.
    pub(super) fn hurry(&self, time: Duration) {
        let mut state = self.state();
        state.until = state.until.min(Instant::now() + time);
    }

    /// Gives a connection that rests the time of a head to say goodbye.
    pub(super) fn linger(&self) {
        let mut state = self.state();
        state.until = Instant::now() + state.patience.head;
    }

    /// Notes what came: between requests it is the beginning of the next one.
    pub(super) fn heard(&self, bytes: &[u8]) {
        let mut state = self.state();
        if state.multiplexed || state.upgraded || !state.answering.is_empty() {
            return;
        }
        if state.idle {
            state.idle = false;
            state.until = Instant::now() + state.patience.head;
        }
        let room = MOST_HEARD.saturating_sub(state.head.len()).min(bytes.len());
        state.head.extend_from_slice(&bytes[..room]);
    }

    /// Tells whether the head of the request that came last names a length for its body. hyper leaves it out where there is a
    /// transfer encoding, too.
    pub(super) fn names_length(&self) -> bool {
        names_length(&self.state().head)
    }

    /// Notes that a request is answered, until what is returned is dropped.
    pub(super) fn answer(&self) -> Answering {
        let mut state = self.state();
        state.last += 1;
        let id = state.last;
        state.answering.push((id, None));
        state.head.clear();
        state.head.shrink_to(USUAL_HEAD);
        drop(state);
        Answering { clock: self.clone(), id }
    }

    /// Notes that the connection is no HTTP any more, and has its own times.
    pub(super) fn upgrade(&self) {
        let mut state = self.state();
        (state.upgraded, state.head) = (true, Vec::new());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks for a `Content-Length` among the lines of a head.
fn names_length(head: &[u8]) -> bool {
    // Lines before the request's own may be empty.
    let lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).skip_while(|line| line.is_empty()).skip(1);
    let mut names =
        lines.take_while(|line| !line.is_empty()).filter_map(|line| line.split(|byte| *byte == b':').next());
    names.any(|name| name.trim_ascii().eq_ignore_ascii_case(b"content-length"))
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Answering {
    clock: Clock,
    id: u64,
}

impl Answering {
    /// Notes that the client has something to take from now on, or nothing.
    fn offers(&self, something: bool) {
        let mut state = self.clock.state();
        let until = something.then(|| Instant::now() + state.patience.write);
        if let Some(own) = state.answering.iter_mut().find(|(id, _)| *id == self.id) {
            own.1 = until;
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let mut state = self.clock.state();
        state.answering.retain(|(id, _)| *id != self.id);
        state.idle = true;
        state.until = Instant::now() + state.patience.idle;
    }
}

/// The body of an answer, which is given until it ends. It is asked for its next piece when the one before was taken: a client
/// that grants no room for it, as HTTP/2 lets it, has a time for that.
#[derive(Debug)]
pub(super) struct Answered {
    body: Body,
    answering: Answering,
}

impl Answered {
    /// Takes the body, and that it is given.
    pub(super) fn new(body: Body, answering: Answering) -> Self {
        answering.offers(!body.is_end_stream());
        Self { body, answering }
    }
}

impl HttpBody for Answered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let piece = Pin::new(&mut self.body).poll_frame(cx);
        self.answering.offers(piece.is_ready());
        piece
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::names_length;

    #[test]
    fn a_length_is_found_in_the_lines_of_a_head_and_nowhere_else() {
        let head = |lines: &str| names_length(format!("POST / HTTP/1.1\r\n{lines}\r\n\r\nbody\r\n").as_bytes());
        for found in ["Content-Length: 5", "host: x\r\ncontent-length:5", "a: b\r\nCONTENT-LENGTH : 5\r\nc: d"] {
            assert!(head(found), "{found}");
        }
        for none in ["host: x", "x-content-length: 5", "x: content-length: 5", "host: x\r\n\r\ncontent-length: 5"] {
            assert!(!head(none), "{none}");
        }
        assert!(names_length(b"\r\n\r\nPOST / HTTP/1.1\r\ncontent-length: 5\r\n\r\n"));
        assert!(!names_length(b"") && !names_length(b"content-length: 5"));
    }
}
