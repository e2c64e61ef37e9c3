//! The layer that refuses calls rather than queueing them without bound.

use std::sync::Arc;
use std::time::Duration;

use fault::{Failure, reason};
use http::Request;
use tokio::sync::Semaphore;
use tonic::body::Body;

use crate::around::{Answer, Around, Inner};

/// Admits a number of calls at once over all connections; the next one is told `OVERLOADED`. A stream counts until it
/// begins. tower's own layers limit a connection at a time and cannot say why.
#[derive(Clone, Debug)]
pub(crate) struct ShedLayer {
    places: Arc<Semaphore>,
}

impl ShedLayer {
    pub(crate) fn new(calls: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(calls)) }
    }
}

impl Around for ShedLayer {
    fn around(&self, inner: &mut impl Inner, request: Request<Body>) -> Answer {
        let path = request.uri().path();
        if path.starts_with("/grpc.health.") {
            // A full process is alive; a probe that is refused would have it restarted.
            return Box::pin(inner.call(request));
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            let failure =
                Failure::new(&reason::OVERLOADED, "too many calls at once").retry_after(Duration::from_secs(1));
            return Box::pin(std::future::ready(Ok(tonic::Status::from(failure).into_http())));
        };
        let answer = inner.call(request);
        Box::pin(async move {
            let response = answer.await;
            drop(place);
            response
        })
    }
}
