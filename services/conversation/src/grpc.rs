//! The façade: who calls, decode → call → encode.

use fault::Failure;
use proto::conversation::v1 as wire;
use proto::conversation::v1::conversation_service_server::{ConversationService, ConversationServiceServer};
use service_kit::Caller;
use tonic::{Request, Response, Status};

use crate::{Conversations, Reader};

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
        let caller = Caller::of(&request)?;
        let (tenant, tier) = caller.tenant()?;
        may_use(caller, &request.get_ref().agent_id)?;
        // A service asks for a run that was let in: what is said in a conversation is for whoever goes on with it.
        let reader = if caller.is_outside() { reader(caller) } else { Reader::default() };
        Ok(Response::new(self.0.context(&tenant, tier, &reader, request.get_ref()).await?))
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
        let caller = Caller::of(&request)?;
        let (tenant, _) = caller.tenant()?;
        may_use(caller, &request.get_ref().agent_id)?;
        Ok(Response::new(self.0.messages(&tenant, &reader(caller), request.get_ref()).await?))
    }
}

/// What a credential is limited to.
fn reader(caller: &Caller) -> Reader {
    Reader { user: caller.user.clone(), agents: caller.agents.clone(), is_outside: caller.is_outside() }
}

/// Refuses another agent than the credential is limited to. What is no id is refused later, by its name.
fn may_use(caller: &Caller, agent: &str) -> Result<(), Failure> {
    agent.parse().map_or(Ok(()), |agent| caller.assert_agent(&agent))
}
