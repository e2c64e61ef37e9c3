//! Instruments of requests, each bound to its labels once: putting labels together and looking them up takes longer than counting.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use ahash::RandomState;

/// Bound instruments by their labels: a name of a closed set, and two words that say more.
pub(super) struct Bound<I>(RwLock<ByName<I>>);

type ByName<I> = HashMap<String, HashMap<Words, I, RandomState>, RandomState>;

/// The rest of the labels.
pub(super) type Words = (&'static str, u16);

impl<I> Default for Bound<I> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<I> Bound<I> {
    /// Uses the instrument of these labels; makes it first if need be.
    pub(super) fn with(&self, name: &str, words: Words, bind: impl FnOnce() -> I, record: impl FnOnce(&I)) {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(bound) = known.get(name).and_then(|of_name| of_name.get(&words)) {
            return record(bound);
        }
        drop(known);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        record(known.entry(name.to_owned()).or_default().entry(words).or_insert_with(bind));
    }
}
