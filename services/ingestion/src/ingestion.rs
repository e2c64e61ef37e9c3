//! The domain: what uploads, reads and the worker share.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use action::{CollectionId, DocumentId, Status, TenantId};
use fault::Fault as _;
use models::Tokens;
use proto::ingestion::v1::Document;
use service_kit::Kit;

use crate::documents::{Documents, Entry, Progress};
use crate::objects::Objects;
use crate::read::Readers;
use crate::turns::Turns;
use crate::{Config, Error};

/// A task whose record is gone after this time was not merely slow to be recorded.
const SETTLED: Duration = Duration::from_hours(1);

/// Takes documents and makes them findable. Cloning is cheap.
#[derive(Clone)]
pub struct Ingestion {
    pub(crate) kit: Kit,
    pub(crate) config: Arc<Config>,
    pub(crate) documents: Documents,
    pub(crate) objects: Objects,
    pub(crate) readers: Readers,
    pub(crate) tokens: Tokens,
    pub(crate) turns: Turns,
}

impl Ingestion {
    /// Opens the table in `<data-dir>/sql/ingestion.db` and the object store in `<data-dir>/objects`. Tokens are
    /// counted as the model does that the embedding service runs.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] and [`Error::Io`] when they cannot be opened.
    pub async fn open(config: Config, kit: Kit, tokens: Tokens) -> Result<Self, Error> {
        let documents = Documents::open(&kit.data_dir.join("sql").join("ingestion.db")).await?;
        let objects = Objects::open(kit.data_dir.join("objects"))?;
        let readers = Readers::new(config.readers, config.reader.clone());
        let turns = Turns::new(config.uploads_per_tenant);
        Ok(Self { kit, config: Arc::new(config), documents, objects, readers, tokens, turns })
    }

    /// Returns a document of a tenant as it is now.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Store`].
    pub async fn document(&self, tenant: &TenantId, document: &DocumentId) -> Result<Document, Error> {
        let entry = self.documents.get(tenant, document).await?.ok_or(Error::NotFound)?;
        Ok(self.settled(tenant, entry).await?.to_proto())
    }

    /// Lists the documents of a collection, newest first, with the token of the next page.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn documents(
        &self,
        tenant: &TenantId,
        collection: &CollectionId,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<Document>, String), Error> {
        let (entries, next) = self.documents.list(tenant, collection, page_size, page_token).await?;
        let mut documents = Vec::with_capacity(entries.len());
        for entry in entries {
            documents.push(self.settled(tenant, entry).await?.to_proto());
        }
        Ok((documents, next))
    }

    /// A task can end without its handler: cancelled, out of time, given up. Whoever looks at the document then asks the
    /// task, and notes what it says.
    pub(crate) async fn settled(&self, tenant: &TenantId, mut entry: Entry) -> Result<Entry, Error> {
        if !entry.is_open() {
            return Ok(entry);
        }
        let task = entry.task_id.parse()?;
        let progress = match self.kit.queue.task(tenant, task).await.map_err(|error| error.failure())? {
            Some(task) => match task.status() {
                Status::Pending | Status::Running | Status::Unspecified => return Ok(entry),
                // Noted before the task ended; it was read before that.
                Status::Completed => return self.again(tenant, entry).await,
                status => Progress::ended(status, task.error.map(|error| error.message).unwrap_or_default()),
            },
            None if age(&entry) > SETTLED => Progress::ended(Status::Failed, "its task came to no end"),
            None => return Ok(entry),
        };
        entry.status = progress.status.as_str_name().trim_start_matches("STATUS_").to_lowercase();
        entry.error.clone_from(&progress.error);
        self.documents.note(tenant, &entry.document_id, entry.version, progress, true).await?;
        Ok(entry)
    }

    async fn again(&self, tenant: &TenantId, entry: Entry) -> Result<Entry, Error> {
        let document = entry.document_id.parse()?;
        Ok(self.documents.get(tenant, &document).await?.unwrap_or(entry))
    }
}

impl std::fmt::Debug for Ingestion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ingestion").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Returns the time in milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn age(entry: &Entry) -> Duration {
    let created = u64::try_from(entry.created_at).unwrap_or_default();
    Duration::from_millis(now_ms().saturating_sub(created))
}
