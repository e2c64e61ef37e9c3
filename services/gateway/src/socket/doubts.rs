//! When the credential of an open socket must be proved again, beside every ping: when keys or tenants have changed, and when
//! its time is over.

use std::time::{Duration, SystemTime};

use futures::future::OptionFuture;
use tokio::sync::watch;
use tokio::time::Instant;

/// A change makes every socket of the process ask; they do so one after another within this time.
const SPREAD: Duration = Duration::from_millis(300);

/// Tells when to prove a credential again.
pub(super) struct Doubts {
    changes: watch::Receiver<u64>,
    /// When it is to be proved next.
    next: Option<Instant>,
}

impl Doubts {
    /// Begins with a doubt: how long the credential lasts is not known yet.
    pub(super) fn new(changes: watch::Receiver<u64>) -> Self {
        Self { changes, next: Some(Instant::now()) }
    }

    /// Waits until the credential must be proved again. Nothing is lost when the wait is given up.
    pub(super) async fn arise(&mut self) {
        loop {
            let next = OptionFuture::from(self.next.map(tokio::time::sleep_until));
            tokio::select! {
                Some(()) = next => {
                    self.next = None;
                    return;
                }
                Ok(()) = self.changes.changed() => self.sooner(Instant::now() + SPREAD.mul_f64(rand::random())),
                // The process ends.
                else => return std::future::pending().await,
            }
        }
    }

    /// Makes a doubt arise at once when another credential has come.
    pub(super) fn renewed(&mut self, another: bool) {
        if another {
            self.next = Some(Instant::now());
        }
    }

    /// Notes until when a credential lasts that was proved.
    pub(super) fn proved(&mut self, expires_at: Option<SystemTime>) {
        if let Some(end) = expires_at {
            let left = end.duration_since(SystemTime::now()).unwrap_or_default();
            // No clock is so exact that a moment before the end would not happen.
            self.sooner(Instant::now() + left + Duration::from_millis(5));
        }
    }

    fn sooner(&mut self, at: Instant) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a doubt arises within a time.
    async fn arises(doubts: &mut Doubts, within: Duration) -> bool {
        tokio::time::timeout(within, doubts.arise()).await.is_ok()
    }

    #[tokio::test]
    async fn a_credential_is_doubted_at_first_after_a_change_and_at_its_end() {
        let (short, long) = (Duration::from_millis(50), Duration::from_secs(5));
        let (changes, heard) = watch::channel(0);
        let mut doubts = Doubts::new(heard);
        assert!(arises(&mut doubts, long).await);
        doubts.proved(None);
        assert!(!arises(&mut doubts, short).await);
        changes.send_replace(1);
        assert!(arises(&mut doubts, long).await);
        assert!(!arises(&mut doubts, short).await, "once is enough");
        doubts.proved(Some(SystemTime::now() + Duration::from_millis(100)));
        assert!(!arises(&mut doubts, short).await);
        assert!(arises(&mut doubts, long).await);
        // What is given up is not forgotten.
        changes.send_replace(2);
        for _ in 0..400 {
            if arises(&mut doubts, Duration::from_millis(1)).await {
                return;
            }
        }
        panic!("the change was forgotten");
    }
}
