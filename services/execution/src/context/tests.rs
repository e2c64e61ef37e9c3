use action::{ContextId, ContextType, ExecutionContext};
use fault::Fault as _;

use super::check;

fn context() -> ExecutionContext {
    ExecutionContext::agent("ventas".parse().expect("an id"))
}

#[track_caller]
fn refused(change: impl FnOnce(&mut ExecutionContext), reason: &str, field: &str) {
    let mut context = context();
    change(&mut context);
    let failure = check(&context).expect_err("must be refused").failure();
    assert_eq!((failure.reason().id, failure.field_name()), (reason, Some(field)));
}

#[test]
fn a_context_must_agree_with_itself() {
    check(&context()).expect("an agent's own context");
    refused(|context| context.primary_agent = None, "INVALID_FIELD", "context.primary_agent_id");
    let other = "other".parse().expect("an id");
    refused(|context| context.primary_agent = Some(other), "INVALID_CONTEXT_TYPE", "context.context_id");
    let workflow = ContextId::new(ContextType::Workflow, "nightly");
    refused(|context| context.id = workflow, "CONTEXT_TYPE_UNAVAILABLE", "context.context_type");
    let text = |context: &mut ExecutionContext| drop(context.metadata.insert("message".into(), "hola".into()));
    refused(text, "INVALID_FIELD", "context.metadata");
}
