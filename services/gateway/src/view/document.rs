//! The answer to an upload.

use proto::ingestion::v1 as wire;
use serde::Serialize;
use utoipa::ToSchema;

use super::{filled, status_word};

/// What `POST /api/v1/documents` answers.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct DocumentView {
    success: bool,
    task_id: String,
    document_id: String,
    collection_id: String,
    status: &'static str,
    message: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    size_bytes: u64,
}

impl DocumentView {
    /// Returns the task that processes the document.
    pub(crate) fn task_id(&self) -> &str {
        &self.task_id
    }
}

impl From<wire::UploadDocumentResponse> for DocumentView {
    fn from(response: wire::UploadDocumentResponse) -> Self {
        let task = response.task.unwrap_or_default();
        let document = response.document.unwrap_or_default();
        Self {
            success: true,
            task_id: task.task_id,
            document_id: document.document_id,
            collection_id: document.collection_id,
            status: status_word(task.status),
            message: "document accepted",
            title: filled(document.title),
            media_type: filled(document.media_type),
            size_bytes: document.size_bytes,
        }
    }
}

/// A document of the tenant.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct StoredView {
    document_id: String,
    collection_id: String,
    title: String,
    media_type: String,
    size_bytes: u64,
    /// Of its bytes, in hexadecimal.
    sha256: String,
    /// How far its processing is.
    status: &'static str,
    /// Chunks that can be found.
    chunks: u32,
    /// What went wrong; null unless something did.
    error: Option<String>,
    created_at: Option<String>,
    /// Task that processes it.
    task_id: String,
}

impl From<wire::Document> for StoredView {
    fn from(document: wire::Document) -> Self {
        Self {
            document_id: document.document_id,
            collection_id: document.collection_id,
            title: document.title,
            media_type: document.media_type,
            size_bytes: document.size_bytes,
            sha256: document.sha256,
            status: status_word(document.status),
            chunks: document.chunks,
            error: filled(document.error),
            created_at: document.created_at.map(|at| at.to_string()),
            task_id: document.task_id,
        }
    }
}

/// Documents of a collection, newest first, a page of them.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct DocumentsView {
    pub(crate) documents: Vec<StoredView>,
    /// Where to go on; null on the last page.
    pub(crate) next_page_token: Option<String>,
}
