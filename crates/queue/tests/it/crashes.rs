//! Worker processes that are killed while they work.

use std::collections::HashMap;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use action::{Action, Domain, ExecutionContext, Status, Tier};
use proto::execution::v1::AgentRun;
use queue::Config;

use crate::setup::{Setup, quick, search_by, tenant};

struct Process(Child);

impl Process {
    fn start(url: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_queue-worker-under-test"));
        command.args([url, "600", "30"]).stdout(Stdio::null());
        Self(command.spawn().expect("the worker starts"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_are_killed_lose_no_action_and_end_none_twice() {
    let lease = Duration::from_millis(600);
    let mut setup = Setup::start_with(Config { lease, max_crashes: 3, ..quick() }).await;
    let outcomes = setup.collect();
    let mut submitted = Vec::new();
    for i in 0..2000 {
        let tenant = tenant(&format!("tenant-{}", i % 7));
        let tier = Tier::ALL[i % 4];
        let agent = format!("agent-{}", i % 5);
        let action = if i % 4 == 0 {
            let context = ExecutionContext::agent(agent.parse().unwrap());
            Action::root(tenant, tier, context, &AgentRun::default())
        } else {
            search_by(&agent, &tenant, tier, "q")
        };
        submitted.push((action.tenant.clone(), action.task));
        setup.queue.submit(action).await.unwrap();
    }
    let mut workers = [Process::start(&setup.redis.url()), Process::start(&setup.redis.url())];
    let mut kills = 0;
    let ended = || outcomes.lock().unwrap().len();
    for turn in 0.. {
        tokio::time::sleep(Duration::from_millis(400)).await;
        if ended() >= submitted.len() {
            break;
        }
        assert!(turn < 300, "{} of {} have ended", ended(), submitted.len());
        workers[turn % 2] = Process::start(&setup.redis.url());
        kills += 1;
    }
    // Whatever is still to come would be too much.
    testkit::eventually(Duration::from_secs(20), || async {
        let mut busy = 0;
        for domain in [Domain::Execution, Domain::Query, Domain::Orchestrator] {
            let stats = setup.queue.stats(domain).await.unwrap();
            let waiting: u64 = stats.tiers.iter().map(|tier| tier.waiting).sum();
            busy += stats.in_flight + stats.delayed + stats.outbox + stats.callbacks + waiting;
        }
        busy == 0
    })
    .await;
    drop(workers);
    let mut times: HashMap<String, u32> = HashMap::new();
    for callback in outcomes.lock().unwrap().iter() {
        *times.entry(callback.task_id.clone()).or_default() += 1;
    }
    assert!(kills >= 3, "only {kills} workers were killed");
    assert_eq!(times.len(), submitted.len());
    assert!(times.values().all(|&times| times == 1), "an outcome was told twice");
    let mut again = 0;
    for (tenant, task) in submitted {
        let task = setup.queue.task(&tenant, task).await.unwrap().expect("its record is kept");
        assert!(!matches!(task.status(), Status::Pending | Status::Running), "{task:?}");
        again += u32::from(task.attempts > 1);
    }
    assert!(again > 0, "no crash hit a running action");
    setup.finish().await;
}
