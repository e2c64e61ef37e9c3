//! Work that is not left half done when whoever waits for it goes away.

use std::pin::Pin;
use std::task::{Context, Poll};

use super::Tasks;

/// See [`Tasks::see_through`].
pub struct SeenThrough<T: Send + 'static> {
    rest: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    tasks: Tasks,
}

impl<T: Send + 'static> SeenThrough<T> {
    pub(super) fn new(rest: Pin<Box<dyn Future<Output = T> + Send>>, tasks: Tasks) -> Self {
        Self { rest: Some(rest), tasks }
    }
}

impl<T: Send + 'static> Future for SeenThrough<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // Taken out, so that what panics is not run once more.
        let mut rest = self.rest.take().expect("it is not awaited again after its end");
        let polled = rest.as_mut().poll(cx);
        if polled.is_pending() {
            self.rest = Some(rest);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for SeenThrough<T> {
    fn drop(&mut self) {
        let Some(rest) = self.rest.take() else { return };
        // At the very end of the process there is nobody left to run it.
        if tokio::runtime::Handle::try_current().is_ok() {
            self.tasks.spawn(async move { drop(rest.await) });
        }
    }
}

impl<T: Send + 'static> std::fmt::Debug for SeenThrough<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SeenThrough").field("ended", &self.rest.is_none()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
