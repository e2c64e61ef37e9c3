//! Futures within spans.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::Span;

/// Runs futures within spans.
pub trait Instrument: Future + Sized {
    /// Runs it within a span: whatever it does, and whatever is done when it is dropped.
    fn instrument(self, span: Span) -> Instrumented<Self> {
        Instrumented { future: Some(self), span }
    }

    /// Runs it within the span around this call.
    fn in_current_span(self) -> Instrumented<Self> {
        self.instrument(Span::current())
    }
}

impl<F: Future> Instrument for F {}

pin_project! {
    /// See [`Instrument`].
    #[derive(Debug)]
    pub struct Instrumented<F> {
        // Taken out only to be dropped within the span.
        #[pin]
        future: Option<F>,
        span: Span,
    }

    impl<F> PinnedDrop for Instrumented<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _within = this.span.lend();
            this.future.set(None);
        }
    }
}

impl<F: Future> Future for Instrumented<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _within = this.span.lend();
        this.future.as_pin_mut().expect("it is there until it is dropped").poll(cx)
    }
}
