//! The accept loop and the drain. Our own, because axum's has no timeout for headers and forgets about WebSockets.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use service_kit::{Kit, Tasks};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::edge::Edge;
use crate::router::router;

/// Most bytes of a request's line and headers.
const MAX_HEAD: usize = 32 * 1024;
/// Pause after a connection could not be accepted, e.g. for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Time for what was cut off to be gone.
const LAST: Duration = Duration::from_secs(1);

/// Why the gateway ended before it was told to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The listener is of no use.
    #[error("the listener has no address")]
    Listener(#[source] io::Error),
}

/// Serves the HTTP edge on a listener until `shutdown` comes, then drains.
///
/// New work is refused with 503 DRAINING at once; after `drain_delay` no connection is accepted any more, requests in
/// flight are finished, sockets are closed one after the other with 4001; what is left after `drain_grace` is cut off.
pub async fn serve(
    config: Config,
    listener: TcpListener,
    kit: &Kit,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let address = listener.local_addr().map_err(Error::Listener)?;
    let links = Tasks::default();
    let edge = Edge::new(config.clone(), kit, &links);
    let server = Server {
        listener,
        router: router(edge.clone()),
        connections: Tasks::default(),
        cut: CancellationToken::new(),
        header_timeout: config.header_timeout,
    };
    tracing::info!(%address, "gateway listens");
    server.accept_until(shutdown).await;
    edge.draining.cancel();
    tracing::info!(sockets = edge.sockets.open(), "gateway drains");
    server.accept_until(tokio::time::sleep(config.drain_delay)).await;
    server.drain(&edge, config.drain_grace).await;
    // The last handle of the hub is gone with the edge, and with it its streams.
    drop(edge);
    links.end(LAST).await;
    tracing::info!("gateway ended");
    Ok(())
}

struct Server {
    listener: TcpListener,
    router: Router,
    connections: Tasks,
    cut: CancellationToken,
    header_timeout: Duration,
}

impl Server {
    async fn accept_until(&self, end: impl Future<Output = ()>) {
        let mut end = pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return,
                accepted = self.listener.accept() => match accepted {
                    Ok(connection) => self.take(connection),
                    Err(error) => {
                        tracing::warn!(%error, "connection not accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    fn take(&self, (stream, peer): (TcpStream, SocketAddr)) {
        let (router, cut, timeout) = (self.router.clone(), self.cut.clone(), self.header_timeout);
        let ending = self.connections.ending();
        self.connections.spawn(async move {
            tokio::select! {
                () = cut.cancelled() => {}
                served = connection(stream, router, ending, timeout) => if let Err(error) = served {
                    tracing::debug!(%peer, error, "connection ended badly");
                },
            }
        });
    }

    async fn drain(self, edge: &Edge, grace: Duration) {
        drop(self.listener);
        edge.sockets.close();
        let (ended, closed) =
            tokio::join!(self.connections.end(grace), tokio::time::timeout(grace, edge.sockets.wait()));
        if !ended || closed.is_err() {
            tracing::warn!(sockets = edge.sockets.open(), "drain took too long; what is left is cut off");
        }
        self.cut.cancel();
        edge.sockets.cut();
        let _left = tokio::join!(self.connections.end(LAST), tokio::time::timeout(LAST, edge.sockets.wait()));
    }
}

/// Serves one connection; when `ending` comes, it finishes the request in flight and takes no other.
async fn connection(
    stream: TcpStream,
    router: Router,
    ending: CancellationToken,
    header_timeout: Duration,
) -> Result<(), String> {
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    // HTTP/1 only: browsers speak nothing else without TLS, and telling the versions apart has no timeout.
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(header_timeout).max_buf_size(MAX_HEAD);
    let service = TowerToHyperService::new(router);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
    tokio::select! {
        served = serving.as_mut() => return served.map_err(|error| error.to_string()),
        () = ending.cancelled() => serving.as_mut().graceful_shutdown(),
    }
    serving.await.map_err(|error| error.to_string())
}
