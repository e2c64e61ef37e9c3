//! Writing an answer while it is made.

use std::time::Duration;

use action::Action;
use proto::task::v1::AgentDelta;
use proto::task::v1::frame::Body;
use tokio::time::{Instant, sleep_until};

use crate::{Append, Error, Log, Sessions};

/// Writes the pieces of an answer to a log: the first at once, later ones gathered for a moment.
///
/// There is no timer behind it: text is looked at when more comes. Where the source may pause, wait for [`Deltas::due`]
/// beside it and then [`Deltas::flush`].
#[derive(Debug)]
pub struct Deltas {
    sessions: Sessions,
    log: Log,
    action: Action,
    /// Text that was gathered and is not part of a frame yet.
    text: String,
    /// Frame that was sent and not confirmed; it goes out again unchanged, the log knows it by its index.
    unconfirmed: Option<Append>,
    /// Number of the next frame.
    index: u32,
    /// When the last frame was written; none before the first.
    written: Option<Instant>,
    /// Why nothing is written any more.
    superseded: Option<Error>,
}

impl Deltas {
    /// Takes where to write, and the action whose fence and attempt the pieces carry.
    pub fn new(sessions: Sessions, log: Log, action: &Action) -> Self {
        Self {
            sessions,
            log,
            action: action.clone(),
            text: String::new(),
            unconfirmed: None,
            index: 0,
            written: None,
            superseded: None,
        }
    }

    /// Adds text. It is written now if it is the first, or enough was gathered, or the last writing is a moment ago.
    ///
    /// [`Error::Stale`] and [`Error::Finished`] mean that this attempt is superseded: it should stop, and nothing is
    /// written any more. After any other error the text is kept and goes out with the next call.
    pub async fn push(&mut self, text: &str) -> Result<(), Error> {
        self.text.push_str(text);
        let due = self.due_at().is_some_and(|due| due <= Instant::now());
        let enough = self.text.len() >= self.sessions.config().delta_bytes;
        if due || enough { self.flush().await } else { Ok(()) }
    }

    /// Waits until gathered text should be written; for ever when there is none.
    pub async fn due(&self) {
        match self.due_at() {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// Writes what has been gathered; call it before the action is settled.
    pub async fn flush(&mut self) -> Result<(), Error> {
        if let Some(error) = &self.superseded {
            return Err(error.clone());
        }
        while let Some(append) = self.next() {
            self.unconfirmed = Some(append.clone());
            match self.sessions.append(&self.log, append).await {
                Ok(_) => {
                    self.unconfirmed = None;
                    self.index += 1;
                    self.written = Some(Instant::now());
                }
                Err(error) => {
                    if error.is_superseded() {
                        self.text.clear();
                        self.superseded = Some(error.clone());
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Returns how many pieces were written.
    pub fn written(&self) -> u32 {
        self.index
    }

    fn next(&mut self) -> Option<Append> {
        if let Some(append) = self.unconfirmed.take() {
            return Some(append);
        }
        if self.text.is_empty() {
            return None;
        }
        let text = std::mem::take(&mut self.text);
        let delta = AgentDelta { attempt: self.action.attempt(), index: self.index, text };
        Some(Append::progress(&self.action, Body::AgentDelta(delta)))
    }

    fn due_at(&self) -> Option<Instant> {
        if self.superseded.is_some() || (self.text.is_empty() && self.unconfirmed.is_none()) {
            return None;
        }
        let gather: Duration = self.sessions.config().delta_interval;
        Some(self.written.map_or_else(Instant::now, |written| written + gather))
    }
}
