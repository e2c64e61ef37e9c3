use fault::Fault as _;
use proto::action::v1::ContextType;
use proto::execution::v1::AgentRun;
use proto::orchestrator::v1::SendMessageRequest;

use super::Message;

fn request(message: &str) -> SendMessageRequest {
    SendMessageRequest {
        agent_id: "agent-ventas".into(),
        session_id: "sess-abc123".into(),
        run: Some(AgentRun { message: message.into(), ..AgentRun::default() }),
        ..SendMessageRequest::default()
    }
}

#[track_caller]
fn refused(request: SendMessageRequest, reason: &str, field: &str) {
    let failure = Message::parse(request).expect_err("must be refused").failure();
    assert_eq!((failure.reason().id, failure.field_name()), (reason, Some(field)));
}

#[test]
fn every_field_out_of_bounds_is_named() {
    let with = |change: fn(&mut SendMessageRequest)| {
        let mut request = request("hola");
        change(&mut request);
        request
    };
    refused(with(|request| request.agent_id = "a".into()), "INVALID_FIELD", "agent_id");
    refused(with(|request| request.session_id = "a b".into()), "INVALID_FIELD", "session_id");
    refused(with(|request| request.user_id = "a/b".into()), "INVALID_FIELD", "user_id");
    refused(with(|request| request.request_source = "fax".into()), "INVALID_FIELD", "request_source");
    refused(with(|request| request.client_version = "1\n2".into()), "INVALID_FIELD", "client_version");
    refused(with(|request| request.run = None), "INVALID_FIELD", "run");
    refused(request(""), "INVALID_FIELD", "message");
}

#[test]
fn a_context_must_be_one_that_is_served_and_have_what_it_needs() {
    let of = |kind: i32, collection: &str| SendMessageRequest {
        context_type: kind,
        collection_id: collection.into(),
        ..request("hola")
    };
    refused(of(ContextType::Workflow.into(), ""), "CONTEXT_TYPE_UNAVAILABLE", "context_type");
    refused(of(ContextType::Collection.into(), ""), "INVALID_CONTEXT_TYPE", "collection_id");
    refused(of(9, ""), "INVALID_CONTEXT_TYPE", "context_type");
}

#[test]
fn an_agent_answers_in_its_own_context_and_from_a_collection_in_the_collections() {
    let agent = Message::parse(SendMessageRequest { collection_id: "guide".into(), ..request("hola") }).expect("whole");
    let context = agent.context();
    assert_eq!(context.id.as_str(), "agent-ventas");
    assert_eq!(context.collections.len(), 1, "a collection that is named is read in an agent's context too");

    let request = SendMessageRequest {
        context_type: ContextType::Collection.into(),
        collection_id: "guide".into(),
        user_id: "user-789".into(),
        request_source: "web".into(),
        ..request("a secret")
    };
    let context = Message::parse(request).expect("whole").context();
    assert_eq!(context.id.as_str(), "collection-guide");
    assert_eq!(context.primary_agent.as_ref().map(action::AgentId::as_str), Some("agent-ventas"));
    assert_eq!(context.agents.len(), 1);
    assert_eq!(context.metadata["user_id"], "user-789");
    assert!(context.metadata.values().all(|fact| !fact.contains("secret")), "no message text travels as a fact");
}
