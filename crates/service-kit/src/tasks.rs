//! Tasks that somebody waits for.

mod see_through;

use std::future::Future;
use std::time::Duration;

use telemetry::Instrument as _;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use see_through::SeenThrough;

/// The background tasks of a process part. Cloning is cheap. The host waits for them at the end of its drain.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    ending: CancellationToken,
}

impl Tasks {
    /// Runs a future in the background, within the current span. It is waited for at the drain and ends then at the
    /// latest: whoever must finish something first listens to [`Tasks::ending`].
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_apart(future.in_current_span())
    }

    /// Like [`Tasks::spawn`], outside of any span: for what a call happens to begin and outlives it, whose span would otherwise
    /// never end.
    pub fn spawn_apart<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let future = self.tracker.track_future(future);
        #[expect(clippy::disallowed_methods, reason = "the tracker waits for it")]
        tokio::spawn(future)
    }

    /// Runs a future where it is awaited, to its end: when whoever awaits it goes away, the rest runs in the background. This
    /// costs no task as long as they stay.
    ///
    /// It takes what makes the future: one that is handed over is copied on its way to its place.
    pub fn see_through<F>(&self, make: impl FnOnce() -> F) -> SeenThrough<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        SeenThrough::new(Box::pin(make()), self.clone())
    }

    /// Returns the token that is cancelled when background tasks shall come to their end.
    pub fn ending(&self) -> CancellationToken {
        self.ending.clone()
    }

    /// Asks all tasks to end and waits for them, for a limited time. Returns whether they did.
    pub async fn end(&self, patience: Duration) -> bool {
        self.ending.cancel();
        self.tracker.close();
        tokio::time::timeout(patience, self.tracker.wait()).await.is_ok()
    }
}

/// Runs a future in the background of `tasks`; the same as [`Tasks::spawn`].
pub fn spawn<F>(tasks: &Tasks, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tasks.spawn(future)
}
