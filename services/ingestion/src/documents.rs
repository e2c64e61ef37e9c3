//! The table of documents.

use std::path::Path;

use action::{CollectionId, DocumentId, Status, TaskId, TenantId, time};
use proto::ingestion::v1::Document;
use sqlx::FromRow;
use sqlx::migrate::Migrator;
use store::{Database, Error as Store, Page, PageBounds};

use crate::Error;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

const LIST: &str = "documents";
const PAGES: PageBounds = PageBounds { default: 20, max: 100 };

/// The documents of all tenants. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Documents {
    database: Database,
}

/// A version of a document.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub(crate) struct Entry {
    pub(crate) document_id: String,
    pub(crate) version: i64,
    pub(crate) collection_id: String,
    pub(crate) title: String,
    pub(crate) media_type: String,
    pub(crate) size_bytes: i64,
    pub(crate) sha256: String,
    pub(crate) status: String,
    pub(crate) chunks: i64,
    pub(crate) error: String,
    pub(crate) task_id: String,
    /// Milliseconds since 1970.
    pub(crate) created_at: i64,
}

impl Entry {
    /// Returns the status.
    pub(crate) fn status(&self) -> Status {
        STATUSES.iter().find(|(_, word)| *word == self.status).map_or(Status::Unspecified, |(status, _)| *status)
    }

    /// Tells whether its processing has not ended yet, as far as the table knows.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.status(), Status::Pending | Status::Running)
    }

    /// Writes it as callers see it.
    pub(crate) fn to_proto(&self) -> Document {
        let number = |number: i64| u64::try_from(number).unwrap_or_default();
        Document {
            document_id: self.document_id.clone(),
            collection_id: self.collection_id.clone(),
            title: self.title.clone(),
            media_type: self.media_type.clone(),
            size_bytes: number(self.size_bytes),
            sha256: self.sha256.clone(),
            status: self.status().into(),
            chunks: u32::try_from(self.chunks).unwrap_or_default(),
            error: self.error.clone(),
            created_at: Some(time::from_unix_ms(number(self.created_at))),
            task_id: self.task_id.clone(),
        }
    }
}

/// How the processing of a version ended or goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) status: Status,
    pub(crate) chunks: u32,
    pub(crate) error: String,
}

impl Progress {
    /// Processing has begun.
    pub(crate) fn running() -> Self {
        Self { status: Status::Running, chunks: 0, error: String::new() }
    }

    /// The chunks can be found.
    pub(crate) fn completed(chunks: u32) -> Self {
        Self { status: Status::Completed, chunks, error: String::new() }
    }

    /// Processing ended without a result.
    pub(crate) fn ended(status: Status, error: impl Into<String>) -> Self {
        Self { status, chunks: 0, error: error.into() }
    }
}

const STATUSES: [(Status, &str); 6] = [
    (Status::Pending, "pending"),
    (Status::Running, "running"),
    (Status::Completed, "completed"),
    (Status::Failed, "failed"),
    (Status::Timeout, "timeout"),
    (Status::Cancelled, "cancelled"),
];

fn word(status: Status) -> &'static str {
    STATUSES.iter().find(|(known, _)| *known == status).map_or("failed", |(_, word)| word)
}

impl Documents {
    /// Opens the table in an SQLite file.
    pub(crate) async fn open(path: &Path) -> Result<Self, Store> {
        Ok(Self { database: Database::open(path, &MIGRATIONS).await? })
    }

    /// Chooses the version that a new upload of a document gets: greater than every earlier one, and than every one that
    /// was given up, as it is no less than the time.
    pub(crate) async fn next_version(
        &self,
        tenant: &TenantId,
        document: &DocumentId,
        now_ms: u64,
    ) -> Result<u64, Store> {
        let scoped = self.database.tenant(tenant);
        let sql = "SELECT MAX(version) FROM documents WHERE tenant_id = $1 AND document_id = $2";
        let query = scoped.query_scalar::<Option<i64>>(sql).bind(document.as_str().to_owned());
        let last = query.fetch_one(scoped.read()).await?;
        let next = last.map_or(0, |last| u64::try_from(last).unwrap_or_default() + 1);
        Ok(next.max(now_ms))
    }

    /// Adds a version. Two uploads of a document that get the same version at the same moment: the second one is refused.
    pub(crate) async fn insert(&self, tenant: &TenantId, entry: &Entry) -> Result<(), Store> {
        let sql = "INSERT INTO documents (tenant_id, document_id, version, collection_id, title, media_type, size_bytes, \
                   sha256, status, chunks, error, task_id, created_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
        let entry = entry.clone();
        let query = self.database.tenant(tenant).query(sql).bind(entry.document_id).bind(entry.version);
        let query = query.bind(entry.collection_id).bind(entry.title).bind(entry.media_type).bind(entry.size_bytes);
        let query = query.bind(entry.sha256).bind(entry.status).bind(entry.chunks).bind(entry.error);
        query.bind(entry.task_id).bind(entry.created_at).execute(self.database.write()).await?;
        Ok(())
    }

    /// Takes a version back.
    pub(crate) async fn remove(&self, tenant: &TenantId, document: &str, version: i64) -> Result<(), Store> {
        let sql = "DELETE FROM documents WHERE tenant_id = $1 AND document_id = $2 AND version = $3";
        let query = self.database.tenant(tenant).query(sql).bind(document.to_owned()).bind(version);
        query.execute(self.database.write()).await?;
        Ok(())
    }

    /// Notes how far a version is. With `only_open`, one that has ended stays as it is.
    pub(crate) async fn note(
        &self,
        tenant: &TenantId,
        document: &str,
        version: i64,
        progress: Progress,
        only_open: bool,
    ) -> Result<(), Store> {
        let sql = "UPDATE documents SET status = $4, chunks = $5, error = $6 \
                   WHERE tenant_id = $1 AND document_id = $2 AND version = $3 \
                   AND ($7 = 0 OR status IN ('pending', 'running'))";
        let query = self.database.tenant(tenant).query(sql).bind(document.to_owned()).bind(version);
        let query = query.bind(word(progress.status)).bind(i64::from(progress.chunks)).bind(progress.error);
        query.bind(i64::from(only_open)).execute(self.database.write()).await?;
        Ok(())
    }

    /// Removes the versions below one, and returns them.
    pub(crate) async fn forget_below(
        &self,
        tenant: &TenantId,
        document: &DocumentId,
        version: i64,
    ) -> Result<Vec<i64>, Store> {
        let sql = "DELETE FROM documents WHERE tenant_id = $1 AND document_id = $2 AND version < $3 RETURNING version";
        let query = self.database.tenant(tenant).query_scalar(sql).bind(document.as_str().to_owned()).bind(version);
        Ok(query.fetch_all(self.database.write()).await?)
    }

    /// Returns the version that a task was made for.
    pub(crate) async fn of_task(&self, tenant: &TenantId, task: TaskId) -> Result<Option<Entry>, Store> {
        let scoped = self.database.tenant(tenant);
        let sql = "SELECT document_id, version, collection_id, title, media_type, size_bytes, sha256, status, chunks, \
                   error, task_id, created_at FROM documents WHERE tenant_id = $1 AND task_id = $2";
        let query = scoped.query_as(sql).bind(task.to_string());
        Ok(query.fetch_optional(scoped.read()).await?)
    }

    /// Returns the last version of a document.
    pub(crate) async fn get(&self, tenant: &TenantId, document: &DocumentId) -> Result<Option<Entry>, Store> {
        let scoped = self.database.tenant(tenant);
        let sql = "SELECT document_id, version, collection_id, title, media_type, size_bytes, sha256, status, chunks, \
                   error, task_id, created_at FROM documents WHERE tenant_id = $1 AND document_id = $2 \
                   ORDER BY version DESC LIMIT 1";
        let query = scoped.query_as(sql).bind(document.as_str().to_owned());
        Ok(query.fetch_optional(scoped.read()).await?)
    }

    /// Lists the last versions of a collection's documents, newest first.
    pub(crate) async fn list(
        &self,
        tenant: &TenantId,
        collection: &CollectionId,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<Entry>, String), Error> {
        let page = Page::read(LIST, 2, PAGES, page_size, page_token)?;
        let (before, id) = (page.after_number(0)?.unwrap_or(i64::MAX), page.after(1).unwrap_or_default().to_owned());
        let scoped = self.database.tenant(tenant);
        let sql = "SELECT document_id, version, collection_id, title, media_type, size_bytes, sha256, status, chunks, \
                   error, task_id, created_at FROM documents d WHERE tenant_id = $1 AND collection_id = $2 \
                   AND (created_at < $3 OR (created_at = $3 AND document_id < $4)) \
                   AND NOT EXISTS (SELECT 1 FROM documents later WHERE later.tenant_id = d.tenant_id \
                   AND later.document_id = d.document_id AND later.version > d.version) \
                   ORDER BY created_at DESC, document_id DESC LIMIT $5";
        let query = scoped.query_as::<Entry>(sql).bind(collection.as_str().to_owned()).bind(before).bind(id);
        let rows = query.bind(page.limit()).fetch_all(scoped.read()).await.map_err(Store::from)?;
        Ok(page.finish(rows, |entry| vec![entry.created_at.to_string(), entry.document_id.clone()]))
    }
}
