//! Calls that may be sent twice.

use bytes::Bytes;
use http::Request;
use http::request::Parts;
use http_body_util::{BodyExt as _, Full};
use tonic::body::Body;

/// How the methods that only read begin.
const READS: [&str; 5] = ["Get", "List", "Resolve", "Search", "Wait"];

/// What is kept of a call that only reads, to send it once more.
#[derive(Debug)]
pub(super) struct Copy {
    head: Parts,
    message: Bytes,
}

impl Copy {
    /// Returns a call as it is to be sent, with a copy if it only reads.
    pub(super) async fn of(request: Request<Body>) -> (Request<Body>, Option<Self>) {
        if !only_reads(request.uri().path()) {
            return (request, None);
        }
        let (head, body) = request.into_parts();
        match body.collect().await {
            Ok(message) => {
                let copy = Self { head, message: message.to_bytes() };
                (copy.request(), Some(copy))
            }
            // What could not be encoded fails again as soon as it is sent.
            Err(status) => {
                (Request::from_parts(head, Body::new(http_body_util::StreamBody::new(broken(status)))), None)
            }
        }
    }

    /// Returns the call once more.
    pub(super) fn into_request(self) -> Request<Body> {
        self.request()
    }

    fn request(&self) -> Request<Body> {
        Request::from_parts(self.head.clone(), Body::new(Full::new(self.message.clone())))
    }
}

fn broken(
    status: tonic::Status,
) -> impl futures::Stream<Item = Result<http_body::Frame<Bytes>, tonic::Status>> + Send + 'static {
    futures::stream::once(std::future::ready(Err(status)))
}

fn only_reads(path: &str) -> bool {
    let method = path.rsplit('/').next().unwrap_or_default();
    READS.iter().any(|read| method.starts_with(read))
}
