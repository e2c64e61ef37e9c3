//! `/api/v1/documents`: what agents read.

use action::{CollectionId, DocumentId};
use axum::Json;
use axum::extract::State;
use fault::{Failure, reason};
use proto::ingestion::v1::{GetDocumentRequest, ListDocumentsRequest};

use crate::edge::Edge;
use crate::identity::Proved;
use crate::openapi::ProblemView;
use crate::params::{Params, wrong};
use crate::problem::Refusal;
use crate::router::Segment;
use crate::view::{DocumentsView, StoredView, filled};

/// Lists the documents of a collection, newest first.
#[utoipa::path(
    get, path = "/api/v1/documents", tag = "documents", operation_id = "listDocuments",
    params(
        ("collection_id" = String, Query, description = "The collection"),
        ("page_size" = Option<i32>, Query, minimum = 1, maximum = 100, description = "Most entries; 20 when absent"),
        ("page_token" = Option<String>, Query, description = "Where to go on, from the answer before"),
    ),
    responses((status = 200, body = DocumentsView), (status = "default", response = ProblemView)),
)]
pub(crate) async fn list(
    State(edge): State<Edge>,
    Proved(caller): Proved,
    params: Params,
) -> Result<Json<DocumentsView>, Refusal> {
    let missing = || Failure::new(&reason::INVALID_REQUEST, "`collection_id` is required").field("collection_id");
    let collection: CollectionId = params.id("collection_id")?.ok_or_else(missing)?;
    edge.admission.access_collection(&caller, &collection).await?;
    let page = params.page()?;
    let request =
        ListDocumentsRequest { collection_id: collection.to_string(), page_size: page.size, page_token: page.token };
    let response = edge.peers.ingestion(&caller).list_documents(edge.call(request)).await?.into_inner();
    let documents = response.documents.into_iter().map(StoredView::from).collect();
    Ok(Json(DocumentsView { documents, next_page_token: filled(response.next_page_token) }))
}

/// Returns a document: what it is, and how far its processing.
#[utoipa::path(
    get, path = "/api/v1/documents/{id}", tag = "documents", operation_id = "getDocument",
    params(("id" = String, Path, description = "The document's id")),
    responses((status = 200, body = StoredView), (status = "default", response = ProblemView)),
)]
pub(crate) async fn get(
    State(edge): State<Edge>,
    Proved(caller): Proved,
    Segment(id): Segment,
) -> Result<Json<StoredView>, Refusal> {
    let grammar = "must be 3 to 64 characters out of A-Z a-z 0-9 _ -";
    let id: DocumentId = id.parse().map_err(|_| wrong("document_id", grammar))?;
    let request = edge.call(GetDocumentRequest { document_id: id.to_string() });
    let found = edge.peers.ingestion(&caller).get_document(request).await?.into_inner().document;
    let missing = || Failure::new(&reason::NOT_FOUND, "the tenant has no document with this id").field("document_id");
    Ok(Json(StoredView::from(found.ok_or_else(missing)?)))
}
