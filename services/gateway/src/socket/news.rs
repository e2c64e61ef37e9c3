//! What happens to all sockets of the process at once.

use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;

use super::dozing::Dozing;
use super::drain::Sockets;

/// A change makes every socket of the process prove its credential; they do so one after another within this time.
const SPREAD: Duration = Duration::from_millis(300);

/// Something that happened, and when a socket has to do with it: not all at the same time.
#[derive(Debug)]
pub(super) enum News {
    /// Keys, or what their tenants may, have changed; with what tells of the next change.
    Changed(Instant, watch::Receiver<u64>),
    /// The process ends.
    Ending(Instant),
}

/// The next news, in a box: every socket waits for them all its life.
pub(super) type Awaited = Dozing<BoxFuture<'static, News>>;

/// Waits for the next news.
pub(super) fn next(sockets: Sockets, mut changes: watch::Receiver<u64>) -> Awaited {
    Dozing::new(Box::pin(async move {
        let another = async {
            if changes.changed().await.is_err() {
                // The process ends.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = another => News::Changed(Instant::now() + SPREAD.mul_f64(rand::random()), changes),
            turn = sockets.closing() => News::Ending(Instant::now() + turn),
        }
    }))
}

/// Waits for nothing: there are no news after the end.
pub(super) fn none() -> Awaited {
    Dozing::new(Box::pin(std::future::pending()))
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
        drop(sender);
        let news = next(sockets.clone(), receiver);
        sockets.close();
        let News::Ending(at) = news.await else { panic!("not the end") };
        assert!(soon(at));
    }
}
