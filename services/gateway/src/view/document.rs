//! The answer to an upload.

use proto::ingestion::v1 as wire;
use serde::Serialize;

use super::{filled, status_word};

/// What `POST /api/v1/documents` answers.
#[derive(Clone, Debug, Serialize)]
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
