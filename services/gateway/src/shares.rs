//! How many of something each one holds, up to a number: connections of an address, sockets of a tenant.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Who holds how many. Cloning is cheap.
#[derive(Debug)]
pub(crate) struct Shares<K>(Arc<Mutex<HashMap<K, usize>>>);

/// One of those that somebody holds; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share<K: Hash + Eq> {
    of: K,
    shares: Shares<K>,
}

impl<K> Clone for Shares<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> Default for Shares<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Hash + Eq + Clone> Shares<K> {
    /// Takes one more for somebody who may hold so many; none when they do.
    pub(crate) fn take(&self, of: K, most: usize) -> Option<Share<K>> {
        let mut held = self.held();
        let own = held.get(&of).copied().unwrap_or_default();
        if own >= most {
            return None;
        }
        held.insert(of.clone(), own + 1);
        drop(held);
        Some(Share { of, shares: self.clone() })
    }
}

impl<K> Shares<K> {
    /// Tells whether nobody holds anything.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.held().is_empty()
    }

    /// The map is whole at every moment, also when somebody panicked beside it.
    fn held(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq> Drop for Share<K> {
    fn drop(&mut self) {
        let mut held = self.shares.held();
        if let Some(own) = held.get_mut(&self.of) {
            *own -= 1;
            if *own == 0 {
                held.remove(&self.of);
            }
        }
    }
}
