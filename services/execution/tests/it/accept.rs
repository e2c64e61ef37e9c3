//! Runs that backend teams ask for.

use action::{ExecutionContext, Tier};
use fault::Failure;
use proto::execution::v1::{AgentRun, RunAgentRequest};

use crate::mesh::{Mesh, answer};
use crate::model::{Line, Script};

fn request(agent: &str, message: &str) -> RunAgentRequest {
    RunAgentRequest {
        context: Some(ExecutionContext::agent(agent.parse().expect("an id")).to_proto()),
        run: Some(AgentRun { message: message.into(), ..AgentRun::default() }),
        ..RunAgentRequest::default()
    }
}

#[tokio::test]
async fn a_run_that_is_asked_for_becomes_a_task_and_is_done() {
    let mesh = Mesh::start(Script::new([Line::Say(&["Done."])])).await;
    let mut client = mesh.tenant("tenant-1", Tier::Professional);
    let response = client.run_agent(request("talker", "hola")).await.expect("accepted").into_inner();
    let task = response.task.expect("a task");
    assert_eq!(task.queue_name, "execution:agent-talker:professional");
    let task = mesh.ended(&"tenant-1".parse().expect("an id"), task.task_id.parse().expect("an id")).await;
    assert_eq!(answer(&task).response, "Done.");
}

#[tokio::test]
async fn bad_runs_and_foreign_agents_are_refused() {
    let mesh = Mesh::start(Script::new([Line::Say(&["Never."])])).await;
    for (tenant, request, reason, field) in [
        ("tenant-1", request("talker", &"a".repeat(4_001)), "INVALID_FIELD", "message"),
        ("tenant-1", request("nobody", "hola"), "ACCESS_DENIED", "agent_id"),
        ("tenant-1", request("noble", "hola"), "ACCESS_DENIED", "agent_id"),
        ("tenant-2", request("talker", "hola"), "ACCESS_DENIED", "agent_id"),
        (
            "tenant-1",
            RunAgentRequest { callback_queue: "orchestrator:tenant-2:callbacks".into(), ..request("talker", "hola") },
            "INVALID_QUEUE_NAME",
            "callback_queue",
        ),
    ] {
        let status = mesh.tenant(tenant, Tier::Professional).run_agent(request).await.expect_err("must be refused");
        let failure = Failure::from_status(&status);
        assert_eq!((failure.reason().id, failure.field_name()), (reason, Some(field)));
    }
}
