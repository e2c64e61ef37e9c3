//! The vectors that are kept in memory between searches, the most recently used collections of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use action::{CollectionId, TenantId};

use super::load::{Listed, Segment};

/// A collection of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) tenant: TenantId,
    pub(super) collection: CollectionId,
}

/// What a collection held at a revision.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// The collection's revision.
    pub(super) revision: i64,
    /// Its documents.
    pub(super) segments: Arc<[Arc<Segment>]>,
    /// Where the segment of a document is.
    places: HashMap<String, usize>,
    bytes: usize,
}

impl Snapshot {
    pub(super) fn new(revision: i64, segments: Vec<Arc<Segment>>) -> Self {
        let places = segments.iter().enumerate().map(|(at, segment)| (segment.document.id.clone(), at)).collect();
        let bytes = segments.iter().map(|segment| segment.document.bytes()).sum();
        Self { revision, segments: segments.into(), places, bytes }
    }

    /// Returns the segment of a document, if it is still the one that is listed: a document gets a new revision with every
    /// version that appears.
    pub(super) fn segment(&self, listed: &Listed) -> Option<Arc<Segment>> {
        let segment = &self.segments[*self.places.get(&listed.id)?];
        (*segment.document == *listed).then(|| Arc::clone(segment))
    }
}

/// Snapshots by collection, within a bound of bytes.
#[derive(Debug)]
pub(super) struct Cache {
    budget: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: HashMap<Key, Entry>,
    bytes: usize,
    /// Counts the uses.
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    snapshot: Arc<Snapshot>,
    used: u64,
}

impl Cache {
    pub(super) fn new(budget: usize) -> Self {
        Self { budget, kept: Mutex::default() }
    }

    /// Returns the most bytes that are kept.
    pub(super) fn budget(&self) -> usize {
        self.budget
    }

    /// Returns what is kept of a collection, of whatever revision.
    pub(super) fn get(&self, key: &Key) -> Option<Arc<Snapshot>> {
        let mut kept = self.lock();
        kept.clock += 1;
        let now = kept.clock;
        let entry = kept.entries.get_mut(key)?;
        entry.used = now;
        Some(Arc::clone(&entry.snapshot))
    }

    /// Keeps a snapshot, unless a later one is kept; the least recently used ones go until it fits.
    pub(super) fn put(&self, key: Key, snapshot: Snapshot) {
        let mut kept = self.lock();
        if kept.entries.get(&key).is_some_and(|entry| entry.snapshot.revision >= snapshot.revision) {
            return;
        }
        kept.remove(&key);
        while kept.bytes + snapshot.bytes > self.budget {
            let Some(oldest) = kept.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone())
            else {
                return;
            };
            kept.remove(&oldest);
        }
        kept.clock += 1;
        kept.bytes += snapshot.bytes;
        let used = kept.clock;
        kept.entries.insert(key, Entry { snapshot: Arc::new(snapshot), used });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        // Every change of the map is complete before anything can panic.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.snapshot.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Cache, Key, Snapshot};
    use crate::index::load::{Listed, Segment};

    fn key(collection: &str) -> Key {
        Key { tenant: "tenant".parse().unwrap(), collection: collection.parse().unwrap() }
    }

    fn snapshot(revision: i64, chunks: usize) -> Snapshot {
        let document = Listed::of_size("doc", 4, chunks);
        let bytes = document.bytes();
        let segment = Segment::new(document, (0..chunks).map(|_| vec![0.5; 4]).collect::<Vec<_>>().concat());
        let snapshot = Snapshot::new(revision, vec![Arc::new(segment)]);
        assert_eq!(snapshot.bytes, bytes);
        snapshot
    }

    #[test]
    fn the_least_recently_used_collection_goes_first() {
        let cache = Cache::new(2 * snapshot(1, 4).bytes);
        cache.put(key("one"), snapshot(1, 4));
        cache.put(key("two"), snapshot(1, 4));
        assert!(cache.get(&key("one")).is_some());
        cache.put(key("three"), snapshot(1, 4));
        assert!(cache.get(&key("two")).is_none());
        assert!(cache.get(&key("one")).is_some() && cache.get(&key("three")).is_some());
    }

    #[test]
    fn an_older_revision_does_not_replace_a_newer_one() {
        let cache = Cache::new(1 << 20);
        cache.put(key("one"), snapshot(7, 1));
        cache.put(key("one"), snapshot(6, 2));
        assert_eq!(cache.get(&key("one")).unwrap().revision, 7);
        cache.put(key("one"), snapshot(8, 2));
        assert_eq!(cache.get(&key("one")).unwrap().revision, 8);
        assert_eq!(cache.lock().bytes, snapshot(8, 2).bytes);
    }
}
