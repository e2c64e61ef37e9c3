//! Connections that come in at the gRPC port, plain or with a handshake before the first call.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{StreamExt as _, future};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::{Connected, TcpIncoming};

use super::MeshTls;
use crate::Tasks;

/// Time for a handshake.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most handshakes at once; the next connection waits in the system's queue.
const HANDSHAKES: usize = 256;
/// Pause after a connection could not be accepted, e.g. for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection, ready for calls.
#[derive(Debug)]
pub(crate) enum Incoming {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>, Handshaken),
}

/// What a handshake has shown about who calls; an extension of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshaken {
    /// The caller has a certificate of the mesh, or certificates are not asked for at all.
    pub certified: bool,
}

/// Returns the connections of a listener. Without TLS all of them; with it those that shook hands in time.
pub(crate) fn accept(
    listener: TcpListener,
    tls: Option<MeshTls>,
    tasks: &Tasks,
) -> BoxStream<'static, io::Result<Incoming>> {
    let Some(tls) = tls else {
        let plain = TcpIncoming::from(listener).with_nodelay(Some(true));
        return plain.map(|accepted| accepted.map(Incoming::Plain)).boxed();
    };
    let (sender, receiver) = mpsc::channel(1);
    let handshakes = tasks.clone();
    tasks.spawn(async move {
        tokio::select! {
            // When the server takes no more, the port is closed.
            () = sender.closed() => {}
            () = shake_hands(listener, tls, &sender, handshakes) => {}
        }
    });
    let next =
        |mut receiver: mpsc::Receiver<_>| async move { receiver.recv().await.map(|taken| (Ok(taken), receiver)) };
    futures::stream::unfold(receiver, next).boxed()
}

async fn shake_hands(listener: TcpListener, tls: MeshTls, ready: &mpsc::Sender<Incoming>, tasks: Tasks) {
    let places = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (tls, ready) = (tls.clone(), ready.clone());
        let handshake = async move {
            let _nodelay = stream.set_nodelay(true);
            match tokio::time::timeout(PATIENCE, tls.accept(stream)).await {
                Ok(Ok((stream, certified))) => {
                    let incoming = Incoming::Tls(Box::new(stream), Handshaken { certified });
                    let _ended = ready.send(incoming).await;
                }
                Ok(Err(error)) => tracing::info!(%peer, %error, "handshake refused"),
                Err(_) => tracing::info!(%peer, "handshake took too long"),
            }
            drop(place);
        };
        let ending = tasks.ending();
        tasks.spawn(async move {
            future::select(Box::pin(handshake), Box::pin(ending.cancelled())).await;
        });
    }
}

impl Connected for Incoming {
    type ConnectInfo = Handshaken;

    fn connect_info(&self) -> Handshaken {
        match self {
            Self::Plain(_) => Handshaken { certified: true },
            Self::Tls(_, shown) => *shown,
        }
    }
}

impl AsyncRead for Incoming {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream, _) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Incoming {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream, _) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream, _) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream, _) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
            Self::Tls(stream, _) => Pin::new(stream).poll_write_vectored(cx, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream, _) => stream.is_write_vectored(),
        }
    }
}
