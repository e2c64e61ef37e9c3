//! Reading the tables.

use std::sync::Arc;

use action::CollectionId;
use sqlx::FromRow;
use store::{Connection, Error as Store, Scoped};

use super::{Hit, Place, Stats};
use crate::Error;
use crate::rank::{Best, Question};

/// A document that can be found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, FromRow)]
pub(super) struct Listed {
    #[sqlx(rename = "document_id")]
    pub(super) id: String,
    pub(super) collection_id: String,
    pub(super) title: String,
    pub(super) version: i64,
    pub(super) model: String,
    pub(super) dimensions: i64,
    pub(super) chunks: i64,
    pub(super) revision: i64,
}

impl Listed {
    /// Returns what its vectors take in memory.
    pub(super) fn bytes(&self) -> usize {
        let components = self.dimensions.saturating_mul(self.chunks);
        usize::try_from(components).unwrap_or(usize::MAX).saturating_mul(size_of::<f32>()).saturating_add(256)
    }

    #[cfg(test)]
    pub(super) fn of_size(id: &str, dimensions: i64, chunks: usize) -> Self {
        Self {
            id: id.to_owned(),
            collection_id: "collection".to_owned(),
            title: String::new(),
            version: 1,
            model: "model".to_owned(),
            dimensions,
            chunks: i64::try_from(chunks).unwrap(),
            revision: 1,
        }
    }
}

/// The vectors of one document, one after the other in the order of its chunks.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) document: Arc<Listed>,
    dimensions: usize,
    vectors: Vec<f32>,
}

impl Segment {
    pub(super) fn new(document: Listed, vectors: Vec<f32>) -> Self {
        let dimensions = usize::try_from(document.dimensions).unwrap_or(1).max(1);
        Self { document: Arc::new(document), dimensions, vectors }
    }

    /// Returns how many numbers comparing goes through.
    pub(super) fn components(&self) -> usize {
        self.vectors.len()
    }

    /// Offers every chunk; counts chunks that can be compared with the question and those that cannot.
    pub(super) fn offer(
        &self,
        question: &Question,
        best: &mut Best<Place>,
        (comparable, foreign): &mut (usize, usize),
    ) {
        let chunks = self.vectors.len() / self.dimensions;
        if !question.is_comparable(&self.document.model, self.dimensions) {
            *foreign += chunks;
            return;
        }
        *comparable += chunks;
        for (chunk, vector) in (0_u32..).zip(self.vectors.chunks_exact(self.dimensions)) {
            best.offer(question.similarity(vector), || Place { document: Arc::clone(&self.document), chunk });
        }
    }
}

/// Returns the revision of a collection; none when it never held anything.
pub(super) async fn revision(
    scoped: &Scoped<'_>,
    connection: &mut Connection,
    collection: &CollectionId,
) -> Result<Option<i64>, Store> {
    let sql = "SELECT revision FROM indexed_collections WHERE tenant_id = $1 AND collection_id = $2";
    Ok(scoped.query_scalar(sql).bind(collection.as_str().to_owned()).fetch_optional(connection).await?)
}

/// Lists the documents of a collection that can be found.
pub(super) async fn documents(
    scoped: &Scoped<'_>,
    connection: &mut Connection,
    collection: &CollectionId,
) -> Result<Vec<Listed>, Store> {
    let sql = "SELECT document_id, collection_id, title, version, model, dimensions, chunks, revision \
               FROM indexed_documents WHERE tenant_id = $1 AND collection_id = $2 ORDER BY document_id";
    Ok(scoped.query_as(sql).bind(collection.as_str().to_owned()).fetch_all(connection).await?)
}

/// Reads the vectors of a document.
pub(super) async fn segment(
    scoped: &Scoped<'_>,
    connection: &mut Connection,
    document: Listed,
) -> Result<Segment, Store> {
    let sql = "SELECT vector FROM indexed_chunks WHERE tenant_id = $1 AND document_id = $2 AND version = $3 \
               ORDER BY chunk_index";
    let query = scoped.query_scalar::<Vec<u8>>(sql).bind(document.id.clone()).bind(document.version);
    let blobs = query.fetch_all(connection).await?;
    let dimensions = usize::try_from(document.dimensions).unwrap_or_default();
    if blobs.iter().any(|blob| blob.len() != dimensions * size_of::<f32>()) {
        return Err(Store::Stored("vector"));
    }
    let vectors = blobs.iter().flat_map(|blob| blob.chunks_exact(4)).map(component).collect();
    Ok(Segment::new(document, vectors))
}

fn component(bytes: &[u8]) -> f32 {
    f32::from_le_bytes(bytes.try_into().expect("chunks_exact gives four bytes"))
}

/// Writes a vector as [`segment`] reads it.
pub(super) fn blob(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|component| component.to_le_bytes()).collect()
}

/// Reads the text of a chunk that was found.
pub(super) async fn hit(
    scoped: &Scoped<'_>,
    connection: &mut Connection,
    place: &Place,
    similarity: f32,
) -> Result<Hit, Error> {
    let sql = "SELECT text, start_at, end_at FROM indexed_chunks \
               WHERE tenant_id = $1 AND document_id = $2 AND version = $3 AND chunk_index = $4";
    let document = &place.document;
    let query = scoped.query_as::<(String, i64, i64)>(sql);
    let query = query.bind(document.id.clone()).bind(document.version).bind(i64::from(place.chunk));
    let (text, start, end) = query.fetch_one(connection).await.map_err(Store::from)?;
    Ok(Hit {
        document: document.id.clone(),
        title: document.title.clone(),
        collection: document.collection_id.clone(),
        text,
        start: u64::try_from(start).unwrap_or_default(),
        end: u64::try_from(end).unwrap_or_default(),
        similarity,
    })
}

/// Counts what a collection holds.
pub(super) async fn stats(scoped: &Scoped<'_>, collection: &CollectionId) -> Result<Stats, Error> {
    let sql = "SELECT COUNT(*), COALESCE(SUM(chunks), 0) FROM indexed_documents \
               WHERE tenant_id = $1 AND collection_id = $2";
    let query = scoped.query_as::<(i64, i64)>(sql).bind(collection.as_str().to_owned());
    let (documents, chunks) = query.fetch_one(scoped.read()).await.map_err(Store::from)?;
    let count = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
    Ok(Stats { documents: count(documents), chunks: count(chunks) })
}
