//! Real worker processes and a real Redis that are killed, stopped, filled up and made to forget while they work.

mod kills;
mod server;

use std::collections::HashMap;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use action::{Action, Domain, ExecutionContext, Status, Tier};
use proto::action::v1::Callback;
use proto::execution::v1::AgentRun;

use crate::setup::{Setup, search_by, tenant};

/// How long the worker processes lease.
const LEASE: Duration = Duration::from_millis(600);
/// All of it must be over by then, many times over.
const LONG: Duration = Duration::from_mins(2);

/// A worker process: agents that search, and searches that take a moment.
struct Process(Child);

impl Process {
    fn start(url: &str, takes: Duration) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_queue-worker-under-test"));
        command.args([url, &LEASE.as_millis().to_string(), &takes.as_millis().to_string()]).stdout(Stdio::null());
        Self(command.spawn().expect("the worker starts"))
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.0.id().to_string()]).status();
        assert!(sent.expect("there is a `kill`").success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

type Outcomes = Arc<Mutex<Vec<Callback>>>;

/// An action of one of seven tenants and five contexts, of all tiers; one in four runs an agent, which searches.
fn work(i: usize) -> Action {
    let tenant = tenant(&format!("tenant-{}", i % 7));
    let (tier, agent) = (Tier::ALL[i % 4], format!("agent-{}", i % 5));
    if i.is_multiple_of(4) {
        let context = ExecutionContext::agent(agent.parse().unwrap());
        Action::root(tenant, tier, context, &AgentRun::default())
    } else {
        search_by(&agent, &tenant, tier, "q")
    }
}

/// Submits work in the order of its numbers.
async fn submit(setup: &Setup, numbers: std::ops::Range<usize>) -> Vec<Action> {
    let actions: Vec<Action> = numbers.map(work).collect();
    for some in actions.chunks(500) {
        for submitted in setup.queue.submit_all(some.to_vec()).await {
            submitted.unwrap();
        }
    }
    actions
}

/// Waits until nothing is left to be done or told in any domain.
async fn all_is_quiet(setup: &Setup) {
    testkit::eventually(LONG, || async {
        let mut busy = 0;
        for domain in [Domain::Execution, Domain::Query, Domain::Orchestrator] {
            let Ok(stats) = setup.queue.stats(domain).await else { return false };
            let waiting: u64 = stats.tiers.iter().map(|tier| tier.waiting).sum();
            busy += stats.in_flight + stats.delayed + stats.outbox + stats.callbacks + waiting;
        }
        busy == 0
    })
    .await;
}

/// Every task has ended and was told of exactly once.
async fn each_ended_once(setup: &Setup, actions: &[Action], outcomes: &Outcomes) {
    all_is_quiet(setup).await;
    let mut times: HashMap<String, u32> = HashMap::new();
    for callback in outcomes.lock().unwrap().iter() {
        *times.entry(callback.task_id.clone()).or_default() += 1;
    }
    for action in actions {
        assert_eq!(times.remove(&action.task.to_string()), Some(1), "{} was told of", action.task);
        let task = setup.queue.task(&action.tenant, action.task).await.unwrap().expect("its record is kept");
        assert!(!matches!(task.status(), Status::Pending | Status::Running), "{task:?}");
    }
    assert!(times.is_empty(), "outcomes of what nobody submitted: {times:?}");
}
