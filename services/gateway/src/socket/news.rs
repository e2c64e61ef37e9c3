//! What happens to all sockets of the process at once.

use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;

use super::dozing::Dozing;
use super::drain::Sockets;

/// A change makes every socket of the process prove its credential; they do so one after another within this time.
const SPREAD: Duration = Duration::from_millis(300);

/// Something that happened, when a socket has to do with it, which is not the same moment for all, and what tells of changes.
#[derive(Debug)]
pub(super) enum News {
    /// Keys, or what their tenants may, have changed.
    Changed(Instant, watch::Receiver<u64>),
    /// The process ends.
    Ending(Instant, watch::Receiver<u64>),
}

/// The next news, in a box: every socket waits for them all its life.
pub(super) type Awaited = Dozing<BoxFuture<'static, News>>;

/// Waits for the next news.
pub(super) fn next(sockets: Sockets, mut changes: watch::Receiver<u64>) -> Awaited {
    Dozing::new(Box::pin(async move {
        tokio::select! {
            () = another(&mut changes) => changed(changes),
            turn = sockets.closing() => News::Ending(Instant::now() + turn, changes),
        }
    }))
}

/// Waits for news of a process that ends: keys change still.
pub(super) fn last(mut changes: watch::Receiver<u64>) -> Awaited {
    Dozing::new(Box::pin(async move {
        another(&mut changes).await;
        changed(changes)
    }))
}

/// Waits for another change; for ever when there will be none.
async fn another(changes: &mut watch::Receiver<u64>) {
    if changes.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn changed(changes: watch::Receiver<u64>) -> News {
    News::Changed(Instant::now() + SPREAD.mul_f64(rand::random()), changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_is_told_of_once_and_the_end_as_well() {
        let sockets = Sockets::new(1);
        let (sender, receiver) = watch::channel(0);
        let soon = |at: Instant| at <= Instant::now() + SPREAD;
        let news = next(sockets.clone(), receiver);
        sender.send_replace(1);
        let News::Changed(at, receiver) = news.await else { panic!("not a change") };
        assert!(soon(at));
        let mut news = next(sockets.clone(), receiver);
        let quiet = tokio::time::timeout(Duration::from_millis(50), &mut news).await;
        assert!(quiet.is_err(), "{quiet:?}");
        sender.send_replace(2);
        let News::Changed(_, receiver) = news.await else { panic!("the change was forgotten") };
        let news = next(sockets.clone(), receiver);
        sockets.close();
        let News::Ending(at, receiver) = news.await else { panic!("not the end") };
        assert!(soon(at));
        let mut news = last(receiver);
        assert!(tokio::time::timeout(Duration::from_millis(50), &mut news).await.is_err(), "it ends once");
        sender.send_replace(3);
        assert!(matches!(news.await, News::Changed(..)), "keys change to the end");
    }
}
