//! Changing the index: parts of a document's version arrive, and with the last one the version appears as a whole.

use action::{CollectionId, DocumentId, TenantId};
use store::{Error as Store, Scoped, Transaction};

use super::Index;
use super::load::blob;
use crate::Error;
use crate::rank::unit;

/// A part of a version of a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Collection of the document.
    pub collection: CollectionId,
    /// The document.
    pub document: DocumentId,
    /// Its title.
    pub title: String,
    /// Its version.
    pub version: u64,
    /// Model that made the vectors.
    pub model: String,
    /// The chunks, at least one; all vectors of one length.
    pub chunks: Vec<Chunk>,
    /// Set in the last part: how many chunks the version has.
    pub total: Option<u32>,
}

/// A chunk of a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// Number within the document, starting at 0.
    pub index: u32,
    /// Its text.
    pub text: String,
    /// First character in the document's text, in Unicode scalar values.
    pub start: u64,
    /// First character after it.
    pub end: u64,
    /// Its vector.
    pub vector: Vec<f32>,
}

impl Index {
    /// Takes a part of a version of a document, and returns how many chunks of the document can be found then. Parts may
    /// come again. With the last part the version appears and lower ones vanish, in one step. Parts of a version that is
    /// not greater than the one that can be found change nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] when the vectors are not usable or of another model or length than those of earlier parts, or when
    /// chunks are missing with the last part.
    pub async fn add(&self, tenant: &TenantId, mut part: Part) -> Result<u32, Error> {
        let dimensions = check(&mut part)?;
        let scoped = self.database.tenant(tenant);
        let mut transaction = scoped.begin().await?;
        let live = live(&scoped, &mut transaction, &part).await?;
        let version = i64::try_from(part.version).map_err(|_| Error::field("version", "is too large"))?;
        if let Some(live) = live.as_ref().filter(|live| live.version >= version) {
            return Ok(live.found());
        }
        let mut write = Write { scoped, transaction, part, version, dimensions };
        write.arrive().await?;
        write.chunks().await?;
        let found = match write.part.total {
            Some(total) => write.appear(total, live).await?,
            None => live.map_or(0, |live| live.found()),
        };
        write.transaction.commit().await.map_err(Store::from)?;
        Ok(found)
    }
}

/// Checks the vectors, scales them to unit length and returns how long they are.
fn check(part: &mut Part) -> Result<i64, Error> {
    if part.model.is_empty() {
        return Err(Error::field("model", "must not be empty"));
    }
    let dimensions = part.chunks.first().map(|chunk| chunk.vector.len()).ok_or(Error::field("chunks", "is empty"))?;
    for chunk in &mut part.chunks {
        if chunk.vector.len() != dimensions {
            return Err(Error::field("chunks", "has vectors of different lengths"));
        }
        if !unit(&mut chunk.vector) {
            return Err(Error::field("chunks", "has a vector without direction"));
        }
        if part.total.is_some_and(|total| chunk.index >= total) {
            return Err(Error::field("total_chunks", "is less than the number of a chunk"));
        }
    }
    i64::try_from(dimensions).map_err(|_| Error::field("chunks", "has vectors that are too long"))
}

/// The version of a document that can be found.
struct Live {
    version: i64,
    collection: String,
    chunks: i64,
}

impl Live {
    fn found(&self) -> u32 {
        u32::try_from(self.chunks).unwrap_or(u32::MAX)
    }
}

async fn live(scoped: &Scoped<'_>, transaction: &mut Transaction, part: &Part) -> Result<Option<Live>, Store> {
    let sql = "SELECT version, collection_id, chunks FROM indexed_documents WHERE tenant_id = $1 AND document_id = $2";
    let query = scoped.query_as::<(i64, String, i64)>(sql).bind(part.document.as_str().to_owned());
    let row = query.fetch_optional(&mut **transaction).await?;
    Ok(row.map(|(version, collection, chunks)| Live { version, collection, chunks }))
}

/// One part on its way into the tables.
struct Write<'a> {
    scoped: Scoped<'a>,
    transaction: Transaction,
    part: Part,
    version: i64,
    dimensions: i64,
}

impl Write<'_> {
    fn document(&self) -> String {
        self.part.document.as_str().to_owned()
    }

    /// Makes sure that all parts of a version are of one kind. The first chunk begins anew: whoever sends it may have cut
    /// the document differently, or embedded it with another model, than an attempt that was given up.
    async fn arrive(&mut self) -> Result<(), Error> {
        if self.part.chunks.iter().any(|chunk| chunk.index == 0) {
            self.forget().await?;
            let sql = "INSERT INTO arriving_versions (tenant_id, document_id, version, collection_id, model, dimensions) \
                       VALUES ($1, $2, $3, $4, $5, $6)";
            let query = self.scoped.query(sql).bind(self.document()).bind(self.version);
            let query = query.bind(self.part.collection.as_str().to_owned()).bind(self.part.model.clone());
            query.bind(self.dimensions).execute(&mut *self.transaction).await.map_err(Store::from)?;
            return Ok(());
        }
        let sql = "SELECT collection_id, model, dimensions FROM arriving_versions \
                   WHERE tenant_id = $1 AND document_id = $2 AND version = $3";
        let query = self.scoped.query_as::<(String, String, i64)>(sql).bind(self.document()).bind(self.version);
        let row = query.fetch_optional(&mut *self.transaction).await.map_err(Store::from)?;
        let (collection, model, dimensions) = row.ok_or(Error::field("chunks", "must begin with the first chunk"))?;
        if collection != self.part.collection.as_str() {
            return Err(Error::field("collection_id", "is not that of the earlier parts"));
        }
        if model != self.part.model || dimensions != self.dimensions {
            return Err(Error::field("model", "is not that of the earlier parts"));
        }
        Ok(())
    }

    async fn chunks(&mut self) -> Result<(), Store> {
        let sql = "INSERT INTO indexed_chunks \
                   (tenant_id, document_id, version, chunk_index, text, start_at, end_at, vector) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
                   ON CONFLICT (tenant_id, document_id, version, chunk_index) DO UPDATE SET \
                   text = excluded.text, start_at = excluded.start_at, end_at = excluded.end_at, vector = excluded.vector";
        for chunk in std::mem::take(&mut self.part.chunks) {
            let query = self.scoped.query(sql).bind(self.document()).bind(self.version).bind(i64::from(chunk.index));
            let place = |at: u64| i64::try_from(at).unwrap_or(i64::MAX);
            let query = query.bind(chunk.text).bind(place(chunk.start)).bind(place(chunk.end));
            query.bind(blob(&chunk.vector)).execute(&mut *self.transaction).await?;
        }
        Ok(())
    }

    /// Checks that all chunks of the version are there. No number comes twice, so that as many chunks as there shall be have
    /// no gap exactly when the greatest number is the last one.
    async fn complete(&mut self, total: u32) -> Result<(), Error> {
        let sql = "SELECT COUNT(*), COALESCE(MAX(chunk_index), -1) FROM indexed_chunks \
                   WHERE tenant_id = $1 AND document_id = $2 AND version = $3";
        let query = self.scoped.query_as::<(i64, i64)>(sql).bind(self.document()).bind(self.version);
        let (arrived, greatest) = query.fetch_one(&mut *self.transaction).await.map_err(Store::from)?;
        if arrived != i64::from(total) {
            return Err(Error::field("total_chunks", "is not the number of chunks that have arrived"));
        }
        if greatest != arrived - 1 {
            return Err(Error::field("chunks", "are not numbered from 0 without gaps"));
        }
        Ok(())
    }

    /// Makes the version the one that can be found.
    async fn appear(&mut self, total: u32, live: Option<Live>) -> Result<u32, Error> {
        self.complete(total).await?;
        if let Some(live) = live.filter(|live| live.collection != self.part.collection.as_str()) {
            self.revise(live.collection).await?;
        }
        let collection = self.part.collection.as_str().to_owned();
        let revision = self.revise(collection.clone()).await?;
        let sql = "INSERT INTO indexed_documents \
                   (tenant_id, document_id, collection_id, title, version, model, dimensions, chunks, revision) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
                   ON CONFLICT (tenant_id, document_id) DO UPDATE SET collection_id = excluded.collection_id, \
                   title = excluded.title, version = excluded.version, model = excluded.model, \
                   dimensions = excluded.dimensions, chunks = excluded.chunks, revision = excluded.revision";
        let query = self.scoped.query(sql).bind(self.document()).bind(collection).bind(self.part.title.clone());
        let query = query.bind(self.version).bind(self.part.model.clone()).bind(self.dimensions);
        query.bind(i64::from(total)).bind(revision).execute(&mut *self.transaction).await.map_err(Store::from)?;
        self.settle().await?;
        Ok(total)
    }

    /// Counts a change of what can be found in a collection.
    async fn revise(&mut self, collection: String) -> Result<i64, Store> {
        let sql = "INSERT INTO indexed_collections (tenant_id, collection_id, revision) VALUES ($1, $2, 1) \
                   ON CONFLICT (tenant_id, collection_id) DO UPDATE SET revision = indexed_collections.revision + 1 \
                   RETURNING revision";
        Ok(self.scoped.query_scalar(sql).bind(collection).fetch_one(&mut *self.transaction).await?)
    }

    /// Deletes what has arrived of this version.
    async fn forget(&mut self) -> Result<(), Store> {
        let chunks = "DELETE FROM indexed_chunks WHERE tenant_id = $1 AND document_id = $2 AND version = $3";
        let arriving = "DELETE FROM arriving_versions WHERE tenant_id = $1 AND document_id = $2 AND version = $3";
        self.delete([chunks, arriving]).await
    }

    /// Deletes lower versions; this one is not arriving any more.
    async fn settle(&mut self) -> Result<(), Store> {
        let chunks = "DELETE FROM indexed_chunks WHERE tenant_id = $1 AND document_id = $2 AND version < $3";
        let arriving = "DELETE FROM arriving_versions WHERE tenant_id = $1 AND document_id = $2 AND version <= $3";
        self.delete([chunks, arriving]).await
    }

    async fn delete(&mut self, statements: [&'static str; 2]) -> Result<(), Store> {
        for sql in statements {
            let query = self.scoped.query(sql).bind(self.document()).bind(self.version);
            query.execute(&mut *self.transaction).await?;
        }
        Ok(())
    }
}
