//! The façade: checks, charges, enqueues.

use proto::embedding::v1::embedding_service_server::EmbeddingService;
use proto::embedding::v1::{GenerateEmbeddingsRequest, GenerateEmbeddingsResponse, GetModelRequest, GetModelResponse};
use quota::UsageKind;
use service_kit::{Caller, Intake, Kit, Terms};
use tonic::{Request, Response, Status};

use crate::Embedding;
use crate::embedding::threshold;

/// The gRPC service.
#[derive(Clone, Debug)]
pub struct Grpc {
    embedding: Embedding,
    intake: Intake,
}

impl Grpc {
    /// Makes the façade.
    pub fn new(embedding: Embedding, kit: &Kit) -> Self {
        Self { embedding, intake: Intake::new(kit) }
    }
}

#[tonic::async_trait]
impl EmbeddingService for Grpc {
    async fn generate_embeddings(
        &self,
        request: Request<GenerateEmbeddingsRequest>,
    ) -> Result<Response<GenerateEmbeddingsResponse>, Status> {
        let order = self.intake.order(&request)?;
        let GenerateEmbeddingsRequest { context, generate, callback_queue } = request.into_inner();
        let generate = generate.ok_or(action::Error::Missing("generate"))?;
        self.embedding.check(order.tier, &generate)?;
        let user = order.caller.user.clone();
        let terms = Terms { user, callback_queue: &callback_queue, ..Terms::default() };
        let action = order.action(order.context(context)?, &generate, terms)?;
        let submitted = order.submit(UsageKind::Query, action).await?;
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
