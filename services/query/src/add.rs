//! `query.index`: chunks of a document become findable.

use action::TenantId;
use proto::query::v1::{IndexChunks, IndexChunksResult};
use queue::Work;

use crate::index::{Chunk, Part};
use crate::{Error, Query};

/// Longest title, in characters.
const TITLE_CHARS: usize = 300;

impl Query {
    /// Handles `query.index`.
    ///
    /// # Errors
    ///
    /// Those of the request and of the index.
    pub async fn add(&self, work: Work, request: IndexChunks) -> Result<IndexChunksResult, Error> {
        let indexed = self.add_part(&work.action().tenant, request).await?;
        work.event("indexed");
        Ok(IndexChunksResult { indexed })
    }

    async fn add_part(&self, tenant: &TenantId, request: IndexChunks) -> Result<u32, Error> {
        self.index.add(tenant, part(request)?).await
    }
}

/// Reads and checks the request.
pub(crate) fn part(request: IndexChunks) -> Result<Part, Error> {
    if request.title.chars().count() > TITLE_CHARS {
        return Err(Error::field("title", format!("must have at most {TITLE_CHARS} characters")));
    }
    if request.last && request.total_chunks == 0 {
        return Err(Error::field("total_chunks", "must be given with the last part"));
    }
    Ok(Part {
        collection: request.collection_id.parse()?,
        document: request.document_id.parse()?,
        title: request.title,
        version: request.version,
        model: request.model,
        chunks: request.chunks.into_iter().map(chunk).collect::<Result<_, _>>()?,
        total: request.last.then_some(request.total_chunks),
    })
}

fn chunk(chunk: proto::query::v1::Chunk) -> Result<Chunk, Error> {
    if chunk.end < chunk.start {
        return Err(Error::field("chunks", "has a chunk that ends before it starts"));
    }
    let vector = chunk.vector.ok_or_else(|| Error::field("chunks", "has a chunk without a vector"))?.values;
    Ok(Chunk { index: chunk.index, text: chunk.text, start: chunk.start, end: chunk.end, vector })
}
