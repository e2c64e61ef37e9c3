//! Calls over one connection of HTTP/2. Each is moved by whoever makes it: hyper's client has a task for every answer, and hands every
//! call through a channel to a task of its connection, which costs a call as much as HTTP/2 itself.
//!
//! What always holds: a call that was not sent is given back, and one that may have been is not.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::future::poll_fn;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Ping, PingPong, Reason, RecvStream, SendStream};
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::body::Body;

use super::body::{Outgoing, Piece};
use crate::Tasks;

/// As hyper's, which suit services that are near.
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 5 * 1024 * 1024;
const HEADER_LIST: u32 = 16 * 1024;
/// Bytes of bodies that are held for one call that its process does not take.
const SEND_BUFFER: usize = 1024 * 1024;

/// A process that vanished without a word is noticed by its silence, also while nobody calls it.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_ANSWER: Duration = Duration::from_secs(3);

/// What sends calls over a connection. Clones share it; it ends when they and their calls have ended. Every call takes one, so they
/// cost no more than a count.
#[derive(Clone, Debug)]
pub(super) struct Sender(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    requests: SendRequest<Bytes>,
    tasks: Tasks,
    closed: CancellationToken,
}

/// A call failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: h2::Error,
    /// The call, if it was not sent.
    pub(super) unsent: Option<Request<Body>>,
}

/// Begins a connection; it moves by itself.
pub(super) async fn open<S>(stream: S, tasks: &Tasks) -> Result<Sender, h2::Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEADER_LIST)
        .max_send_buffer_size(SEND_BUFFER);
    let (requests, mut connection) = builder.handshake::<_, Bytes>(stream).await?;
    let closed = CancellationToken::new();
    let (pings, closing) = (connection.ping_pong(), closed.clone().drop_guard());
    tasks.spawn_apart(async move {
        tokio::select! {
            ended = connection => if let Err(error) = ended {
                tracing::debug!(%error, "connection to a peer broke");
            },
            () = silence(pings) => tracing::debug!("a peer does not answer pings"),
        }
        drop(closing);
    });
    Ok(Sender(Arc::new(Inner { requests, tasks: tasks.clone(), closed })))
}

/// Completes when the other side does not answer.
async fn silence(pings: Option<PingPong>) {
    let Some(mut pings) = pings else { return std::future::pending().await };
    loop {
        tokio::time::sleep(PING_EVERY).await;
        let Ok(Ok(_)) = tokio::time::timeout(PING_ANSWER, pings.ping(Ping::opaque())).await else { return };
    }
}

impl Sender {
    /// Tells whether no call can be sent any more.
    pub(super) fn is_closed(&self) -> bool {
        self.0.closed.is_cancelled()
    }

    /// Completes when no call can be sent any more.
    pub(super) async fn closed(&self) {
        self.0.closed.cancelled().await;
    }

    /// Makes a call and returns the head of its answer, whose body follows.
    pub(super) async fn send(&self, request: Request<Body>) -> Result<Response<Body>, Failed> {
        let (answer, mut stream, body) = self.begin(request).await?;
        let sent = |error| Failed { error, unsent: None };
        let mut outgoing = Outgoing::new(body);
        let mut following = None;
        // Nearly every call is one message that is there already; whatever comes later is sent beside the answer.
        match outgoing.at_hand().await {
            Piece::Last(message) => stream.send_data(message, true).map_err(sent)?,
            Piece::Broken => stream.send_reset(Reason::INTERNAL_ERROR),
            piece => following = Some(self.follow(stream, outgoing, piece)),
        }
        let (head, body) = answer.await.map_err(sent)?.into_parts();
        Ok(Response::from_parts(head, Body::new(Incoming { body, _following: following })))
    }

    /// Sends the head of a call.
    async fn begin(&self, request: Request<Body>) -> Result<(ResponseFuture, SendStream<Bytes>, Body), Failed> {
        // Each call waits for its own turn where the other side takes only so many at once.
        let mut requests = self.0.requests.clone();
        if let Err(error) = poll_fn(|cx| requests.poll_ready(cx)).await {
            self.0.closed.cancel();
            return Err(Failed { error, unsent: Some(request) });
        }
        let (mut head, body) = request.into_parts();
        let extensions = std::mem::take(&mut head.extensions);
        match requests.send_request(Request::from_parts(head.clone(), ()), false) {
            Ok((answer, stream)) => Ok((answer, stream, body)),
            Err(error) => {
                self.0.closed.cancel();
                head.extensions = extensions;
                Err(Failed { error, unsent: Some(Request::from_parts(head, body)) })
            }
        }
    }

    /// Sends a body from this piece on, as the other side takes it; withdraws the call when what is returned is dropped before.
    fn follow(&self, mut stream: SendStream<Bytes>, body: Outgoing, piece: Piece) -> DropGuard {
        let given_up = CancellationToken::new();
        let guard = given_up.clone().drop_guard();
        self.0.tasks.spawn_apart(async move {
            let is_sent = tokio::select! {
                () = given_up.cancelled() => false,
                () = pump(&mut stream, body, piece) => true,
            };
            if !is_sent {
                stream.send_reset(Reason::CANCEL);
            }
        });
        guard
    }
}

/// Sends a body from this piece on, until its end or until the other side wants no more.
async fn pump(stream: &mut SendStream<Bytes>, mut body: Outgoing, mut piece: Piece) {
    loop {
        match piece {
            Piece::Later => {}
            Piece::Broken => return stream.send_reset(Reason::INTERNAL_ERROR),
            Piece::Next(message) => {
                if room(stream, &message).await.is_none() || stream.send_data(message, false).is_err() {
                    return;
                }
            }
            Piece::Last(message) => {
                if room(stream, &message).await.is_some() {
                    let _gone = stream.send_data(message, true);
                }
                return;
            }
        }
        let Some(next) = body.next(stream).await else { return };
        piece = next;
    }
}

/// Waits until the other side takes something; none when it wants no more. As little as possible is asked for, so that no
/// call takes the room of others while it waits.
async fn room(stream: &mut SendStream<Bytes>, message: &Bytes) -> Option<()> {
    if message.is_empty() {
        return Some(());
    }
    stream.reserve_capacity(1);
    poll_fn(|cx| {
        while stream.capacity() == 0 {
            match ready!(stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(None),
            }
        }
        Poll::Ready(Some(()))
    })
    .await
}

/// The body of an answer. Whoever drops it wants no more of the call.
struct Incoming {
    body: RecvStream,
    _following: Option<DropGuard>,
}

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        match ready!(self.body.poll_data(cx)) {
            Some(Ok(data)) => {
                // It is read as fast as its reader asks for it, so there is room for as much again.
                let _closed = self.body.flow_control().release_capacity(data.len());
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            // Said by who has answered before it heard everything: the answer is whole.
            Some(Err(error)) if matches!(error.reason(), Some(Reason::NO_ERROR | Reason::CANCEL)) => Poll::Ready(None),
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => Poll::Ready(ready!(self.body.poll_trailers(cx))?.map(|trailers| Ok(Frame::trailers(trailers)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests;
