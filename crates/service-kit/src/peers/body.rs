//! The body of a call on its way out, piece by piece.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::future::poll_fn;
use h2::SendStream;
use http_body::Body as _;
use tonic::body::Body;

/// What comes of a body.
pub(super) enum Piece {
    /// A message, and there may be others.
    Next(Bytes),
    /// The last one, or nothing more.
    Last(Bytes),
    /// Nothing until now.
    Later,
    /// The body could not be made.
    Broken,
}

/// See the module.
pub(super) struct Outgoing {
    body: Body,
    /// Asked for already, to know whether what came before it was the last one.
    ahead: Option<Bytes>,
}

impl Outgoing {
    pub(super) fn new(body: Body) -> Self {
        Self { body, ahead: None }
    }

    /// Returns what is there without waiting.
    pub(super) async fn at_hand(&mut self) -> Piece {
        poll_fn(|cx| Poll::Ready(self.look(cx))).await
    }

    /// Waits for the next piece; none when the other side wants no more.
    pub(super) async fn next(&mut self, stream: &mut SendStream<Bytes>) -> Option<Piece> {
        poll_fn(|cx| {
            if stream.poll_reset(cx).is_ready() {
                return Poll::Ready(None);
            }
            match self.look(cx) {
                Piece::Later => Poll::Pending,
                piece => Poll::Ready(Some(piece)),
            }
        })
        .await
    }

    fn look(&mut self, cx: &mut Context<'_>) -> Piece {
        let first = match self.ahead.take() {
            Some(ahead) => ahead,
            None => match self.poll(cx) {
                Poll::Ready(Some(Ok(piece))) => piece,
                Poll::Ready(Some(Err(()))) => return Piece::Broken,
                Poll::Ready(None) => return Piece::Last(Bytes::new()),
                Poll::Pending => return Piece::Later,
            },
        };
        if self.body.is_end_stream() {
            return Piece::Last(first);
        }
        match self.poll(cx) {
            Poll::Ready(Some(Ok(ahead))) => {
                self.ahead = Some(ahead);
                Piece::Next(first)
            }
            Poll::Ready(Some(Err(()))) => Piece::Broken,
            Poll::Ready(None) => Piece::Last(first),
            Poll::Pending => Piece::Next(first),
        }
    }

    /// Asks the body for data; calls have no trailers.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ()>>> {
        loop {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Some(Err(_)) => return Poll::Ready(Some(Err(()))),
                None => return Poll::Ready(None),
            }
        }
    }
}
