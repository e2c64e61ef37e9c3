use std::sync::{Arc, Mutex};

use action::{Action, CollectionId, ExecutionContext};
use fault::{Failure, reason};
use proto::ingestion::v1 as wire;
use proto::ingestion::v1::ingestion_service_server::IngestionService;
use proto::ingestion::v1::upload_document_request::Part;
use quota::UsageKind;
use service_kit::{Caller, Kit};
use tonic::{Request, Response, Status, Streaming};

use super::not_needed;

/// Takes documents and remembers them.
#[derive(Clone)]
pub(crate) struct Ingestion {
    kit: Kit,
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Default)]
pub(crate) struct State {
    /// Bytes that have arrived of the upload under way.
    pub(crate) arrived: u64,
    /// Headers and sizes of documents that were complete.
    pub(crate) whole: Vec<(wire::DocumentHeader, u64)>,
    /// Uploads that broke off.
    pub(crate) broken: u32,
    /// Largest message.
    pub(crate) largest: usize,
}

impl Ingestion {
    pub(crate) fn new(kit: Kit) -> Self {
        Self { kit, state: Arc::default() }
    }

    pub(crate) fn state(&self) -> State {
        self.state.lock().unwrap().clone()
    }
}

#[tonic::async_trait]
impl IngestionService for Ingestion {
    async fn upload_document(
        &self,
        request: Request<Streaming<wire::UploadDocumentRequest>>,
    ) -> Result<Response<wire::UploadDocumentResponse>, Status> {
        let caller = Caller::of(&request)?.clone();
        assert!(!caller.admitted, "who accepts charges");
        let (tenant, tier) = caller.tenant()?;
        let mut parts = request.into_inner();
        let Some(Part::Header(header)) = parts.message().await?.and_then(|request| request.part) else {
            return Err(Failure::new(&reason::INVALID_FIELD, "no header").into());
        };
        if header.media_type == "image/png" {
            return Err(Failure::new(&reason::UNSUPPORTED_DOCUMENT_TYPE, "an image").field("file").into());
        }
        let mut broken = Broken(Some(Arc::clone(&self.state)));
        let mut size = 0;
        loop {
            let next = parts.message().await?.and_then(|request| request.part);
            let Some(Part::Data(data)) = next else { break };
            size += data.len() as u64;
            let mut state = self.state.lock().unwrap();
            state.arrived = size;
            state.largest = state.largest.max(data.len());
        }
        // tonic shows a reset as the end; the server drops the call when it next waits.
        tokio::task::yield_now().await;
        broken.0 = None;
        self.kit.admission.admit(&caller, UsageKind::Collection).await?;
        self.state.lock().unwrap().whole.push((header.clone(), size));
        let collection: CollectionId = header.collection_id.parse()?;
        let payload = wire::ProcessDocument { document_id: "doc-1".to_owned(), ..Default::default() };
        let action = Action::root(tenant, tier, ExecutionContext::collection(collection), &payload);
        let task = Some(self.kit.queue.submit(action).await?.task);
        let document = wire::Document {
            document_id: "doc-1".to_owned(),
            collection_id: header.collection_id,
            title: header.title,
            media_type: header.media_type,
            size_bytes: size,
            ..Default::default()
        };
        Ok(Response::new(wire::UploadDocumentResponse { task, document: Some(document) }))
    }

    not_needed! { wire;
        get_document: GetDocumentRequest => GetDocumentResponse;
        list_documents: ListDocumentsRequest => ListDocumentsResponse;
    }
}

/// Notes that a call was dropped before its end.
struct Broken(Option<Arc<Mutex<State>>>);

impl Drop for Broken {
    fn drop(&mut self) {
        if let Some(state) = self.0.take() {
            state.lock().unwrap().broken += 1;
        }
    }
}
