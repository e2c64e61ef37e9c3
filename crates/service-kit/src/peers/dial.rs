//! Opening a connection to one process, until it has shown that it answers.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Version, header};
use http_body_util::Full;
use tokio::net::TcpStream;
use tonic::body::Body;

use super::resolve::Target;
use super::wire::{self, Sender};
use crate::Tasks;
use crate::tls::MeshTls;

/// Connecting, with the first answer, takes longer only when nobody is there.
pub(super) const CONNECT: Duration = Duration::from_secs(2);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("cannot connect")]
    Connect(#[source] std::io::Error),
    #[error("no handshake")]
    Tls(#[source] std::io::Error),
    #[error("does not speak HTTP/2")]
    Handshake(#[source] h2::Error),
    #[error("gave no answer")]
    Silent(#[source] h2::Error),
    #[error("did not answer in time")]
    Late,
}

/// Tells whether the process answers. Connecting shows only that somebody listens, and with TLS 1.3 not even that the process
/// accepts who connects.
pub(super) async fn probe(sender: &Sender, target: &Target) -> Result<(), DialError> {
    let asking = sender.send(question(target));
    let answer = tokio::time::timeout(CONNECT, asking).await.map_err(|_| DialError::Late)?;
    answer.map(drop).map_err(|failed| DialError::Silent(failed.error))
}

/// Connects, and waits for a first answer. What moves the connection runs in `tasks`.
pub(super) async fn dial(
    address: SocketAddr,
    target: &Target,
    tls: Option<&MeshTls>,
    tasks: &Tasks,
) -> Result<Sender, DialError> {
    let opening = async {
        let stream = TcpStream::connect(address).await.map_err(DialError::Connect)?;
        stream.set_nodelay(true).map_err(DialError::Connect)?;
        let opened = match tls {
            Some(tls) => wire::open(tls.connect(&target.host, stream).await.map_err(DialError::Tls)?, tasks).await,
            None => wire::open(stream, tasks).await,
        };
        opened.map_err(DialError::Handshake)
    };
    let sender = tokio::time::timeout(CONNECT, opening).await.unwrap_or(Err(DialError::Late))?;
    probe(&sender, target).await?;
    Ok(sender)
}

/// Every process answers the health service, without identity; whatever it answers, it is there.
fn question(target: &Target) -> Request<Body> {
    let uri = format!("http://{}/grpc.health.v1.Health/Check", target.authority);
    let empty_message = Bytes::from_static(&[0; 5]);
    let mut request = Request::new(Body::new(Full::new(empty_message)));
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = uri.parse().expect("the authority comes out of a URL");
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    request
}
