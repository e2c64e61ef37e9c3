//! A stream of answers that ends in time.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use fault::Failure;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;
use tonic::body::Body;

/// A body that ends with the trailers of a failure when its deadline has passed or its process ends.
pub(super) struct Bounded {
    inner: Body,
    timer: Option<Pin<Box<Sleep>>>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    over: bool,
}

impl Bounded {
    pub(super) fn new(inner: Body, end: Option<Instant>, cut: CancellationToken) -> Self {
        let timer = end.map(|end| Box::pin(tokio::time::sleep_until(end)));
        Self { inner, timer, cut: Box::pin(cut.cancelled_owned()), over: false }
    }

    fn ended(&mut self, cx: &mut Context<'_>) -> Option<Failure> {
        if self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready()) {
            return Some(super::exceeded());
        }
        self.cut.as_mut().poll(cx).is_ready().then(super::draining)
    }
}

impl HttpBody for Bounded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.over {
            return Poll::Ready(None);
        }
        if let Some(failure) = self.ended(cx) {
            self.over = true;
            // What feeds the stream stops now, not when the connection lets go of it.
            self.inner = Body::empty();
            let mut trailers = HeaderMap::new();
            let written = Status::from(failure).add_header(&mut trailers);
            return Poll::Ready(Some(written.map(|()| Frame::trailers(trailers))));
        }
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
