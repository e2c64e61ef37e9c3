//! Tokens that were found good. What a signature proves does not change, so it is checked once, as long as its key is in use;
//! whether the token is in force is asked each time.

use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use moka::sync::Cache;
use ring::digest;

use super::claims::Proof;
use super::key::Key;

/// Most tokens that are remembered.
const CAPACITY: u64 = 10_000;
/// How long one is remembered that nobody presents.
const IDLE: Duration = Duration::from_mins(5);

/// What a token proved, and by which key.
#[derive(Clone)]
pub(super) struct Good {
    pub(super) kid: Option<String>,
    pub(super) key: Arc<Key>,
    pub(super) proof: Proof,
}

/// The name of a token: its hash, so that a memory does not hold credentials.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Name([u8; digest::SHA256_OUTPUT_LEN]);

impl Name {
    pub(super) fn of(token: &str) -> Self {
        let mut name = [0; digest::SHA256_OUTPUT_LEN];
        name.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        Self(name)
    }
}

/// See the module.
pub(super) struct Checked(Cache<Name, Arc<Good>, RandomState>);

impl Default for Checked {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(CAPACITY).time_to_idle(IDLE).build_with_hasher(RandomState::new()))
    }
}

impl Checked {
    pub(super) fn get(&self, name: Name) -> Option<Arc<Good>> {
        self.0.get(&name)
    }

    pub(super) fn put(&self, name: Name, good: Good) {
        self.0.insert(name, Arc::new(good));
    }
}
