//! `ingestion.process_document`: read, cut, embed, index. Everything is addressed by document and version, so that doing
//! it again after a crash gives the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use action::{CollectionId, DocumentId, Status};
use fault::Fault as _;
use proto::ingestion::v1::{ProcessDocument, ProcessDocumentResult};
use queue::Work;
use session::Log;

use crate::chunk::{self, Bounds, Chunk};
use crate::documents::Progress;
use crate::feed::Feed;
use crate::objects::ObjectKey;
use crate::report::Report;
use crate::{Error, Ingestion, MediaType};

/// A document that is being processed.
pub(crate) struct Job {
    pub(crate) key: ObjectKey,
    pub(crate) collection: CollectionId,
    pub(crate) title: String,
    kind: MediaType,
}

impl Job {
    fn read(work: &Work, request: &ProcessDocument) -> Result<Self, Error> {
        let document: DocumentId = request.document_id.parse()?;
        // The tenant comes from the action: a key of another tenant's names nothing.
        let key = ObjectKey { tenant: work.action().tenant.clone(), document, version: request.version };
        if request.object_key != key.text() {
            return Err(Error::Field { field: "object_key", text: "is not that of the document".to_owned() });
        }
        let (collection, kind) = (request.collection_id.parse()?, request.media_type.parse()?);
        Ok(Self { key, collection, title: request.title.clone(), kind })
    }

    fn version(&self) -> i64 {
        i64::try_from(self.key.version).unwrap_or(i64::MAX)
    }
}

impl Ingestion {
    /// Handles `ingestion.process_document`.
    ///
    /// # Errors
    ///
    /// Those of the document, and of what it is handed to; the document's entry says the same when it is for good.
    pub async fn process(&self, work: Work, request: ProcessDocument) -> Result<ProcessDocumentResult, Error> {
        let job = Job::read(&work, &request)?;
        self.note(&job, Progress::running()).await?;
        match self.run(&work, &job).await {
            Ok(result) => {
                self.note(&job, Progress::completed(result.chunks)).await?;
                self.forget_earlier(&job).await?;
                Ok(result)
            }
            Err(error) => {
                let failure = error.failure();
                if !failure.is_transient() {
                    self.note(&job, Progress::ended(Status::Failed, failure.detail())).await?;
                }
                Err(error)
            }
        }
    }

    async fn run(&self, work: &Work, job: &Job) -> Result<ProcessDocumentResult, Error> {
        let log = Log::of(work.action());
        self.kit.sessions.restart(&log, work.action()).await?;
        let report = Report::new(self.kit.sessions.clone(), log, work);
        report.stage("extracting", 10.0).await?;
        let text = self.text(job).await?;
        let characters = text.chars().count() as u64;
        report.stage("chunking", 30.0).await?;
        let chunks = self.cut(text, job.kind, self.bounds(work)).await?;
        report.stage("embedding", 40.0).await?;
        let fed = Feed { work, job, report: &report, config: &self.config, model: self.tokens.model() };
        let (indexed, tokens_used) = fed.all(&chunks, self.kit.tiers.of(work.action().tier).embed_texts).await?;
        Ok(ProcessDocumentResult {
            document_id: job.key.document.to_string(),
            collection_id: job.collection.to_string(),
            title: job.title.clone(),
            chunks: indexed,
            characters,
            tokens_used: Some(tokens_used),
        })
    }

    async fn text(&self, job: &Job) -> Result<String, Error> {
        let path = self.objects.path(&job.key);
        match self.readers.text(path, job.kind).await {
            // A later version that was processed meanwhile has removed these bytes.
            Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::Replaced),
            other => other,
        }
    }

    fn bounds(&self, work: &Work) -> Bounds {
        let limits = self.kit.tiers.of(work.action().tier);
        Bounds::new(self.tokens.window(), limits.embed_chars as usize, limits.chunks_per_document as usize)
    }

    async fn cut(&self, text: String, kind: MediaType, bounds: Bounds) -> Result<Vec<Chunk>, Error> {
        let tokens = self.tokens.clone();
        let guard = GivenUp::default();
        let given_up = Arc::clone(&guard.0);
        let work = move || chunk::split(&text, kind, bounds, |text| tokens.count(text), &given_up);
        self.readers.run(Error::Unreadable("it cannot be cut into chunks"), work).await
    }

    async fn note(&self, job: &Job, progress: Progress) -> Result<(), Error> {
        let ObjectKey { tenant, document, .. } = &job.key;
        Ok(self.documents.note(tenant, document.as_str(), job.version(), progress, false).await?)
    }

    /// Earlier versions cannot be found any more: their bytes are of no use.
    async fn forget_earlier(&self, job: &Job) -> Result<(), Error> {
        let ObjectKey { tenant, document, .. } = &job.key;
        for version in self.documents.forget_below(tenant, document, job.version()).await? {
            let version = u64::try_from(version).unwrap_or_default();
            self.objects.remove(&ObjectKey { version, ..job.key.clone() }).await?;
        }
        Ok(())
    }
}

/// Tells work on another thread, when it is dropped, that nobody waits for it any more.
#[derive(Default)]
struct GivenUp(Arc<AtomicBool>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
