//! Opening a connection to one process, until it has shown that it answers.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Version, header};
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tonic::body::Body;

use super::resolve::Target;
use crate::tls::MeshTls;

/// Connecting, with the first answer, takes longer only when nobody is there.
pub(super) const CONNECT: Duration = Duration::from_secs(2);

/// A process that vanished without a word is noticed by its silence, also while nobody calls it.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_ANSWER: Duration = Duration::from_secs(3);

/// A byte stream to a process.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What sends calls over a connection.
pub(super) type Sender = http2::SendRequest<Body>;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("cannot connect")]
    Connect(#[source] std::io::Error),
    #[error("no handshake")]
    Tls(#[source] std::io::Error),
    #[error("does not speak HTTP/2")]
    Handshake(#[source] hyper::Error),
    #[error("gave no answer")]
    Silent(#[source] hyper::Error),
    #[error("did not answer in time")]
    Late,
}

/// An open connection; it moves while this is polled.
pub(super) struct Connection {
    pub(super) sender: Sender,
    driver: Pin<Box<dyn Future<Output = Result<(), hyper::Error>> + Send>>,
}

impl Connection {
    /// Completes when the connection takes no more calls.
    pub(super) async fn ended(&mut self) {
        if let Err(error) = self.driver.as_mut().await {
            tracing::debug!(%error, "connection to a peer broke");
        }
    }

    /// Tells whether the process answers. Connecting shows only that somebody listens, and with TLS 1.3 not even that the
    /// process accepts who connects.
    pub(super) async fn probe(&mut self, target: &Target) -> Result<(), DialError> {
        let mut sender = self.sender.clone();
        let asking = sender.send_request(question(target));
        let asked = async {
            tokio::select! {
                answer = asking => answer.map(drop).map_err(DialError::Silent),
                () = self.ended() => Err(DialError::Late),
            }
        };
        tokio::time::timeout(CONNECT, asked).await.unwrap_or(Err(DialError::Late))
    }
}

/// Connects, and waits for a first answer.
pub(super) async fn dial(address: SocketAddr, target: &Target, tls: Option<&MeshTls>) -> Result<Connection, DialError> {
    let opening = async {
        let stream = TcpStream::connect(address).await.map_err(DialError::Connect)?;
        stream.set_nodelay(true).map_err(DialError::Connect)?;
        match tls {
            Some(tls) => speak(Box::new(tls.connect(&target.host, stream).await.map_err(DialError::Tls)?)).await,
            None => speak(Box::new(stream)).await,
        }
    };
    let mut connection = tokio::time::timeout(CONNECT, opening).await.unwrap_or(Err(DialError::Late))?;
    connection.probe(target).await?;
    Ok(connection)
}

async fn speak(stream: Box<dyn Stream>) -> Result<Connection, DialError> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_ANSWER)
        .keep_alive_while_idle(true);
    let (sender, driver) = builder.handshake(TokioIo::new(stream)).await.map_err(DialError::Handshake)?;
    Ok(Connection { sender, driver: Box::pin(driver) })
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
