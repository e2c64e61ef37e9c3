use action::ExecutionContext;
use fault::Fault as _;
use proto::action::v1::ContextType;
use proto::execution::v1::{AgentRun, RunAgentRequest};

use super::Request;

fn request() -> RunAgentRequest {
    let context = ExecutionContext::agent("ventas".parse().expect("an id"));
    RunAgentRequest {
        context: Some(context.to_proto()),
        run: Some(AgentRun { message: "hola".into(), ..AgentRun::default() }),
        ..RunAgentRequest::default()
    }
}

#[track_caller]
fn refused(change: impl FnOnce(&mut RunAgentRequest), reason: &str, field: &str) {
    let mut request = request();
    change(&mut request);
    let failure = Request::parse(request).expect_err("must be refused").failure();
    assert_eq!((failure.reason().id, failure.field_name()), (reason, Some(field)));
}

fn context(request: &mut RunAgentRequest) -> &mut proto::action::v1::ExecutionContext {
    request.context.as_mut().expect("a context")
}

fn run(request: &mut RunAgentRequest) -> &mut AgentRun {
    request.run.as_mut().expect("a run")
}

#[test]
fn every_field_out_of_bounds_is_named() {
    refused(|request| request.run = None, "INVALID_FIELD", "run");
    refused(|request| run(request).message = "a".repeat(4_001), "INVALID_FIELD", "message");
    refused(|request| run(request).message_type = "image".into(), "INVALID_FIELD", "message_type");
    refused(|request| run(request).conversation_id = "?".into(), "INVALID_FIELD", "conversation_id");
    refused(|request| request.session_id = "a b c".into(), "INVALID_FIELD", "session_id");
    refused(|request| request.timeout = Some(prost_types::Duration::default()), "INVALID_FIELD", "timeout");
    refused(|request| request.context = None, "INVALID_FIELD", "context");
}

#[test]
fn a_context_must_agree_with_itself() {
    refused(|request| context(request).primary_agent_id.clear(), "INVALID_FIELD", "context.primary_agent_id");
    refused(|request| context(request).primary_agent_id = "other".into(), "INVALID_CONTEXT_TYPE", "context.context_id");
    let kind = ContextType::Workflow;
    refused(
        |request| {
            context(request).context_type = kind.into();
            context(request).context_id = "workflow-nightly".into();
        },
        "CONTEXT_TYPE_UNAVAILABLE",
        "context.context_type",
    );
    refused(
        |request| drop(context(request).metadata.insert("message".into(), "hola".into())),
        "INVALID_FIELD",
        "context.metadata",
    );
}

#[test]
fn outcomes_go_to_callbacks_of_the_callers_own_tenant_only() {
    let own = "tenant-1".parse().expect("an id");
    let to = |queue: &str| {
        Request::parse(RunAgentRequest { callback_queue: queue.into(), ..request() }).expect("whole").callback(&own)
    };
    assert_eq!(to("").expect("the default").to_string(), "orchestrator:tenant-1:callbacks");
    assert_eq!(to("workflow:tenant-1:callbacks").expect("its own").to_string(), "workflow:tenant-1:callbacks");
    for foreign in ["orchestrator:tenant-2:callbacks", "execution:agent-123:free"] {
        assert_eq!(to(foreign).expect_err("must be refused").failure().reason().id, "INVALID_QUEUE_NAME");
    }
}

#[test]
fn a_turn_is_numbered_when_it_is_accepted() {
    assert!(Request::parse(request()).expect("whole").numbered().turn > 0);
}
