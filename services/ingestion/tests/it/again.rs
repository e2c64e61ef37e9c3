//! Uploads that are sent again, because nobody saw the answer to the first one.

use action::{Domain, Status, TaskId, Tier};
use fault::Failure;
use proto::ingestion::v1::ingestion_service_client::IngestionServiceClient;
use proto::ingestion::v1::upload_document_request::Part;
use proto::ingestion::v1::{DocumentHeader, UploadDocumentRequest, UploadDocumentResponse};
use proto::management::v1::CreateApiKeyRequest;
use queue::Selection;
use service_kit::{Caller, Scope, Scopes};
use tonic::Status as Refusal;

use crate::mesh::{Mesh, Who, header};

const TEXT: &[u8] = b"The zebra eats grass in the morning.";

fn with_task(task: TaskId) -> DocumentHeader {
    DocumentHeader { task_id: task.to_string(), ..header("manuals", "zebra.txt") }
}

fn ids(response: &UploadDocumentResponse) -> (String, String) {
    let document = response.document.clone().unwrap();
    (response.task.clone().unwrap().task_id, document.document_id)
}

fn versions(mesh: &Mesh, document: &str) -> usize {
    std::fs::read_dir(mesh.dir.path().join("objects/acme").join(document)).unwrap().count()
}

async fn charged(mesh: &Mesh, who: &Who) -> u64 {
    mesh.kit.quota.flush().await;
    let usage = mesh.kit.quota.usage(&who.tenant, None).await.unwrap();
    usage.counts.get("collection_requests").copied().unwrap_or_default()
}

#[track_caller]
fn refused(answer: Result<UploadDocumentResponse, Refusal>, reason: &str) {
    assert_eq!(Failure::from_status(&answer.unwrap_err()).reason().id, reason);
}

#[tokio::test]
async fn the_same_upload_with_the_same_task_is_one_version_and_one_charge() {
    let mesh = Mesh::start().await;
    let who = mesh.tenant("acme", Tier::Enterprise, "manuals").await;
    let task = TaskId::new();
    let before = charged(&mesh, &who).await;
    let first = who.upload(with_task(task), TEXT).await.unwrap();
    assert_eq!(ids(&first), (task.to_string(), format!("doc-{task}")));
    let again = who.upload(with_task(task), TEXT).await.unwrap();
    assert_eq!(ids(&again), ids(&first));
    who.ended(&first.task.clone().unwrap()).await;
    let late = who.upload(with_task(task), TEXT).await.unwrap();
    assert_eq!(ids(&late), ids(&first));
    assert_eq!(late.document.unwrap().status(), Status::Completed, "it tells what became of it");
    assert_eq!(versions(&mesh, &format!("doc-{task}")), 1);
    assert_eq!(charged(&mesh, &who).await - before, 1);
    mesh.end().await;
}

#[tokio::test]
async fn another_upload_with_the_task_of_the_first_one_is_refused_and_changes_nothing() {
    let mesh = Mesh::start().await;
    let who = mesh.tenant("acme", Tier::Enterprise, "manuals").await;
    who.collection("others").await;
    let task = TaskId::new();
    let first = who.upload(with_task(task), TEXT).await.unwrap();
    let elsewhere = DocumentHeader { collection_id: "others".to_owned(), ..with_task(task) };
    let renamed = DocumentHeader { title: "Zebras".to_owned(), ..with_task(task) };
    let replacing = DocumentHeader { document_id: "zebra".to_owned(), ..with_task(task) };
    refused(who.upload(with_task(task), b"The giraffe eats leaves.").await, "IDEMPOTENCY_MISMATCH");
    for header in [elsewhere, renamed, replacing] {
        refused(who.upload(header, TEXT).await, "IDEMPOTENCY_MISMATCH");
    }
    assert_eq!(ids(&who.upload(with_task(task), TEXT).await.unwrap()), ids(&first));
    mesh.end().await;
}

#[tokio::test]
async fn what_was_entered_and_never_enqueued_is_enqueued_by_the_next_one() {
    let mesh = Mesh::start().await;
    let who = mesh.tenant("acme", Tier::Enterprise, "manuals").await;
    let ingestion = Selection { domain: Domain::Ingestion, tier: None, tenant: None };
    mesh.kit.queue.pause(&ingestion).await.unwrap();
    let task = TaskId::new();
    who.upload(with_task(task), TEXT).await.unwrap();
    // As if the process had died before the queue heard of it.
    let keys = mesh.redis.command(&["KEYS", "*nq:ingestion:*"]);
    for key in keys.lines() {
        mesh.redis.command(&["DEL", key]);
    }
    assert!(mesh.kit.queue.task(&who.tenant, task).await.unwrap().is_none());
    let again = who.upload(with_task(task), TEXT).await.unwrap();
    assert_eq!(who.ended(&again.task.unwrap()).await.status(), Status::Completed);
    let document = format!("doc-{task}");
    assert_eq!(who.document(&document).await.unwrap().status(), Status::Completed);
    assert_eq!(versions(&mesh, &document), 1);
    mesh.end().await;
}

#[tokio::test]
async fn an_upload_that_was_replaced_since_does_not_come_back() {
    let mesh = Mesh::start().await;
    let who = mesh.tenant("acme", Tier::Enterprise, "manuals").await;
    let named = |task: TaskId| DocumentHeader { document_id: "zebra".to_owned(), ..with_task(task) };
    let (first, second) = (TaskId::new(), TaskId::new());
    who.ingest(named(first), TEXT).await;
    who.ingest(named(second), b"The giraffe eats leaves in the evening.").await;
    let late = who.upload(named(first), TEXT).await.unwrap();
    assert_eq!(late.task.unwrap().task_id, first.to_string());
    assert_eq!(late.document.unwrap().task_id, second.to_string(), "the document is shown as it is now");
    let found = who.search("manuals", "What does the giraffe eat in the evening?").await;
    assert!(found.sources[0].passage.contains("giraffe"), "{found:?}");
    mesh.end().await;
}

#[tokio::test]
async fn who_comes_from_outside_chooses_no_task() {
    let mesh = Mesh::start().await;
    let who = mesh.tenant("acme", Tier::Enterprise, "manuals").await;
    let operator = Caller { scopes: Scopes::from([Scope::Admin]), ..Caller::default() };
    let key = CreateApiKeyRequest { tenant_id: who.tenant.to_string(), name: "key".to_owned(), ..Default::default() };
    let key = mesh.kit.peers.management(operator).create_api_key(key).await.unwrap().into_inner().secret;
    let channel = tonic::transport::Endpoint::try_from(format!("http://{}", mesh.address)).unwrap().connect_lazy();
    let mut outside = IngestionServiceClient::with_interceptor(channel, move |mut call: tonic::Request<()>| {
        call.metadata_mut().insert("x-api-key", key.parse().unwrap());
        Ok(call)
    });
    let header = UploadDocumentRequest { part: Some(Part::Header(with_task(TaskId::new()))) };
    let answer = outside.upload_document(futures::stream::iter([header])).await;
    refused(answer.map(tonic::Response::into_inner), "SCOPE_REQUIRED");
    mesh.end().await;
}
