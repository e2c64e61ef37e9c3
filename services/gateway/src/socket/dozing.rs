//! Futures that are seldom ready beside one that is often: they are looked at only when they were woken themselves. What sockets
//! wait for together, as for the end of the process, is behind locks that all of them share; a frame on one shall not take them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures::task::{ArcWake, AtomicWaker, waker_ref};

/// See the module.
pub(super) struct Dozing<F> {
    bell: Arc<Bell>,
    inner: F,
}

/// Notes that the future was woken, and wakes the task.
struct Bell {
    rung: AtomicBool,
    task: AtomicWaker,
}

impl<F> Dozing<F> {
    /// Takes a future, which is looked at once to begin with.
    pub(super) fn new(inner: F) -> Self {
        Self { bell: Arc::new(Bell { rung: AtomicBool::new(true), task: AtomicWaker::new() }), inner }
    }
}

impl<F: Future + Unpin> Future for Dozing<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // In this order: whoever rings after the look at the bell finds the task.
        self.bell.task.register(cx.waker());
        if !self.bell.rung.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let bell = Arc::clone(&self.bell);
        Pin::new(&mut self.inner).poll(&mut Context::from_waker(&waker_ref(&bell)))
    }
}

impl ArcWake for Bell {
    fn wake_by_ref(bell: &Arc<Self>) {
        bell.rung.store(true, Ordering::Release);
        bell.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures::FutureExt as _;
    use futures::channel::oneshot;

    use super::*;

    #[tokio::test]
    async fn it_is_looked_at_when_it_is_woken_and_not_otherwise() {
        let (sender, mut receiver) = oneshot::channel::<u32>();
        let mut looks = 0;
        let inner = poll_fn(|cx| {
            looks += 1;
            receiver.poll_unpin(cx)
        });
        let mut dozing = Dozing::new(inner);
        for _ in 0..10 {
            assert!((&mut dozing).now_or_never().is_none());
        }
        let telling = async {
            tokio::task::yield_now().await;
            sender.send(7)
        };
        let (heard, told) = tokio::join!(&mut dozing, telling);
        assert_eq!((heard, told), (Ok(7), Ok(())));
        drop(dozing);
        assert_eq!(looks, 2, "at first, and when it was woken");
    }
}
