use action::{Contract, Outcome, detail_of};
use fault::{Failure, reason};
use proto::action::v1::{Callback, Status, TokenUsage};
use proto::execution::v1::{AgentRun, AgentRunResult};
use proto::ingestion::v1::{ProcessDocument, ProcessDocumentResult};
use proto::task::v1::frame::Body;

use super::ending;

fn completed<C: Contract>(reply: &C::Reply) -> Callback {
    let Outcome::Completed { result, .. } = Outcome::completed::<C>(reply, TokenUsage::default()) else {
        unreachable!("a completed outcome was made")
    };
    Callback {
        source_action_type: C::KIND.as_str().to_owned(),
        status: Status::Completed.into(),
        result: Some(result),
        execution_time: Some(prost_types::Duration { seconds: 3, nanos: 456_000_000 }),
        attempts: 2,
        ..Callback::default()
    }
}

#[test]
fn an_agents_answer_is_shown_whole() {
    let reply = AgentRunResult { response: "In the north.".into(), found: true, ..AgentRunResult::default() };
    let Body::AgentResponse(answer) = ending(&completed::<AgentRun>(&reply)) else { panic!("not an answer") };
    assert_eq!(answer.response, "In the north.");
    assert_eq!(answer.status(), Status::Completed);
    assert!((answer.execution_time - 3.456).abs() < 1e-9);
}

#[test]
fn a_processed_document_is_an_update_with_facts() {
    let reply = ProcessDocumentResult { document_id: "doc-1".into(), chunks: 7, ..ProcessDocumentResult::default() };
    let Body::TaskUpdate(update) = ending(&completed::<ProcessDocument>(&reply)) else { panic!("not an update") };
    assert_eq!(update.status(), Status::Completed);
    assert_eq!((update.result["document_id"].as_str(), update.result["chunks"].as_str()), ("doc-1", "7"));
}

#[test]
fn whatever_did_not_complete_is_an_error_that_says_why() {
    for (status, reason) in [
        (Status::Failed, &reason::PROVIDER_UNAVAILABLE),
        (Status::Timeout, &reason::EXECUTION_TIMEOUT),
        (Status::Cancelled, &reason::CANCELLED),
    ] {
        let error = Some(detail_of(&Failure::new(reason, "it did not work out")));
        let Body::Error(shown) = ending(&Callback { status: status.into(), error, ..Callback::default() }) else {
            panic!("not an error")
        };
        assert_eq!(shown.status(), status);
        assert_eq!(shown.error.expect("a detail").reason, reason.id);
    }
}

#[test]
fn a_result_of_the_wrong_type_ends_as_an_internal_error_without_its_text() {
    let reply = ProcessDocumentResult::default();
    let callback =
        Callback { source_action_type: AgentRun::KIND.as_str().to_owned(), ..completed::<ProcessDocument>(&reply) };
    let Body::Error(shown) = ending(&callback) else { panic!("not an error") };
    assert_eq!(shown.status(), Status::Failed);
    assert_eq!(shown.error.expect("a detail").reason, "INTERNAL");
}
