//! A WebSocket with the patience of a server: nothing is written without a limit of time, nor heard without one of number.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use futures::poll;
use service_kit::Bucket;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::error::ProtocolError;

use super::close::Close;

/// Time for a close frame to be taken, and to be answered.
const FAREWELL: Duration = Duration::from_secs(2);
/// The same for a client that was slow before.
const SLOW_FAREWELL: Duration = Duration::from_secs(5);

/// One socket.
pub(super) struct Line {
    /// In a box, because a future holds whatever it is given twice.
    socket: Box<WebSocket>,
    patience: Duration,
    allowance: Bucket,
}

impl Line {
    /// Takes a socket, the time that its client has for one frame, and how many frames the client may send.
    pub(super) fn new(socket: WebSocket, patience: Duration, allowance: Bucket) -> Self {
        Self { socket: Box::new(socket), patience, allowance }
    }

    /// Writes a text frame.
    pub(super) async fn say(&mut self, text: String) -> Result<(), Close> {
        self.send(Message::Text(text.into())).await
    }

    /// Writes a protocol ping.
    pub(super) async fn ping(&mut self) -> Result<(), Close> {
        self.send(Message::Ping(axum::body::Bytes::new())).await
    }

    /// Returns the next message, or why there is none any more. Cancelling loses nothing.
    pub(super) async fn hear(&mut self) -> Result<Message, Close> {
        match self.socket.recv().await {
            Some(Ok(Message::Close(_))) | None => Err(Close::Gone),
            // Pings and pongs count as well: each costs a write, or the time of this task.
            Some(Ok(message)) if self.allowance.take(Instant::now()) => Ok(message),
            Some(Ok(_)) => Err(Close::TooMany),
            Some(Err(error)) => Err(verdict(error)),
        }
    }

    /// Closes the socket, and waits for a moment until the client has seen why.
    pub(super) async fn close(mut self, close: Close) {
        if close == Close::Gone {
            return;
        }
        let farewell = async {
            if self.socket.send(close.message()).await.is_ok() {
                while let Some(Ok(_)) = self.socket.recv().await {}
            }
        };
        let patience = if close == Close::Slow { SLOW_FAREWELL } else { FAREWELL };
        let _elapsed = tokio::time::timeout(patience, farewell).await;
    }

    async fn send(&mut self, message: Message) -> Result<(), Close> {
        let mut sending = pin!(self.socket.send(message));
        // There nearly always is room for a frame: it needs no timer, nor does a socket hold the room for one.
        let sent = match poll!(sending.as_mut()) {
            Poll::Ready(sent) => Ok(sent),
            Poll::Pending => Box::pin(tokio::time::timeout(self.patience, sending)).await,
        };
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Close::Gone),
            Err(_) => Err(Close::Slow),
        }
    }
}

/// What a failure to read means.
fn verdict(error: axum::Error) -> Close {
    let inner = error.into_inner();
    match inner.downcast_ref::<tungstenite::Error>() {
        Some(tungstenite::Error::Capacity(_)) => Close::TooLarge,
        Some(tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => Close::Gone,
        Some(tungstenite::Error::Utf8(_) | tungstenite::Error::Protocol(_)) => Close::BadFrame,
        _ => Close::Gone,
    }
}
