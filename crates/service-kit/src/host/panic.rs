//! The layer that keeps a panic within its call.

use std::panic::AssertUnwindSafe;

use fault::Failure;
use futures::FutureExt as _;
use http::Request;
use tonic::body::Body;

use crate::around::{Answer, Around, Inner};

/// Answers INTERNAL where a façade panics; without it the caller would see a broken connection and try again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PanicLayer;

impl Around for PanicLayer {
    fn around(&self, inner: &mut impl Inner, request: Request<Body>) -> Answer {
        // The request is gone and the service is cloned for every call, so nothing half-changed is seen again.
        let answer = AssertUnwindSafe(inner.call(request)).catch_unwind();
        Box::pin(async move {
            let failed = |_| {
                tracing::error!("a call panicked");
                Ok(tonic::Status::from(Failure::internal()).into_http())
            };
            answer.await.unwrap_or_else(failed)
        })
    }
}
