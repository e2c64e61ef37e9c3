//! The JSON form of callbacks is pinned by files.

use std::time::Duration;

use action::{Contract, Outcome, detail_of, time};
use fault::{Failure, reason};
use orchestrator::callback::View;
use proto::action::v1::{Callback, Source, Status, TokenUsage};
use proto::execution::v1::{AgentRun, AgentRunResult};
use proto::ingestion::v1::{ProcessDocument, ProcessDocumentResult};
use proto::task::v1::AgentInfo;

fn callback(action_type: &str, execution_time: Duration) -> Callback {
    Callback {
        action_type: action_type.into(),
        task_id: "0197f3a2-7c1d-7a54-9d0e-5b1f2c3d4e5f".into(),
        execution_time: Some(time::duration_to_proto(execution_time)),
        ..Callback::default()
    }
}

fn completed<C: Contract>(callback: Callback, reply: &C::Reply, tokens: TokenUsage) -> Callback {
    let Outcome::Completed { result, tokens_used } = Outcome::completed::<C>(reply, tokens) else {
        unreachable!("a completed outcome was made")
    };
    Callback {
        source_action_type: C::KIND.as_str().into(),
        status: Status::Completed.into(),
        result: Some(result),
        tokens_used: Some(tokens_used),
        ..callback
    }
}

#[track_caller]
fn pinned(callback: &Callback, golden: &str) {
    let json = serde_json::to_string_pretty(&View::from(callback)).expect("a view is plain JSON");
    assert_eq!(json, golden.trim_end());
}

#[test]
fn a_completed_run_has_the_documented_form() {
    let reply = AgentRunResult {
        response: "Respuesta del agente".into(),
        sources: vec![Source {
            document_id: "doc-guide".into(),
            title: "Guía".into(),
            collection_id: "collection-789".into(),
            passage: "Un pasaje, palabra por palabra.".into(),
            start: 120,
            end: 151,
            similarity: 0.625,
            index: 1,
        }],
        agent_info: Some(AgentInfo {
            agent_id: "agent-123".into(),
            name: "Ventas".into(),
            r#type: "rag".into(),
            model_used: "llama3-8b-8192".into(),
        }),
        ..AgentRunResult::default()
    };
    let tokens = TokenUsage { input: 150, output: 59, total: 209 };
    let callback = callback("execution.callback", Duration::from_millis(3_456));
    pinned(&completed::<AgentRun>(callback, &reply, tokens), include_str!("golden/callback_completed.json"));
}

#[test]
fn a_failed_run_says_what_went_wrong_in_the_place_of_the_result() {
    let failure = Failure::new(&reason::PROVIDER_UNAVAILABLE, "the model provider cannot answer now (status 503)")
        .retry_after(Duration::from_millis(2_500));
    let callback = Callback {
        source_action_type: AgentRun::KIND.as_str().into(),
        status: Status::Failed.into(),
        error: Some(detail_of(&failure)),
        ..callback("execution.callback", Duration::from_secs(12))
    };
    pinned(&callback, include_str!("golden/callback_failed.json"));
}

#[test]
fn a_processed_document_is_told_by_its_facts() {
    let reply = ProcessDocumentResult {
        document_id: "doc-guide".into(),
        collection_id: "collection-789".into(),
        title: "Guía".into(),
        chunks: 40,
        characters: 18_250,
        tokens_used: None,
    };
    let tokens = TokenUsage { input: 4_096, output: 0, total: 4_096 };
    let callback = callback("ingestion.callback", Duration::from_millis(1_500));
    pinned(&completed::<ProcessDocument>(callback, &reply, tokens), include_str!("golden/callback_document.json"));
}
