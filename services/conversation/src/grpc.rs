//! The façade: who calls, decode → call → encode.

use proto::conversation::v1 as wire;
use proto::conversation::v1::conversation_service_server::{ConversationService, ConversationServiceServer};
use service_kit::Caller;
use tonic::{Request, Response, Status};

use crate::Conversations;

/// Serves [`Conversations`] by gRPC.
#[derive(Clone, Debug)]
pub struct Grpc(Conversations);

impl Grpc {
    /// Takes what is served.
    pub fn new(conversations: Conversations) -> Self {
        Self(conversations)
    }

    /// Returns the generated server around it.
    pub fn server(self) -> ConversationServiceServer<Self> {
        ConversationServiceServer::new(self).max_encoding_message_size(service_kit::MOST_MESSAGE)
    }
}

#[tonic::async_trait]
impl ConversationService for Grpc {
    async fn get_context(
        &self,
        request: Request<wire::GetContextRequest>,
    ) -> Result<Response<wire::GetContextResponse>, Status> {
        let (tenant, tier) = Caller::of(&request)?.tenant()?;
        Ok(Response::new(self.0.context(&tenant, tier, request.get_ref()).await?))
    }

    async fn save_turn(
        &self,
        request: Request<wire::SaveTurnRequest>,
    ) -> Result<Response<wire::SaveTurnResponse>, Status> {
        let caller = Caller::of(&request)?;
        // A turn is what an agent answered: only the service that ran it can tell.
        caller.inside()?;
        let (tenant, _) = caller.tenant()?;
        Ok(Response::new(self.0.save_turn(&tenant, request.into_inner()).await?))
    }

    async fn list_messages(
        &self,
        request: Request<wire::ListMessagesRequest>,
    ) -> Result<Response<wire::ListMessagesResponse>, Status> {
        let (tenant, _) = Caller::of(&request)?.tenant()?;
        Ok(Response::new(self.0.messages(&tenant, request.get_ref()).await?))
    }
}
