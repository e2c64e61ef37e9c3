//! An upload that is sent again, because nobody saw the answer to the first one, comes with the same task and finds what that one
//! has made.

use action::{Status, TaskId, TenantId};
use fault::{Failure, Fault as _, reason};
use proto::ingestion::v1::Document;
use proto::task::v1::Task;

use crate::documents::Entry;
use crate::objects::Stored;
use crate::upload::Header;
use crate::{Error, Ingestion};

/// What is there of an upload that has just arrived.
pub(crate) enum Before {
    /// Nothing: it is the first one.
    Nothing,
    /// The document has its entry, and nothing else is sure to have been done.
    Entered(Box<Entry>),
    /// It was taken.
    Taken(Box<(Task, Document)>),
}

impl Ingestion {
    /// Finds what an earlier upload with the same task has made, which must have been of the same document.
    pub(crate) async fn before(&self, header: &Header, stored: &Stored) -> Result<Before, Error> {
        if !header.may_come_again {
            return Ok(Before::Nothing);
        }
        let entry = self.documents.of_task(&header.tenant, header.task).await?;
        if let Some(entry) = &entry {
            check_same(header, stored, entry)?;
        }
        let task = self.kit.queue.task(&header.tenant, header.task).await.map_err(|error| error.failure())?;
        Ok(match (entry, task) {
            (None, None) => Before::Nothing,
            (Some(entry), None) if entry.is_open() => Before::Entered(Box::new(entry)),
            (Some(entry), task) => {
                let entry = self.settled(&header.tenant, entry).await?;
                let task = task.unwrap_or_else(|| remembered(&header.tenant, header.task, entry.status()));
                Before::Taken(Box::new((task, entry.to_proto())))
            }
            // A later version has taken its place.
            (None, Some(task)) => {
                Before::Taken(Box::new((task, self.document(&header.tenant, &header.document).await?)))
            }
        })
    }
}

fn check_same(header: &Header, stored: &Stored, entry: &Entry) -> Result<(), Error> {
    let now = [header.document.as_str(), header.collection.as_str(), &header.title, &stored.sha256];
    if now == [&*entry.document_id, &entry.collection_id, &entry.title, &entry.sha256] {
        return Ok(());
    }
    let text = "the task took another document, or the same one to another place";
    Err(Failure::new(&reason::IDEMPOTENCY_MISMATCH, text).into())
}

/// Returns a task whose record is gone, as far as its document tells.
fn remembered(tenant: &TenantId, task: TaskId, status: Status) -> Task {
    Task { task_id: task.to_string(), tenant_id: tenant.to_string(), status: status.into(), ..Task::default() }
}

/// Says that the same upload is being taken somewhere else at this moment.
pub(crate) fn in_flight() -> Error {
    let text = "the same upload is being taken at this moment";
    Failure::new(&reason::IDEMPOTENCY_IN_FLIGHT, text).retry_after(std::time::Duration::from_secs(1)).into()
}
