//! Connections that come in at the gRPC port, plain or with a handshake before the first call: so many, and each with a time
//! to begin.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{StreamExt as _, future};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tonic::transport::server::TcpIncoming;

use super::MeshTls;
use super::incoming::{Incoming, Transport};
use crate::Tasks;

/// Time for a handshake.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause after a connection could not be accepted, e.g. for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// What a handshake has shown about who calls; an extension of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshaken {
    /// The caller has a certificate of the mesh, or certificates are not asked for at all.
    pub certified: bool,
}

/// Returns the connections of a listener, at most so many at once; further ones are closed. With TLS only those come that
/// shook hands in time.
pub(crate) fn accept(
    listener: TcpListener,
    tls: Option<MeshTls>,
    most: usize,
    tasks: &Tasks,
) -> BoxStream<'static, io::Result<Incoming>> {
    let places = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
    let Some(tls) = tls else {
        let plain = TcpIncoming::from(listener).with_nodelay(Some(true));
        let let_in = move |accepted: io::Result<_>| {
            let enter = |stream| {
                let place = enter(&places)?;
                Some(Incoming::new(Transport::Plain(stream), Handshaken { certified: true }, place))
            };
            future::ready(accepted.map(enter).transpose())
        };
        return plain.filter_map(let_in).boxed();
    };
    let (sender, receiver) = mpsc::channel(1);
    let handshakes = tasks.clone();
    tasks.spawn(async move {
        tokio::select! {
            // When the server takes no more, the port is closed.
            () = sender.closed() => {}
            () = shake_hands(listener, tls, places, &sender, handshakes) => {}
        }
    });
    let next =
        |mut receiver: mpsc::Receiver<_>| async move { receiver.recv().await.map(|taken| (Ok(taken), receiver)) };
    futures::stream::unfold(receiver, next).boxed()
}

async fn shake_hands(
    listener: TcpListener,
    tls: MeshTls,
    places: Arc<Semaphore>,
    ready: &mpsc::Sender<Incoming>,
    tasks: Tasks,
) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Some(place) = enter(&places) else { continue };
        let (tls, ready) = (tls.clone(), ready.clone());
        let handshake = async move {
            let _nodelay = stream.set_nodelay(true);
            match tokio::time::timeout(PATIENCE, tls.accept(stream)).await {
                Ok(Ok((stream, certified))) => {
                    let incoming = Incoming::new(Transport::Tls(Box::new(stream)), Handshaken { certified }, place);
                    let _ended = ready.send(incoming).await;
                }
                // Who may not in can try as often as they like: it is counted, and logged for who looks for it.
                Ok(Err(error)) => {
                    telemetry::metric::connection::refused("grpc", "handshake");
                    tracing::debug!(%peer, %error, "handshake refused");
                }
                Err(_) => {
                    telemetry::metric::connection::refused("grpc", "handshake");
                    tracing::debug!(%peer, "handshake took too long");
                }
            }
        };
        let ending = tasks.ending();
        tasks.spawn(async move {
            future::select(Box::pin(handshake), Box::pin(ending.cancelled())).await;
        });
    }
}

fn enter(places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    let place = Arc::clone(places).try_acquire_owned().ok();
    if place.is_none() {
        telemetry::metric::connection::refused("grpc", "places");
    }
    place
}
