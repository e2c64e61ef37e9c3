//! The services that a run asks, as far as it asks them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use fault::{Failure, reason};
use proto::action::v1::Tier;
use proto::conversation::v1::conversation_service_server::ConversationService;
use proto::conversation::v1::*;
use proto::management::v1::management_service_server::ManagementService;
use proto::management::v1::*;
use service_kit::Caller;
use tonic::{Request, Response, Status};

/// Knows the agents of `tenant-1`, and counts how often it is asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Management {
    pub(crate) asked: Arc<AtomicU32>,
}

fn agent(id: &str) -> Option<Agent> {
    let agent = Agent {
        agent_id: id.into(),
        tenant_id: "tenant-1".into(),
        name: "Ventas".into(),
        r#type: AgentType::Conversational.into(),
        system_prompt: "You sell tractors.".into(),
        temperature: Some(0.5),
        max_tokens: 100,
        max_history_messages: 3,
        is_active: true,
        ..Agent::default()
    };
    match id {
        "talker" => Some(agent),
        "reader" => Some(Agent { r#type: AgentType::Rag.into(), collections: vec!["guide".into()], ..agent }),
        "blank" => Some(Agent { r#type: AgentType::Rag.into(), ..agent }),
        "asleep" => Some(Agent { is_active: false, ..agent }),
        "noble" => Some(Agent { minimum_tier: Tier::Enterprise.into(), ..agent }),
        _ => None,
    }
}

macro_rules! management {
    ($($method:ident($request:ty) -> $response:ty;)*) => {
        #[tonic::async_trait]
        impl ManagementService for Management {
            async fn get_agent(&self, request: Request<GetAgentRequest>) -> Result<Response<GetAgentResponse>, Status> {
                self.asked.fetch_add(1, Ordering::SeqCst);
                let (tenant, _) = Caller::of(&request)?.tenant()?;
                let agent = agent(&request.get_ref().agent_id).filter(|agent| agent.tenant_id == tenant.as_str());
                let agent = agent.ok_or_else(|| Failure::new(&reason::AGENT_NOT_FOUND, "no such agent"))?;
                Ok(Response::new(GetAgentResponse { agent: Some(agent) }))
            }

            $(async fn $method(&self, _: Request<$request>) -> Result<Response<$response>, Status> {
                Err(Failure::new(&reason::UNIMPLEMENTED, "not asked for in these tests").into())
            })*
        }
    };
}

management! {
    create_tenant(CreateTenantRequest) -> CreateTenantResponse;
    get_tenant(GetTenantRequest) -> GetTenantResponse;
    get_tenant_limits(GetTenantLimitsRequest) -> GetTenantLimitsResponse;
    update_tenant(UpdateTenantRequest) -> UpdateTenantResponse;
    create_api_key(CreateApiKeyRequest) -> CreateApiKeyResponse;
    revoke_api_key(RevokeApiKeyRequest) -> RevokeApiKeyResponse;
    rotate_api_key(RotateApiKeyRequest) -> RotateApiKeyResponse;
    list_api_keys(ListApiKeysRequest) -> ListApiKeysResponse;
    resolve_credential(ResolveCredentialRequest) -> ResolveCredentialResponse;
    create_agent(CreateAgentRequest) -> CreateAgentResponse;
    update_agent(UpdateAgentRequest) -> UpdateAgentResponse;
    resolve_public_agent(ResolvePublicAgentRequest) -> ResolvePublicAgentResponse;
    list_agents(ListAgentsRequest) -> ListAgentsResponse;
    delete_agent(DeleteAgentRequest) -> DeleteAgentResponse;
    create_collection(CreateCollectionRequest) -> CreateCollectionResponse;
    get_collection(GetCollectionRequest) -> GetCollectionResponse;
    list_collections(ListCollectionsRequest) -> ListCollectionsResponse;
}

/// Keeps turns in memory, in the order in which they were saved, one conversation a session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conversations {
    pub(crate) saved: Arc<Mutex<Vec<SaveTurnRequest>>>,
    /// Limits that were asked for.
    pub(crate) limits: Arc<Mutex<Vec<u32>>>,
    /// Turns that are saved and not told of once, as if an attempt saved its own between question and answer.
    pub(crate) hidden: Arc<Mutex<HashMap<String, u32>>>,
    /// Answers that get lost after a turn was saved.
    pub(crate) lost: Arc<AtomicU32>,
}

impl Conversations {
    /// Saves a turn for a task ahead of its run.
    pub(crate) fn save(&self, turn: SavedTurn) {
        self.save_in("elsewhere", turn);
    }

    /// Saves a turn in a conversation.
    pub(crate) fn save_in(&self, conversation: &str, turn: SavedTurn) {
        let saved =
            SaveTurnRequest { conversation_id: conversation.into(), turn: Some(turn), ..SaveTurnRequest::default() };
        self.saved.lock().expect("nobody panicked").push(saved);
    }

    fn turn_of(&self, task: &str) -> Option<SavedTurn> {
        if let Some(times @ 1..) = self.hidden.lock().expect("nobody panicked").get_mut(task) {
            *times -= 1;
            return None;
        }
        let saved = self.saved.lock().expect("nobody panicked");
        saved.iter().filter_map(|saved| saved.turn.clone()).find(|turn| turn.task_id == task)
    }
}

#[tonic::async_trait]
impl ConversationService for Conversations {
    async fn get_context(&self, request: Request<GetContextRequest>) -> Result<Response<GetContextResponse>, Status> {
        Caller::of(&request)?.tenant()?;
        let request = request.into_inner();
        self.limits.lock().expect("nobody panicked").push(request.limit);
        let saved_turn = self.turn_of(&request.task_id);
        let conversation_id = format!("conv-{}", request.session_id);
        let saved = self.saved.lock().expect("nobody panicked");
        let turns = saved.iter().filter(|saved| saved.conversation_id == conversation_id);
        let messages: Vec<_> = turns
            .filter_map(|saved| saved.turn.clone())
            .flat_map(|turn| [turn.user, turn.assistant])
            .flatten()
            .collect();
        let skipped = messages.len().saturating_sub(request.limit as usize);
        let messages = messages.into_iter().skip(skipped).collect();
        Ok(Response::new(GetContextResponse { conversation_id, messages, saved_turn }))
    }

    async fn save_turn(&self, request: Request<SaveTurnRequest>) -> Result<Response<SaveTurnResponse>, Status> {
        Caller::of(&request)?.tenant()?;
        let request = request.into_inner();
        let task = request.turn.clone().unwrap_or_default().task_id;
        let mut saved = self.saved.lock().expect("nobody panicked");
        let saved_before = saved.iter().any(|saved| saved.turn.as_ref().is_some_and(|turn| turn.task_id == task));
        if !saved_before {
            saved.push(request);
        }
        if self.lost.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(Failure::new(&reason::UNAVAILABLE, "the answer got lost").into());
        }
        Ok(Response::new(SaveTurnResponse { saved_before }))
    }

    async fn list_messages(&self, _: Request<ListMessagesRequest>) -> Result<Response<ListMessagesResponse>, Status> {
        Err(Failure::new(&reason::UNIMPLEMENTED, "not asked for in these tests").into())
    }
}
