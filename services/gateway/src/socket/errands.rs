//! What one socket asked for and is under way: a few things at a time, beside the conversation, so that a call that takes
//! long holds up neither pings nor frames.

use std::time::Duration;

use fault::{Failure, reason};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

/// Most things under way on one socket.
pub(super) const MOST: usize = 8;

/// Things under way, each of which ends in a `T`.
pub(super) struct Errands<T>(FuturesUnordered<BoxFuture<'static, T>>);

impl<T> Errands<T> {
    pub(super) fn new() -> Self {
        Self(FuturesUnordered::new())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Begins something, unless as much is under way as may be.
    pub(super) fn begin(&self, errand: BoxFuture<'static, T>) -> Result<(), Failure> {
        if self.0.len() < MOST {
            self.0.push(errand);
            return Ok(());
        }
        let text = format!("{MOST} frames of this socket are being dealt with already; wait for one of their answers");
        Err(Failure::new(&reason::OVERLOADED, text).retry_after(Duration::from_secs(1)).with("limit", MOST.to_string()))
    }

    /// Returns what ended next; none when nothing is under way. Cancelling loses nothing.
    pub(super) async fn next(&mut self) -> Option<T> {
        self.0.next().await
    }
}
