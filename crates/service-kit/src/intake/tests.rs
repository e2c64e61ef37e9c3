use std::time::{Duration, SystemTime};

use action::{Action, Deadline, ExecutionContext, Tier};
use fault::Failure;
use proto::execution::v1::AgentRun;

use super::{Terms, context};

const MOST: Duration = Duration::from_mins(1);

fn on(terms: Terms<'_>) -> Result<Action, Failure> {
    let context = ExecutionContext::agent("agent-ventas".parse().unwrap());
    let mut action = Action::root("tenant-1".parse().unwrap(), Tier::Advance, context, &AgentRun::default());
    terms.apply(&mut action, MOST)?;
    Ok(action)
}

#[track_caller]
fn refused(terms: Terms<'_>, reason: &str, field: &str) {
    let failure = on(terms).unwrap_err();
    assert_eq!((failure.reason().id, failure.field_name()), (reason, Some(field)));
}

#[test]
fn outcomes_go_to_the_orchestrator_for_the_callers_own_tenant_only() {
    let to = |callback_queue| on(Terms { callback_queue, ..Terms::default() }).unwrap().callback.unwrap().to_string();
    assert_eq!(to(""), "orchestrator:tenant-1:callbacks");
    assert_eq!(to("orchestrator:tenant-1:callbacks"), "orchestrator:tenant-1:callbacks");
    let elsewhere = ["nowhere", "orchestrator:tenant-2:callbacks", "workflow:tenant-1:callbacks"];
    for callback_queue in elsewhere.into_iter().chain(["execution:agent-123:free"]) {
        refused(Terms { callback_queue, ..Terms::default() }, "INVALID_QUEUE_NAME", "callback_queue");
    }
}

#[test]
fn a_timeout_is_longer_than_nothing_and_bounded_by_the_tier() {
    let within = |seconds| {
        let asked = prost_types::Duration { seconds, nanos: 0 };
        on(Terms { timeout: Some(&asked), ..Terms::default() }).map(|action| action.deadline)
    };
    assert_eq!(within(5), Ok(Deadline::Within(Duration::from_secs(5))));
    assert_eq!(within(3_600), Ok(Deadline::Within(MOST)));
    assert_eq!(on(Terms::default()).unwrap().deadline, Deadline::Tier);
    for seconds in [0, -1] {
        assert_eq!(within(seconds).unwrap_err().field_name(), Some("timeout"));
    }
}

#[test]
fn a_session_is_one_or_none() {
    let session = |session_id| on(Terms { session_id, ..Terms::default() }).unwrap().session;
    assert_eq!(session("").map(|id| id.to_string()), None);
    assert_eq!(session("sess-abc123").map(|id| id.to_string()).as_deref(), Some("sess-abc123"));
    refused(Terms { session_id: "a b c", ..Terms::default() }, "INVALID_FIELD", "session_id");
}

fn given() -> proto::action::v1::ExecutionContext {
    ExecutionContext::agent("agent-ventas".parse().unwrap()).to_proto()
}

#[test]
fn a_context_from_outside_is_bounded_and_one_of_the_mesh_is_not() {
    let refused = |change: &dyn Fn(&mut proto::action::v1::ExecutionContext), field: &str| {
        let mut given = given();
        change(&mut given);
        let failure = context::read(Some(given.clone()), true).unwrap_err();
        assert_eq!((failure.reason().id, failure.field_name()), ("INVALID_FIELD", Some(field)));
        context::read(Some(given), false).unwrap();
    };
    let fact = |name: usize, value: usize| ("n".repeat(name), "v".repeat(value));
    refused(&|given| given.agents = vec!["agent-1".to_owned(); 17], "context.agents");
    refused(&|given| given.collections = vec!["manuals".to_owned(); 17], "context.collections");
    refused(&|given| given.metadata = (1..=17).map(|name| fact(name, 1)).collect(), "context.metadata");
    refused(&|given| given.metadata = [fact(65, 1)].into(), "context.metadata");
    refused(&|given| given.metadata = [fact(1, 257)].into(), "context.metadata");

    let mut most = given();
    most.agents = vec!["agent-1".to_owned(); 16];
    most.collections = vec!["manuals".to_owned(); 16];
    most.metadata = (49..=64).map(|name| fact(name, 256)).collect();
    context::read(Some(most), true).unwrap();
    assert_eq!(context::read(None, true).unwrap_err().field_name(), Some("context"));
}

#[test]
fn a_context_was_made_when_it_was_taken_in_whatever_the_caller_says() {
    let begun = SystemTime::now();
    for outside in [true, false] {
        let mut given = given();
        given.created_at = Some(action::time::to_proto(SystemTime::UNIX_EPOCH));
        assert!(context::read(Some(given), outside).unwrap().created_at >= begun);
    }
}
