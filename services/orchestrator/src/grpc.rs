//! The façade: decode, call, encode.

use proto::orchestrator::v1::orchestrator_service_server::{OrchestratorService, OrchestratorServiceServer};
use proto::orchestrator::v1::{ConnectRequest, SendMessageRequest, SendMessageResponse};
use service_kit::identity::Standing;
use tonic::{Request, Response, Status, Streaming};

use crate::connect::{Connection, Events, Follower};
use crate::send::Inlet;

/// The orchestrator as a gRPC service.
#[derive(Clone, Debug)]
pub(crate) struct Grpc {
    pub(crate) inlet: Inlet,
    pub(crate) follower: Follower,
}

impl Grpc {
    pub(crate) fn server(self) -> OrchestratorServiceServer<Self> {
        OrchestratorServiceServer::new(self).max_encoding_message_size(service_kit::MOST_MESSAGE)
    }
}

#[tonic::async_trait]
impl OrchestratorService for Grpc {
    async fn send_message(
        &self,
        request: Request<SendMessageRequest>,
    ) -> Result<Response<SendMessageResponse>, Status> {
        Ok(Response::new(self.inlet.send(request).await?))
    }

    type ConnectStream = Events;

    async fn connect(
        &self,
        request: Request<Streaming<ConnectRequest>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let connection = Connection::new(self.follower.clone(), Standing::of(&request)?)?;
        Ok(Response::new(connection.events(request.into_inner())))
    }
}
