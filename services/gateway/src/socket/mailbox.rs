//! What waits to be written to one socket: bounded in number and bytes, never blocking the one who fills it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prost::Message as _;
use proto::orchestrator::v1::{Gap, Refused, Resumed};
use proto::task::v1::Frame;
use tokio::sync::mpsc;

use super::Position;

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
    let (sender, receiver) = mpsc::channel(frames);
    let held = Arc::new(AtomicUsize::new(0));
    (Inlet { sender, held: Arc::clone(&held), bytes }, Outlet { receiver, held })
}

/// The end that the hub fills.
#[derive(Debug)]
pub(crate) struct Inlet {
    sender: mpsc::Sender<(usize, Push)>,
    held: Arc<AtomicUsize>,
    bytes: usize,
}

impl Inlet {
    /// Puts something in, or says at once why not.
    pub(crate) fn offer(&self, push: Push) -> Result<(), Rejected> {
        let size = size(&push);
        let held = self.held.load(Ordering::Acquire);
        if held > 0 && held + size > self.bytes {
            return Err(if self.sender.is_closed() { Rejected::Gone } else { Rejected::Full });
        }
        self.held.fetch_add(size, Ordering::AcqRel);
        self.sender.try_send((size, push)).map_err(|error| {
            self.held.fetch_sub(size, Ordering::AcqRel);
            match error {
                mpsc::error::TrySendError::Full(_) => Rejected::Full,
                mpsc::error::TrySendError::Closed(_) => Rejected::Gone,
            }
        })
    }

    /// Tells whether everything was taken out.
    pub(crate) fn is_empty(&self) -> bool {
        self.sender.capacity() == self.sender.max_capacity()
    }

    /// Tells whether nobody takes anything out any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

/// The end that the socket empties.
#[derive(Debug)]
pub(crate) struct Outlet {
    receiver: mpsc::Receiver<(usize, Push)>,
    held: Arc<AtomicUsize>,
}

impl Outlet {
    /// Takes the next thing out; none when the hub is gone. Cancelling loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Push> {
        let (size, push) = self.receiver.recv().await?;
        self.held.fetch_sub(size, Ordering::AcqRel);
        Some(push)
    }
}

fn size(push: &Push) -> usize {
    match push {
        Push::Frame(frame) => frame.encoded_len(),
        _ => 0,
    }
}
