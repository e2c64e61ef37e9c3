//! The accept loop and the drain. Our own, because axum's has no timeout for headers, no limits and no TLS, and forgets about
//! WebSockets.

mod clock;
mod connection;
mod doors;
mod heard;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use service_kit::tls::{EdgeTls, TlsError};
use service_kit::{Kit, Tasks};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use self::clock::Patience;
use self::connection::Terms;
use self::doors::Doors;
use crate::Config;
use crate::client::Proxies;
use crate::edge::Edge;
use crate::router::router;
use crate::spent::Spent;

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
    /// The certificate cannot be used.
    #[error("GATEWAY_TLS_CERT: {}", .0.in_words())]
    Tls(#[from] TlsError),
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
    let tls = config.tls.as_ref().map(EdgeTls::open).transpose()?;
    let links = Tasks::default();
    let edge = Edge::new(config.clone(), kit, &links);
    let server = Server::new(listener, &edge, tls);
    tracing::info!(%address, tls = config.tls.is_some(), "gateway listens");
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
    terms: Terms,
    doors: Doors,
    connections: Tasks,
    cut: CancellationToken,
}

impl Server {
    fn new(listener: TcpListener, edge: &Edge, tls: Option<EdgeTls>) -> Self {
        let config = &edge.config;
        let connections = Tasks::default();
        if let Some(tls) = &tls {
            tls.follow(&connections);
        }
        let terms = Terms {
            router: router(edge.clone()),
            tls,
            h2c: config.h2c,
            patience: Patience {
                head: config.header_timeout,
                idle: config.idle_timeout,
                // A socket says first that its client is slow.
                write: 3 * config.write_timeout,
            },
            proxies: Proxies::new(&config.trusted_proxies, config.forwarded_header),
            spent: Spent::new(edge.draining.clone()),
            ending: connections.ending(),
            is_late: false,
        };
        let doors = Doors::new(config.max_connections, config.max_connections_per_address);
        Self { listener, terms, doors, connections, cut: CancellationToken::new() }
    }

    async fn accept_until(&self, end: impl Future<Output = ()>) {
        tokio::select! {
            () = end => {}
            never = self.accept(&self.terms, &self.connections) => match never {},
        }
    }

    async fn accept(&self, terms: &Terms, connections: &Tasks) -> Infallible {
        loop {
            match self.listener.accept().await {
                Ok(connection) => self.take(connection, terms, connections),
                Err(error) => {
                    tracing::warn!(%error, "connection not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn take(&self, (stream, peer): (TcpStream, SocketAddr), terms: &Terms, connections: &Tasks) {
        let Some(entered) = self.doors.enter(peer.ip(), self.terms.proxies.trusts(peer.ip())) else {
            if self.terms.tls.is_none() {
                doors::turn_away(&stream);
            }
            telemetry::metric::connection::refused("http", "places");
            tracing::debug!(%peer, "too many connections");
            return;
        };
        let (terms, cut) = (terms.clone(), self.cut.clone());
        connections.spawn(async move {
            tokio::select! {
                () = cut.cancelled() => {}
                served = connection::serve(stream, peer, terms) => if let Err(error) = served {
                    if let Some(why) = error.refused() {
                        telemetry::metric::connection::refused("http", why);
                    }
                    tracing::debug!(%peer, %error, "connection ended badly");
                },
            }
            drop(entered);
        });
    }

    /// Waits for those who are here. Who comes meanwhile is told that the process ends.
    async fn drain(self, edge: &Edge, grace: Duration) {
        edge.sockets.close();
        let late = Tasks::default();
        let terms = Terms { ending: late.ending(), is_late: true, ..self.terms.clone() };
        let ended =
            async { tokio::join!(self.connections.end(grace), tokio::time::timeout(grace, edge.sockets.wait())) };
        let last_call = async {
            tokio::time::sleep(grace.saturating_sub(LAST.min(grace / 4))).await;
            edge.last_call.cancel();
            std::future::pending::<Infallible>().await
        };
        let (ended, closed) = tokio::select! {
            ended = ended => ended,
            never = last_call => match never {},
            never = self.accept(&terms, &late) => match never {},
        };
        if !ended || closed.is_err() {
            tracing::warn!(sockets = edge.sockets.open(), "drain took too long; what is left is cut off");
        }
        // From now on a connection is refused, which is safe to try elsewhere, and no other is begun.
        drop(self.listener);
        late.end(LAST / 2).await;
        self.cut.cancel();
        edge.sockets.cut();
        let _left =
            tokio::join!(self.connections.end(LAST), late.end(LAST), tokio::time::timeout(LAST, edge.sockets.wait()));
    }
}
