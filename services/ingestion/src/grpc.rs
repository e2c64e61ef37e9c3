//! The façade: decode, call, encode.

use action::CollectionId;
use proto::ingestion::v1::ingestion_service_server::IngestionService;
use proto::ingestion::v1::{
    GetDocumentRequest, GetDocumentResponse, ListDocumentsRequest, ListDocumentsResponse, UploadDocumentRequest,
    UploadDocumentResponse,
};
use service_kit::Caller;
use tonic::{Request, Response, Status, Streaming};

use crate::{Error, Ingestion};

/// The gRPC service.
#[derive(Clone, Debug)]
pub struct Grpc {
    ingestion: Ingestion,
}

impl Grpc {
    /// Makes the façade.
    pub fn new(ingestion: Ingestion) -> Self {
        Self { ingestion }
    }
}

#[tonic::async_trait]
impl IngestionService for Grpc {
    async fn upload_document(
        &self,
        request: Request<Streaming<UploadDocumentRequest>>,
    ) -> Result<Response<UploadDocumentResponse>, Status> {
        let caller = Caller::of(&request)?.clone();
        let (task, document) = self.ingestion.upload(&caller, request.into_inner()).await?;
        Ok(Response::new(UploadDocumentResponse { task: Some(task), document: Some(document) }))
    }

    async fn get_document(
        &self,
        request: Request<GetDocumentRequest>,
    ) -> Result<Response<GetDocumentResponse>, Status> {
        let caller = Caller::of(&request)?.clone();
        let (tenant, _) = caller.tenant()?;
        let document = request.into_inner().document_id.parse().map_err(Error::from)?;
        let document = self.ingestion.document(&tenant, &document).await?;
        if caller.agents.is_some() {
            let collection: CollectionId = document.collection_id.parse().map_err(Error::from)?;
            self.ingestion.kit.admission.access_collection(&caller, &collection).await?;
        }
        Ok(Response::new(GetDocumentResponse { document: Some(document) }))
    }

    async fn list_documents(
        &self,
        request: Request<ListDocumentsRequest>,
    ) -> Result<Response<ListDocumentsResponse>, Status> {
        let caller = Caller::of(&request)?.clone();
        let (tenant, _) = caller.tenant()?;
        let ListDocumentsRequest { collection_id, page_size, page_token } = request.into_inner();
        let collection: CollectionId = collection_id.parse().map_err(Error::from)?;
        let kit = &self.ingestion.kit;
        kit.admission.access_collection(&caller, &collection).await?;
        let (documents, next_page_token) =
            self.ingestion.documents(&tenant, &collection, page_size, &page_token).await?;
        Ok(Response::new(ListDocumentsResponse { documents, next_page_token }))
    }
}
