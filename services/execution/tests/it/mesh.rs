//! An execution of the test's own: Redis, the services that a run asks, the host with its worker, and clients.

use std::sync::Arc;
use std::time::Duration;

use action::{Action, ExecutionContext, Status, TaskId, TenantId, Tier};
use execution::Config;
use proto::conversation::v1::conversation_service_server::ConversationServiceServer;
use proto::execution::v1::execution_service_client::ExecutionServiceClient;
use proto::execution::v1::{AgentRun, AgentRunResult};
use proto::management::v1::management_service_server::ManagementServiceServer;
use proto::task::v1::Task;
use proto::task::v1::frame::Body;
use service_kit::{Host, HostConfig, Identity, Kit, KitConfig, Peer, Peers, PeersConfig, Secret, Service, Settings};
use session::{Log, Position};
use tokio::sync::oneshot;

use crate::model::Script;
use crate::peers::{Conversations, Management};

pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// Everything ends when this is dropped.
pub(crate) struct Mesh {
    _redis: testkit::Redis,
    pub(crate) kit: Kit,
    pub(crate) management: Management,
    pub(crate) conversations: Conversations,
    peers: Peers,
    _stop: oneshot::Sender<()>,
}

impl Mesh {
    pub(crate) async fn start(model: Arc<Script>) -> Self {
        let redis = testkit::Redis::start().await;
        let host = Host::bind(HostConfig { grace: Duration::from_secs(2), ..HostConfig::anywhere() });
        let host = host.await.expect("ports are free");
        let addresses = PeersConfig::all_at(host.grpc_address());
        let config = KitConfig::read(&mut Settings::from_pairs(&[]), "execution");
        let config = KitConfig {
            redis_url: Some(redis.url()),
            identity_key: Some(Secret::new("a key of the test")),
            peers: addresses.clone(),
            queue: queue::Config { retry_base: Duration::from_millis(5), max_attempts: 3, ..config.queue },
            ..config
        };
        let kit = Kit::start(config).await.expect("the kit starts");
        // From then on what is remembered is doubted after a change only.
        testkit::eventually(Duration::from_secs(10), || async { kit.changes.connected() }).await;
        let execution = execution::service(Config::default(), &kit, model).await.expect("the service starts");
        let (management, conversations) = (Management::default(), Conversations::default());
        let others = Service::outside_of_domains()
            .serve(ManagementServiceServer::new(management.clone()))
            .serve(ConversationServiceServer::new(conversations.clone()));
        let peers = Peers::new("gateway", kit.signer.clone(), &addresses);
        let (stop, stopped) = oneshot::channel();
        let hosted = kit.clone();
        kit.tasks.spawn(async move {
            let until = async { drop(stopped.await) };
            host.serve(execution).serve(others).until(&hosted, until).await.expect("it runs until told to stop");
        });
        Self { _redis: redis, kit, management, conversations, peers, _stop: stop }
    }

    /// Calls for a tenant.
    pub(crate) fn tenant(&self, tenant: &str, tier: Tier) -> ExecutionServiceClient<Peer> {
        self.peers.execution(Identity::tenant(tenant.parse().expect("an id"), tier))
    }

    /// Submits a run and waits for its end.
    pub(crate) async fn run(&self, action: Action) -> Task {
        let (tenant, task) = (action.tenant.clone(), action.task);
        self.kit.queue.submit(action).await.expect("accepted");
        self.ended(&tenant, task).await
    }

    /// Waits for the end of a task.
    pub(crate) async fn ended(&self, tenant: &TenantId, task: TaskId) -> Task {
        let find = || async { self.kit.queue.task(tenant, task).await.expect("readable").expect("a task") };
        testkit::eventually(PATIENCE, || async { find().await.finished_at.is_some() }).await;
        find().await
    }

    /// Returns what the log of an action's session says.
    pub(crate) async fn shown(&self, action: &Action) -> Vec<Body> {
        let page = self.kit.sessions.read(&Log::of(action), Position::default(), 1_000).await.expect("readable");
        page.frames.into_iter().filter_map(|frame| frame.body).collect()
    }
}

/// Makes a run of an agent of `tenant-1` in a session.
pub(crate) fn run_of(agent: &str, message: &str, session: &str) -> Action {
    let context = ExecutionContext::agent(agent.parse().expect("an id"));
    let run = AgentRun { message: message.into(), turn: 1, ..AgentRun::default() };
    let mut action = Action::root("tenant-1".parse().expect("an id"), Tier::Professional, context, &run);
    action.session = Some(session.parse().expect("an id"));
    action
}

/// Reads the answer of a task, which must have completed.
pub(crate) fn answer(task: &Task) -> AgentRunResult {
    assert_eq!(task.status(), Status::Completed, "{:?}", task.error);
    action::Outcome::reply::<AgentRun>(task.result.as_ref().expect("a result")).expect("an answer")
}

/// Returns the pieces of an answer that a log shows, put together.
pub(crate) fn pieces(shown: &[Body]) -> String {
    let text = |body: &Body| match body {
        Body::AgentDelta(delta) => Some(delta.text.clone()),
        _ => None,
    };
    shown.iter().filter_map(text).collect()
}

/// Returns the stages that a log shows.
pub(crate) fn stages(shown: &[Body]) -> Vec<&str> {
    let mut stages = Vec::new();
    for body in shown {
        if let Body::TaskUpdate(update) = body {
            stages.push(update.stage.as_str());
        }
    }
    stages
}
