//! The index: which chunks of a tenant's documents can be found, and which are nearest to a question.
//!
//! The tables are the truth. What a search needs of them is kept in memory, collection by collection, and compared with
//! the collection's revision in every search, so that processes which share the tables see each other's changes at once.

mod cache;
mod load;
mod write;

use std::path::Path;
use std::sync::Arc;

use action::{CollectionId, TenantId};
use sqlx::migrate::Migrator;
use store::Database;

use self::cache::{Cache, Key, Snapshot};
use self::load::{Listed, Segment};
pub use self::write::{Chunk, Part};
use crate::Error;
use crate::rank::{Best, Question};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// From this many components on, comparing takes long enough to leave the asynchronous threads.
const MANY: usize = 1 << 20;

/// The index. Cloning is cheap and shares the connections and what is in memory.
#[derive(Clone, Debug)]
pub struct Index {
    database: Database,
    cache: Arc<Cache>,
}

/// A chunk that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// Document that it stands in.
    pub document: String,
    /// Title of the document.
    pub title: String,
    /// Collection of the document.
    pub collection: String,
    /// Its text.
    pub text: String,
    /// First character in the document's text, in Unicode scalar values.
    pub start: u64,
    /// First character after it.
    pub end: u64,
    /// Cosine similarity to the question.
    pub similarity: f32,
}

/// What a collection holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Documents that can be found.
    pub documents: u32,
    /// Chunks that can be found.
    pub chunks: u32,
}

/// Place of a chunk in the tables; the order among equally similar ones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    document: Arc<Listed>,
    chunk: u32,
}

impl Index {
    /// Opens the index in an SQLite file; keeps at most `memory` bytes of vectors between searches.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] when the file cannot be opened or is not an index.
    pub async fn open(path: &Path, memory: usize) -> Result<Self, Error> {
        let database = Database::open(path, &MIGRATIONS).await?;
        Ok(Self { database, cache: Arc::new(Cache::new(memory)) })
    }

    /// Finds the chunks of some collections that are most similar to a question, most similar first: at most `limit`, none
    /// below `least`. Collections that the tenant does not have hold nothing.
    ///
    /// # Errors
    ///
    /// [`Error::OtherModel`] when there are chunks and all were embedded by other models than the question.
    pub async fn search(
        &self,
        tenant: &TenantId,
        collections: &[CollectionId],
        question: Arc<Question>,
        limit: usize,
        least: f32,
    ) -> Result<Vec<Hit>, Error> {
        // One transaction: what is compared and what is returned are of the same moment.
        let mut connection = self.database.read().begin().await.map_err(store::Error::from)?;
        let mut search = Search { question, best: Best::new(limit, least), comparable: 0, foreign: 0 };
        let mut seen = Vec::new();
        for collection in collections {
            if seen.contains(&collection) {
                continue;
            }
            seen.push(collection);
            self.look(&mut connection, tenant, collection, &mut search).await?;
        }
        if search.comparable == 0 && search.foreign > 0 {
            return Err(Error::OtherModel);
        }
        let mut hits = Vec::new();
        for (similarity, place) in search.best.into_sorted() {
            hits.push(load::hit(&self.database.tenant(tenant), &mut connection, &place, similarity).await?);
        }
        Ok(hits)
    }

    /// Tells what a collection of the tenant holds.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn stats(&self, tenant: &TenantId, collection: &CollectionId) -> Result<Stats, Error> {
        load::stats(&self.database.tenant(tenant), collection).await
    }

    async fn look(
        &self,
        connection: &mut store::Connection,
        tenant: &TenantId,
        collection: &CollectionId,
        search: &mut Search,
    ) -> Result<(), Error> {
        let scoped = self.database.tenant(tenant);
        let Some(revision) = load::revision(&scoped, connection, collection).await? else { return Ok(()) };
        let key = Key { tenant: tenant.clone(), collection: collection.clone() };
        let known = self.cache.get(&key);
        if let Some(snapshot) = known.as_ref().filter(|snapshot| snapshot.revision == revision) {
            return search.compare(snapshot.segments.clone()).await;
        }
        let listed = load::documents(&scoped, connection, collection).await?;
        let keeps = listed.iter().map(Listed::bytes).sum::<usize>() <= self.cache.budget();
        let mut segments = Vec::new();
        for document in listed {
            let segment = match known.as_ref().and_then(|snapshot| snapshot.segment(&document)) {
                Some(segment) => segment,
                None => Arc::new(load::segment(&scoped, connection, document).await?),
            };
            if keeps {
                segments.push(segment);
            } else {
                // More than may be kept: compared as it comes, and forgotten.
                search.compare(vec![segment].into()).await?;
            }
        }
        if keeps {
            let snapshot = Snapshot::new(revision, segments);
            search.compare(snapshot.segments.clone()).await?;
            self.cache.put(key, snapshot);
        }
        Ok(())
    }
}

/// A search on its way through the segments.
struct Search {
    question: Arc<Question>,
    best: Best<Place>,
    comparable: usize,
    foreign: usize,
}

impl Search {
    async fn compare(&mut self, segments: Arc<[Arc<Segment>]>) -> Result<(), Error> {
        let question = Arc::clone(&self.question);
        let components: usize = segments.iter().map(|segment| segment.components()).sum();
        let mut best = self.best.empty();
        let work = move || {
            let mut counts = (0, 0);
            for segment in segments.iter() {
                segment.offer(&question, &mut best, &mut counts);
            }
            (best, counts)
        };
        let (best, (comparable, foreign)) = if components > MANY {
            tokio::task::spawn_blocking(work).await.map_err(|_| Error::Stopping)?
        } else {
            work()
        };
        self.best.merge(best);
        self.comparable += comparable;
        self.foreign += foreign;
        Ok(())
    }
}
