//! The façade: checks, charges, enqueues.

use action::{Action, ExecutionContext, QueueName, TenantId};
use fault::{Failure, Fault as _, reason};
use proto::embedding::v1::embedding_service_server::EmbeddingService;
use proto::embedding::v1::{GenerateEmbeddingsRequest, GenerateEmbeddingsResponse, GetModelRequest, GetModelResponse};
use quota::UsageKind;
use service_kit::{Caller, Kit};
use tonic::{Request, Response, Status};

use crate::embedding::threshold;
use crate::{Embedding, Error};

/// The gRPC service.
#[derive(Clone, Debug)]
pub struct Grpc {
    embedding: Embedding,
    kit: Kit,
}

impl Grpc {
    /// Makes the façade.
    pub fn new(embedding: Embedding, kit: Kit) -> Self {
        Self { embedding, kit }
    }

    async fn generate(&self, caller: &Caller, request: GenerateEmbeddingsRequest) -> Result<Action, Error> {
        let (tenant, tier) = caller.tenant()?;
        let generate = request.generate.ok_or(action::Error::Missing("generate"))?;
        self.embedding.check(tier, &generate)?;
        let context = request.context.ok_or(action::Error::Missing("context"))?;
        let mut action = Action::root(tenant, tier, ExecutionContext::from_proto(context)?, &generate);
        if !request.callback_queue.is_empty() {
            action.callback = Some(own_callbacks(&request.callback_queue, &action.tenant)?);
        }
        action.user.clone_from(&caller.user);
        self.kit.admission.admit(caller, UsageKind::Query).await?;
        Ok(action)
    }
}

/// Reads the name of a callback queue, which must be the tenant's own.
fn own_callbacks(name: &str, tenant: &TenantId) -> Result<QueueName, Error> {
    match name.parse()? {
        QueueName::Callbacks { domain, tenant: named } if named == *tenant => Ok(QueueName::callbacks(domain, named)),
        _ => {
            let text = "callbacks go to {domain}:{tenant_id}:callbacks of your own tenant";
            Err(Failure::new(&reason::INVALID_QUEUE_NAME, text).field("callback_queue").into())
        }
    }
}

#[tonic::async_trait]
impl EmbeddingService for Grpc {
    async fn generate_embeddings(
        &self,
        request: Request<GenerateEmbeddingsRequest>,
    ) -> Result<Response<GenerateEmbeddingsResponse>, Status> {
        let caller = Caller::of(&request)?.clone();
        let action = self.generate(&caller, request.into_inner()).await?;
        let submitted = self.kit.queue.submit(action).await.map_err(|error| Error::Failed(error.failure()))?;
        Ok(Response::new(GenerateEmbeddingsResponse { task: Some(submitted.task) }))
    }

    async fn get_model(&self, request: Request<GetModelRequest>) -> Result<Response<GetModelResponse>, Status> {
        Caller::of(&request)?;
        let model = self.embedding.model();
        let size = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Ok(Response::new(GetModelResponse {
            model: model.name.clone(),
            dimensions: size(model.dimensions),
            window: size(model.window),
            relevance_threshold: threshold(model),
        }))
    }
}
