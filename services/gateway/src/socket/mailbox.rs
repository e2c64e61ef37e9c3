//! What waits to be written to one socket: bounded in number and bytes, never blocking the one who fills it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prost::Message as _;
use proto::orchestrator::v1::{Gap, Refused, Resumed};
use proto::task::v1::Frame;
use proto::task::v1::frame::Body;
use tokio::sync::Notify;

use super::Position;

/// Most bytes of text that are put together in one piece of an answer.
const MOST_TOGETHER: usize = 32 * 1024;

/// Something for a socket.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Push {
    /// The session is followed; frames after the position come.
    Attached(Position),
    /// A frame of the log.
    Frame(Box<Frame>),
    /// Frames are gone.
    Gap(Gap),
    /// Everything that was missed has been sent.
    Resumed(Resumed),
    /// The session is not followed any more.
    Refused(Refused),
}

/// Why something was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// The socket has not caught up.
    Full,
    /// The socket is gone.
    Gone,
}

/// Makes a mailbox for at most so many frames and bytes. One frame fits always, however large.
pub(crate) fn mailbox(frames: usize, bytes: usize) -> (Inlet, Outlet) {
    let shared = Arc::new(Shared { state: Mutex::default(), filled: Notify::new(), frames: frames.max(1), bytes });
    (Inlet(Arc::clone(&shared)), Outlet(shared))
}

/// What both ends know.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    filled: Notify,
    frames: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<(usize, Push)>,
    /// Bytes of everything that waits.
    held: usize,
    /// One of the ends is gone.
    closed: bool,
}

/// The end that the hub fills.
#[derive(Debug)]
pub(crate) struct Inlet(Arc<Shared>);

impl Inlet {
    /// Puts something in, or says at once why not. Before it is full, pieces of one answer that wait are put together.
    pub(crate) fn offer(&self, push: Push) -> Result<(), Rejected> {
        let size = size(&push);
        let mut state = self.0.state();
        if state.closed {
            return Err(Rejected::Gone);
        }
        if state.waiting.len() >= self.0.frames {
            state.coalesce();
        }
        if state.waiting.len() >= self.0.frames || (state.held > 0 && state.held + size > self.0.bytes) {
            return Err(Rejected::Full);
        }
        state.held += size;
        state.waiting.push_back((size, push));
        drop(state);
        self.0.filled.notify_one();
        Ok(())
    }

    /// Tells whether everything was taken out.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.state().waiting.is_empty()
    }

    /// Tells whether nobody takes anything out any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.state().closed
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        self.0.state().closed = true;
        self.0.filled.notify_one();
    }
}

/// The end that the socket empties.
#[derive(Debug)]
pub(crate) struct Outlet(Arc<Shared>);

impl Outlet {
    /// Takes the next thing out; none when the hub is gone. Cancelling loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Push> {
        loop {
            {
                let mut state = self.0.state();
                if let Some((size, push)) = state.waiting.pop_front() {
                    state.held -= size;
                    return Some(push);
                }
                if state.closed {
                    return None;
                }
            }
            self.0.filled.notified().await;
        }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.closed = true;
        state.waiting.clear();
        state.held = 0;
    }
}

impl Shared {
    /// The state is whole at every moment, also when somebody panicked beside it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Puts pieces of one answer together that wait one after the other. No text is lost, and no other frame changes its
    /// place, so that a position still says what was seen.
    fn coalesce(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        for (size, push) in waiting {
            match (self.waiting.back_mut(), push) {
                (Some((held, Push::Frame(last))), Push::Frame(next)) if continues(last, &next) => {
                    self.held -= *held + size;
                    extend(last, *next);
                    *held = last.encoded_len();
                    self.held += *held;
                }
                (_, push) => self.waiting.push_back((size, push)),
            }
        }
    }
}

/// Tells whether a frame is the next piece of the same attempt's answer, and both fit into one.
fn continues(last: &Frame, next: &Frame) -> bool {
    let (Some(Body::AgentDelta(piece)), Some(Body::AgentDelta(more))) = (&last.body, &next.body) else { return false };
    last.task_id == next.task_id
        && last.epoch == next.epoch
        && piece.attempt == more.attempt
        && piece.text.len() + more.text.len() <= MOST_TOGETHER
}

/// The position and the index are those of the last piece.
fn extend(last: &mut Frame, next: Frame) {
    let Some(Body::AgentDelta(more)) = next.body else { return };
    if let Some(Body::AgentDelta(piece)) = &mut last.body {
        piece.text.push_str(&more.text);
        piece.index = more.index;
    }
    last.seq = next.seq;
    last.at = next.at;
}

fn size(push: &Push) -> usize {
    match push {
        Push::Frame(frame) => frame.encoded_len(),
        _ => 0,
    }
}
