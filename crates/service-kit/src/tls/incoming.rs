//! One connection that came in at the gRPC port.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::Handshaken;

/// Time for a caller to say what every connection of HTTP/2 begins with.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much that is.
const PREFACE: usize = 24;

/// A connection, ready for calls. It holds its place until it ends.
#[derive(Debug)]
pub(crate) struct Incoming {
    transport: Transport,
    shown: Handshaken,
    beginning: Option<Beginning>,
    _place: OwnedSemaphorePermit,
}

/// What carries it.
#[derive(Debug)]
pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A caller that has yet to say what it is there for.
#[derive(Debug)]
struct Beginning {
    unsaid: usize,
    patience: Pin<Box<Sleep>>,
}

impl Incoming {
    pub(super) fn new(transport: Transport, shown: Handshaken, place: OwnedSemaphorePermit) -> Self {
        let patience = Box::pin(tokio::time::sleep(PATIENCE));
        Self { transport, shown, beginning: Some(Beginning { unsaid: PREFACE, patience }), _place: place }
    }
}

impl Connected for Incoming {
    type ConnectInfo = Handshaken;

    fn connect_info(&self) -> Handshaken {
        self.shown
    }
}

impl AsyncRead for Incoming {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        };
        let Some(beginning) = &mut self.beginning else { return read };
        beginning.unsaid = beginning.unsaid.saturating_sub(buffer.filled().len() - before);
        if beginning.unsaid == 0 {
            self.beginning = None;
        } else if read.is_pending() {
            ready!(beginning.patience.as_mut().poll(cx));
            telemetry::metric::connection::refused("grpc", "late");
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "nothing was said")));
        }
        read
    }
}

impl AsyncWrite for Incoming {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
