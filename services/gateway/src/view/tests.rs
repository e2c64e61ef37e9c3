//! Golden files of what routes answer.

use action::time::from_unix_ms;
use prost::Name as _;
use proto::action::v1 as wire;
use proto::execution::v1::AgentRunResult;
use proto::ingestion::v1::{Document, ProcessDocumentResult, UploadDocumentResponse};
use proto::orchestrator::v1::SendMessageResponse;
use proto::query::v1::{GenerateAnswerResult, SearchPassagesResult};
use proto::task::v1::{AgentInfo, Task};

use super::{AllConnections, DocumentView, TaskView, TenantConnections};
use crate::chat::ChatView;
use crate::golden;

const TASK: &str = "0192f0c1-0000-7000-8000-000000000001";
/// 2026-01-01T00:00:00Z
const START: u64 = 1_767_225_600_000;

fn any<M: prost::Name>(message: &M) -> prost_types::Any {
    prost_types::Any { type_url: M::type_url(), value: message.encode_to_vec() }
}

fn task(action_type: &str) -> Task {
    let event = |name: &str, at| wire::TaskEvent {
        name: name.to_owned(),
        at: Some(from_unix_ms(START + at)),
        domain: "execution".to_owned(),
        attempt: 1,
    };
    Task {
        task_id: TASK.to_owned(),
        action_type: action_type.to_owned(),
        tenant_id: "tenant-1".to_owned(),
        tier: wire::Tier::Enterprise.into(),
        session_id: "session-1".to_owned(),
        queue_name: "execution:agent-agent-1:enterprise".to_owned(),
        status: wire::Status::Running.into(),
        stage: "generating".to_owned(),
        attempts: 1,
        created_at: Some(from_unix_ms(START)),
        started_at: Some(from_unix_ms(START + 3)),
        context_id: "agent-agent-1".to_owned(),
        events: vec![event("queued", 0), event("claimed", 3)],
        ..Task::default()
    }
}

fn completed(action_type: &str, result: prost_types::Any) -> Task {
    Task {
        status: wire::Status::Completed.into(),
        finished_at: Some(from_unix_ms(START + 60)),
        result: Some(result),
        tokens_used: Some(wire::TokenUsage { input: 20, output: 5, total: 25 }),
        ..task(action_type)
    }
}

fn source() -> wire::Source {
    wire::Source {
        document_id: "doc-1".to_owned(),
        title: "Guide".to_owned(),
        collection_id: "collection-1".to_owned(),
        passage: "A tier decides how fast.".to_owned(),
        start: 10,
        end: 34,
        similarity: 0.5,
        index: 1,
    }
}

#[test]
fn tasks_look_as_the_golden_files_say() {
    golden::check("task_running", &TaskView::from(task("execution.agent_run")));
    let failed = Task {
        status: wire::Status::Failed.into(),
        error: Some(wire::ErrorDetail {
            reason: "DOCUMENT_EMPTY".to_owned(),
            message: "no text was found".to_owned(),
            field: "file".to_owned(),
            retry_after: None,
        }),
        ..task("ingestion.process_document")
    };
    golden::check("task_failed", &TaskView::from(failed));
}

#[test]
fn results_look_as_the_golden_files_say() {
    let answer = AgentRunResult {
        response: "A tier decides how fast. [1]".to_owned(),
        sources: vec![source()],
        agent_info: Some(AgentInfo {
            agent_id: "agent-1".to_owned(),
            name: "Guide".to_owned(),
            r#type: "rag".to_owned(),
            model_used: "extractive".to_owned(),
        }),
        tokens_used: None,
        iterations_used: 1,
        found: true,
    };
    golden::check("task_answer", &TaskView::from(completed("execution.agent_run", any(&answer))));
    let document = ProcessDocumentResult {
        document_id: "doc-1".to_owned(),
        collection_id: "collection-1".to_owned(),
        title: "Guide".to_owned(),
        chunks: 12,
        characters: 3400,
        tokens_used: None,
    };
    golden::check("task_document", &TaskView::from(completed("ingestion.process_document", any(&document))));
    let generated = GenerateAnswerResult {
        response: "Fast.".to_owned(),
        sources: vec![source()],
        found: true,
        model_used: "extractive".to_owned(),
        tokens_used: None,
    };
    golden::check("task_generated", &TaskView::from(completed("query.generate", any(&generated))));
    let found = SearchPassagesResult { sources: vec![source()], tokens_used: None };
    golden::check("task_found", &TaskView::from(completed("query.search", any(&found))));
    let other = prost_types::Any { type_url: wire::Callback::type_url(), value: Vec::new() };
    golden::check("task_other", &TaskView::from(completed("query.index", other)));
}

#[test]
fn accepted_work_looks_as_the_golden_files_say() {
    let accepted = SendMessageResponse {
        task: Some(task("execution.agent_run")),
        queue_name: "execution:agent-agent-1:enterprise".to_owned(),
        estimated_time: Some(action::time::duration_to_proto(std::time::Duration::from_millis(1500))),
    };
    golden::check("chat_accepted", &ChatView::from(accepted));
    let document = Document {
        document_id: "doc-1".to_owned(),
        collection_id: "collection-1".to_owned(),
        title: "Guide".to_owned(),
        media_type: "text/markdown".to_owned(),
        size_bytes: 3400,
        ..Document::default()
    };
    let uploaded = UploadDocumentResponse {
        task: Some(Task { status: wire::Status::Pending.into(), ..task("ingestion.process_document") }),
        document: Some(document),
    };
    golden::check("document_accepted", &DocumentView::from(uploaded));
}

#[test]
fn connections_look_as_the_golden_files_say() {
    use session::connections::{Connected, Report, TenantCount};
    let connected =
        |session: &str, user: Option<&str>| Connected { session: session.to_owned(), user: user.map(str::to_owned) };
    let own = [connected("session-1", None), connected("session-1", Some("user-1")), connected("session-2", None)];
    let tenant = "tenant-1".parse().unwrap();
    golden::check("connections_tenant", &TenantConnections::new(&tenant, action::Tier::Free, &own, (10, 20)));
    let count = |tenant: &str, tier, connections| TenantCount { tenant: tenant.to_owned(), tier, connections };
    let report = |node: &str, free, enterprise, tenants| {
        let mut by_tier = [0; 4];
        by_tier[action::Tier::Free as usize] = free;
        by_tier[action::Tier::Enterprise as usize] = enterprise;
        Report { node: node.to_owned(), most: 1000, by_tier, tenants }
    };
    let one = vec![count("tenant-1", action::Tier::Free, 3)];
    let two = vec![count("tenant-2", action::Tier::Enterprise, 40), count("tenant-1", action::Tier::Free, 2)];
    let reports = vec![report("node-b", 2, 40, two), report("node-a", 3, 0, one)];
    golden::check("connections_all", &AllConnections::from(reports));
}
