//! Handing chunks on: vectors from embedding, both to the index. The vectors of a document are never all in memory.

use action::ExecutionContext;
use fault::Fault as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use prost::Message as _;
use proto::action::v1::TokenUsage;
use proto::embedding::v1::{GenerateEmbeddings, GenerateEmbeddingsResult, Vector};
use proto::query::v1::{Chunk as Indexed, IndexChunks};
use queue::{Answer, Work};

use crate::chunk::Chunk;
use crate::process::Job;
use crate::report::Report;
use crate::{Config, Error};

/// Most bytes of the chunks of one part: it travels through the queue as a whole.
const PART: usize = 200 * 1024;
/// Shares of the whole at which embedding begins and ends.
const EMBEDDING: (f64, f64) = (40.0, 90.0);
/// Progress is told in steps of this share.
const STEP: f64 = 5.0;

/// What feeding a document needs.
pub(crate) struct Feed<'a> {
    pub(crate) work: &'a Work,
    pub(crate) job: &'a Job,
    pub(crate) report: &'a Report<'a>,
    pub(crate) config: &'a Config,
    /// Model that the chunks were measured with.
    pub(crate) model: &'a str,
}

impl Feed<'_> {
    /// Embeds and indexes all chunks; returns how many can be found then, and the tokens it took.
    ///
    /// The work runs in the document's collection's context, in pieces so small that a chat does not wait behind it.
    pub(crate) async fn all(&self, chunks: &[Chunk], most_texts: u32) -> Result<(u32, TokenUsage), Error> {
        let batch = self.config.embed_batch.min(most_texts as usize).max(1);
        let pieces = (0..chunks.len()).step_by(batch).map(|from| {
            let piece = &chunks[from..chunks.len().min(from + batch)];
            async move { Ok::<_, Error>((piece, self.embed(piece).await?)) }
        });
        let mut pieces = stream::iter(pieces).buffered(self.config.embed_in_flight);
        let mut part = Part::default();
        let mut tokens = TokenUsage::default();
        let (mut done, mut told) = (0_usize, EMBEDDING.0);
        while let Some((piece, answer)) = pieces.try_next().await? {
            tokens.input += answer.tokens_used.input;
            tokens.total += answer.tokens_used.total;
            for (chunk, vector) in piece.iter().zip(self.vectors(piece, answer.reply)?) {
                let chunk = indexed(done, chunk, vector);
                if part.is_full_with(&chunk) {
                    self.index(part.take(), None).await?;
                }
                part.push(chunk);
                done += 1;
            }
            let share = EMBEDDING.0 + (EMBEDDING.1 - EMBEDDING.0) * ratio(done, chunks.len());
            if share - told >= STEP && done < chunks.len() {
                told = share;
                self.report.progress("embedding", share).await?;
            }
        }
        self.report.stage("indexing", EMBEDDING.1).await?;
        Ok((self.index(part.take(), Some(done)).await?, tokens))
    }

    async fn embed(&self, piece: &[Chunk]) -> Result<Answer<GenerateEmbeddingsResult>, Error> {
        let texts = piece.iter().map(|chunk| chunk.text.clone()).collect();
        let request = GenerateEmbeddings { texts, model: String::new() };
        Ok(self.work.call(self.context(), &request).await.map_err(|error| error.failure())?)
    }

    fn vectors(&self, piece: &[Chunk], reply: GenerateEmbeddingsResult) -> Result<Vec<Vector>, Error> {
        if reply.model != self.model || reply.embeddings.len() != piece.len() {
            return Err(Error::OtherModel);
        }
        Ok(reply.embeddings)
    }

    /// Sends a part; the last one says how many chunks there are.
    async fn index(&self, chunks: Vec<Indexed>, total: Option<usize>) -> Result<u32, Error> {
        let request = IndexChunks {
            collection_id: self.job.collection.to_string(),
            document_id: self.job.key.document.to_string(),
            title: self.job.title.clone(),
            version: self.job.key.version,
            chunks,
            model: self.model.to_owned(),
            last: total.is_some(),
            total_chunks: number(total.unwrap_or_default()),
        };
        let answer = self.work.call(self.context(), &request).await.map_err(|error| error.failure())?;
        Ok(answer.reply.indexed)
    }

    fn context(&self) -> ExecutionContext {
        self.work.action().context.clone()
    }
}

/// Chunks that go to the index together.
#[derive(Default)]
struct Part {
    chunks: Vec<Indexed>,
    bytes: usize,
}

impl Part {
    fn is_full_with(&self, chunk: &Indexed) -> bool {
        !self.chunks.is_empty() && self.bytes + chunk.encoded_len() > PART
    }

    fn push(&mut self, chunk: Indexed) {
        self.bytes += chunk.encoded_len() + 8;
        self.chunks.push(chunk);
    }

    fn take(&mut self) -> Vec<Indexed> {
        self.bytes = 0;
        std::mem::take(&mut self.chunks)
    }
}

fn indexed(at: usize, chunk: &Chunk, vector: Vector) -> Indexed {
    Indexed {
        index: number(at),
        text: chunk.text.clone(),
        start: chunk.start as u64,
        end: chunk.end as u64,
        vector: Some(vector),
    }
}

fn number(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "a share for people to read")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}
