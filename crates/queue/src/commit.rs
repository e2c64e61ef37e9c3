//! Group commit: whatever arrives while a script is in flight goes into the next one. There is no timer.

use std::future::Future;

use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

/// Most items of one script.
const MOST: usize = 256;
/// Bytes after which a script is not made larger.
const BYTES: usize = 1024 * 1024;

/// Collects items for one script and gives everybody the answer to their own.
#[derive(Debug)]
pub(crate) struct Committer<I, R> {
    sender: mpsc::UnboundedSender<(I, oneshot::Sender<R>)>,
}

/// Runs a script with a batch; one answer an item, in order.
pub(crate) trait Commit<I, R>: Send + 'static {
    /// Returns how many bytes an item sends.
    fn size(item: &I) -> usize;
    /// Commits a batch.
    fn commit(&self, batch: Vec<I>) -> impl Future<Output = Vec<R>> + Send;
}

impl<I: Send + 'static, R: Send + 'static> Committer<I, R> {
    /// Starts the loop. It ends, after what was handed in, when the last handle is gone.
    pub(crate) fn start<C: Commit<I, R>>(tracker: &TaskTracker, commit: C) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        tracker.spawn(run(receiver, commit));
        Self { sender }
    }

    /// Hands an item in and waits for its answer; none when the loop has ended.
    pub(crate) async fn commit(&self, item: I) -> Option<R> {
        let (sender, receiver) = oneshot::channel();
        self.sender.send((item, sender)).ok()?;
        receiver.await.ok()
    }

    /// Hands an item in whose answer nobody waits for.
    pub(crate) fn send(&self, item: I) {
        let (sender, _) = oneshot::channel();
        let _ = self.sender.send((item, sender));
    }
}

async fn run<I, R, C: Commit<I, R>>(mut receiver: mpsc::UnboundedReceiver<(I, oneshot::Sender<R>)>, commit: C) {
    while let Some((first, sender)) = receiver.recv().await {
        // Whoever is about to hand something in does so now: what one script answered to many comes back together.
        tokio::task::yield_now().await;
        let mut bytes = C::size(&first);
        let (mut batch, mut senders) = (vec![first], vec![sender]);
        while batch.len() < MOST && bytes < BYTES {
            let Ok((item, sender)) = receiver.try_recv() else { break };
            bytes += C::size(&item);
            batch.push(item);
            senders.push(sender);
        }
        for (answer, sender) in commit.commit(batch).await.into_iter().zip(senders) {
            // Whoever stopped waiting does not want the answer.
            let _ = sender.send(answer);
        }
    }
}
