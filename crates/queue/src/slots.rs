//! How much may be taken at once: the slots of a worker, or the credits that others gave.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// What bounds a claim.
pub(crate) enum Slots {
    /// As many as run at once; one comes back with every action that ends.
    Fixed(Arc<Semaphore>),
    /// As many as were asked for; none comes back by itself.
    Credits(Credits),
}

/// What a claim may take. What it does not use goes back when this is dropped.
pub(crate) enum Taken {
    Slots(OwnedSemaphorePermit),
    Credits(Asked),
}

impl Slots {
    pub(crate) fn fixed(slots: usize) -> Self {
        Self::Fixed(Arc::new(Semaphore::new(slots)))
    }

    /// Takes what is free, `most` at most; none when nothing is.
    pub(crate) fn try_take(&self, most: usize) -> Option<Taken> {
        match self {
            Self::Fixed(slots) => {
                let free = u32::try_from(slots.available_permits().clamp(1, most)).unwrap_or(1);
                Arc::clone(slots).try_acquire_many_owned(free).ok().map(Taken::Slots)
            }
            Self::Credits(credits) => credits.try_take(most).map(Taken::Credits),
        }
    }

    /// Waits until something is free, and takes it.
    pub(crate) async fn take(&self, most: usize) -> Option<Taken> {
        match self {
            Self::Fixed(slots) => {
                let mut taken = Arc::clone(slots).acquire_owned().await.ok()?;
                // What one script settled frees many slots, one task after the other: a claim for all of them costs Redis
                // little more than a claim for the first.
                for _ in 0..2 {
                    tokio::task::yield_now().await;
                }
                if let Some(Taken::Slots(more)) = self.try_take(most - 1) {
                    taken.merge(more);
                }
                Some(Taken::Slots(taken))
            }
            Self::Credits(credits) => Some(Taken::Credits(credits.take(most).await)),
        }
    }
}

impl Taken {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Slots(permits) => permits.num_permits(),
            Self::Credits(asked) => asked.left,
        }
    }

    /// Uses one up. What is returned is kept as long as the action runs.
    pub(crate) fn use_one(&mut self) -> Option<OwnedSemaphorePermit> {
        match self {
            Self::Slots(permits) => permits.split(1),
            Self::Credits(asked) => {
                asked.left = asked.left.saturating_sub(1);
                asked.used += 1;
                None
            }
        }
    }
}

/// How many more actions others will take. Cloning is cheap; all clones are the same purse.
///
/// An action that is leased uses one up, and settling it gives none back. Taking back what is used already is no mistake: the
/// sum is right again when whatever was leased for it has been given back.
#[derive(Clone, Debug, Default)]
pub struct Credits {
    purse: Arc<Purse>,
}

#[derive(Debug, Default)]
struct Purse {
    count: Mutex<Count>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Count {
    /// Below zero while more was taken back than is left.
    granted: i64,
    /// Held by claims that are on their way.
    asked: i64,
}

/// Credits that a claim holds.
pub(crate) struct Asked {
    credits: Credits,
    left: usize,
    used: usize,
}

impl Credits {
    /// Allows more actions to be leased.
    pub fn grant(&self, credits: u32) {
        self.count().granted += i64::from(credits);
        self.purse.more.notify_waiters();
    }

    /// Takes back what was granted.
    pub fn revoke(&self, credits: u32) {
        self.count().granted -= i64::from(credits);
    }

    fn try_take(&self, most: usize) -> Option<Asked> {
        let mut count = self.count();
        let free = usize::try_from(count.granted - count.asked).ok().filter(|&free| free > 0)?.min(most);
        count.asked += signed(free);
        Some(Asked { credits: self.clone(), left: free, used: 0 })
    }

    async fn take(&self, most: usize) -> Asked {
        loop {
            let more = self.purse.more.notified();
            tokio::pin!(more);
            more.as_mut().enable();
            if let Some(asked) = self.try_take(most) {
                return asked;
            }
            more.await;
        }
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.purse.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let mut count = self.credits.count();
        count.asked -= signed(self.left + self.used);
        count.granted -= signed(self.used);
        drop(count);
        self.credits.purse.more.notify_waiters();
    }
}

fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Credits, Slots};

    #[test]
    fn what_a_claim_does_not_use_can_be_taken_again_and_what_it_uses_cannot() {
        let credits = Credits::default();
        let slots = Slots::Credits(credits.clone());
        assert!(slots.try_take(10).is_none());
        credits.grant(5);
        let mut taken = slots.try_take(3).expect("five were granted");
        assert_eq!((taken.len(), slots.try_take(10).map(|taken| taken.len())), (3, Some(2)));
        taken.use_one();
        drop(taken);
        assert_eq!(slots.try_take(10).map(|taken| taken.len()), Some(4));
    }

    #[test]
    fn credits_that_are_taken_back_while_a_claim_uses_them_are_missing_until_it_gives_them_back() {
        let credits = Credits::default();
        let slots = Slots::Credits(credits.clone());
        credits.grant(2);
        let mut taken = slots.try_take(2).expect("two were granted");
        taken.use_one();
        taken.use_one();
        credits.revoke(2);
        drop(taken);
        credits.grant(1);
        assert!(slots.try_take(1).is_none(), "two are still on their way to somebody who is gone");
        // Both come back, since nobody was there to take them.
        credits.grant(2);
        assert_eq!(slots.try_take(10).map(|taken| taken.len()), Some(1));
    }
}
