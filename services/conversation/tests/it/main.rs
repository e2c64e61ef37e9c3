//! Conversation through its façade, on a real database.

mod bounds;
mod config;
mod context;
mod messages;
mod turns;

use std::sync::Arc;

use action::Tier;
use conversation::{Config, Conversations, Grpc};
use fault::Failure;
use proto::conversation::v1 as wire;
use proto::conversation::v1::conversation_service_server::ConversationService as _;
use service_kit::{Caller, Scope, Scopes, Tenant};
use tempfile::TempDir;
use tonic::{Request, Response, Status};

/// A façade on a folder of its own.
struct Fixture {
    folder: TempDir,
    grpc: Grpc,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let grpc = open(folder.path()).await;
        Self { folder, grpc }
    }

    async fn context(
        &self,
        caller: &Caller,
        request: wire::GetContextRequest,
    ) -> Result<wire::GetContextResponse, Failure> {
        read(self.grpc.get_context(by(caller, request)).await)
    }

    /// Saves a turn and tells whether it had been saved before.
    async fn save(&self, caller: &Caller, request: wire::SaveTurnRequest) -> Result<bool, Failure> {
        read(self.grpc.save_turn(by(&inside(caller), request)).await).map(|response| response.saved_before)
    }

    async fn list(
        &self,
        caller: &Caller,
        request: wire::ListMessagesRequest,
    ) -> Result<wire::ListMessagesResponse, Failure> {
        read(self.grpc.list_messages(by(caller, request)).await)
    }
}

async fn open(folder: &std::path::Path) -> Grpc {
    let conversations = Conversations::open(&Config::default(), folder, Arc::default()).await;
    Grpc::new(conversations.expect("the folder can be written"))
}

fn read<T>(answer: Result<Response<T>, Status>) -> Result<T, Failure> {
    answer.map(Response::into_inner).map_err(|status| Failure::from_status(&status))
}

fn by<T>(caller: &Caller, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(caller.clone());
    request
}

/// The same tenant, as the service that runs its agents calls for it.
fn inside(caller: &Caller) -> Caller {
    Caller { service: Some("execution".to_owned()), ..caller.clone() }
}

fn caller(tenant: &str, tier: Tier) -> Caller {
    let id = tenant.parse().expect("an identifier");
    let tenant = Some(Tenant { id, tier, active: true });
    Caller { tenant, scopes: Scopes::from([Scope::Tenant]), ..Caller::default() }
}

fn acme() -> Caller {
    caller("acme", Tier::Enterprise)
}

/// The id of a task, always the same for a number.
fn task(number: u32) -> String {
    format!("0192f0c1-2345-7abc-8def-{number:012}")
}

/// The turn `number`: "question {number}" and "answer {number}".
fn turn(conversation: &str, agent: &str, number: u32) -> wire::SaveTurnRequest {
    let user = wire::Message { role: "user".into(), content: format!("question {number}"), ..Default::default() };
    let assistant = wire::Message {
        role: "assistant".into(),
        content: format!("answer {number}"),
        model_used: "extractive".into(),
        tokens: 2,
        ..Default::default()
    };
    wire::SaveTurnRequest {
        conversation_id: conversation.into(),
        session_id: "session-1".into(),
        agent_id: agent.into(),
        user_id: "user-1".into(),
        turn: Some(wire::SavedTurn {
            task_id: task(number),
            user: Some(user),
            assistant: Some(assistant),
            result: vec![0, 159, number.to_le_bytes()[0]],
        }),
        turn_number: u64::from(number),
    }
}

fn ask(conversation: &str, agent: &str) -> wire::GetContextRequest {
    wire::GetContextRequest { conversation_id: conversation.into(), agent_id: agent.into(), ..Default::default() }
}

fn contents(messages: &[wire::Message]) -> Vec<&str> {
    messages.iter().map(|message| message.content.as_str()).collect()
}

/// The reason's id and the field at fault.
#[track_caller]
fn refusal<T: std::fmt::Debug>(answer: Result<T, Failure>) -> (&'static str, String) {
    let failure = answer.expect_err("the call is refused");
    (failure.reason().id, failure.field_name().unwrap_or_default().to_owned())
}
