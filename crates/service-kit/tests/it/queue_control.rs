//! What operators do to running queues, through the whole way from the call to Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use action::{Domain, Status, TaskId, Tier};
use fault::Failure;
use proto::action::v1::DomainAction;
use proto::embedding::v1::{GenerateEmbeddings, GenerateEmbeddingsResult};
use proto::queue::v1::{
    CheckQueuesRequest, DeadLetterChoice, DeleteDeadLettersRequest, DomainLimits, DomainStats, GetDeadLetterRequest,
    GetLimitsRequest, GetQueueStatsRequest, GetSystemOverviewRequest, ListBusiestTenantsRequest,
    ListDeadLettersRequest, PauseRequest, PurgeRequest, ReplayDeadLettersRequest, ResumeRequest, SetPartitionsRequest,
    Sharing, SubmitActionRequest, SubmitActionResponse, TenantLimits, TierLimits, UpdateLimitsRequest,
};
use queue::{Work, Worker};
use service_kit::{Host, HostConfig, Service};
use testkit::eventually;

use crate::mesh::{Mesh, reason};
use crate::queue_refusals::{operator, selection, wire};

const SOON: Duration = Duration::from_secs(10);

fn embedding() -> String {
    "embedding".to_owned()
}

async fn submit(mesh: &Mesh, request: SubmitActionRequest) -> SubmitActionResponse {
    operator(mesh).submit_action(request).await.unwrap().into_inner()
}

/// Submits work of a tenant and returns its task.
async fn work_of(mesh: &Mesh, tenant: &str) -> TaskId {
    let request = SubmitActionRequest { action: Some(wire(tenant)), ..Default::default() };
    submit(mesh, request).await.task.unwrap().task_id.parse().unwrap()
}

async fn stats(mesh: &Mesh) -> DomainStats {
    let request = GetQueueStatsRequest { domain: embedding() };
    operator(mesh).get_queue_stats(request).await.unwrap().into_inner().domains.remove(0)
}

fn waiting(stats: &DomainStats) -> u64 {
    stats.tiers.iter().map(|tier| tier.waiting).sum()
}

/// Starts a worker that fails at everything for as long as it is told to, so that attempts are exhausted at once.
async fn start_worker(mesh: &Mesh, refuse: Arc<AtomicBool>) {
    let kit = mesh.kit.clone();
    let handle = move |_: Work, _: GenerateEmbeddings| {
        let refuse = refuse.load(Ordering::Relaxed);
        async move {
            if refuse {
                return Err(
                    Failure::new(&fault::reason::UNAVAILABLE, "not today").retry_after(Duration::from_millis(1))
                );
            }
            Ok(GenerateEmbeddingsResult::default())
        }
    };
    let worker = Worker::new(kit.queue.clone(), Domain::Embedding, 4).on::<GenerateEmbeddings, _, _, _>(handle);
    let host = Host::bind(HostConfig::anywhere()).await.unwrap();
    let service = Service::new(Domain::Embedding).work(move |shutdown| worker.run(shutdown));
    tokio::spawn(async move { host.serve(service).until(&kit, std::future::pending()).await });
}

async fn status(mesh: &Mesh, tenant: &str, task: TaskId) -> Status {
    mesh.kit.queue.task(&tenant.parse().unwrap(), task).await.unwrap().unwrap().status()
}

#[tokio::test]
async fn an_action_without_ids_becomes_the_root_of_a_task() {
    let mesh = Mesh::start().await;
    let made = submit(&mesh, SubmitActionRequest { action: Some(wire("acme-1")), ..Default::default() }).await;
    let task = made.task.unwrap();
    assert_eq!(made.action_id, task.task_id);
    assert_eq!((made.queue_name.as_str(), made.position, made.known), ("embedding:agent-1:free", 1, false));
    assert_eq!(task.status(), Status::Pending);

    let again = DomainAction { task_id: task.task_id.clone(), ..wire("acme-1") };
    let again = submit(&mesh, SubmitActionRequest { action: Some(again), ..Default::default() }).await;
    assert_eq!((again.action_id, again.known), (made.action_id, true), "an id that is absent is the other one");
}

#[tokio::test]
async fn all_that_may_be_asked_of_a_submit_is_accepted_at_its_bounds() {
    let mesh = Mesh::start().await;
    let span = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let retry = proto::queue::v1::RetryPolicy { max_attempts: 100, base: span(1), cap: span(1) };
    let deadline = action::time::to_proto(std::time::SystemTime::now() + Duration::from_hours(1));
    let request = SubmitActionRequest {
        action: Some(DomainAction { deadline: Some(deadline), ..wire("acme-1") }),
        delay: span(0),
        at: None,
        idempotency_key: " ~".repeat(100),
        idempotency_ttl: span(7 * 86_400),
        retry: Some(retry),
        time_to_live: span(366 * 86_400),
        budget: span(3_600),
        ordered: true,
    };
    assert!(!submit(&mesh, request).await.known);
    let past = Some(prost_types::Timestamp { seconds: -1, nanos: 0 });
    let request = SubmitActionRequest { action: Some(wire("acme-1")), at: past, ..Default::default() };
    assert!(submit(&mesh, request).await.position > 0, "a moment in the past is now");
}

#[tokio::test]
async fn a_key_makes_two_submits_one_action() {
    let mesh = Mesh::start().await;
    let keyed = |tenant: &str| SubmitActionRequest {
        action: Some(wire(tenant)),
        idempotency_key: "order-1".to_owned(),
        ..Default::default()
    };
    let first = submit(&mesh, keyed("acme-1")).await;
    let second = submit(&mesh, keyed("acme-1")).await;
    assert_eq!((first.known, second.known), (false, true));
    assert_eq!(first.action_id, second.action_id);
    assert_eq!(first.task.unwrap().task_id, second.task.unwrap().task_id);
    assert_ne!(submit(&mesh, keyed("other-1")).await.action_id, first.action_id, "a key is a tenant's own");
}

#[tokio::test]
async fn a_delayed_action_is_shown_as_delayed() {
    let mesh = Mesh::start().await;
    let delay = Some(prost_types::Duration { seconds: 3_600, nanos: 0 });
    let later = submit(&mesh, SubmitActionRequest { action: Some(wire("acme-1")), delay, ..Default::default() }).await;
    assert_eq!((later.position, later.known), (0, false));
    let stats = stats(&mesh).await;
    assert_eq!((stats.delayed, waiting(&stats)), (1, 0));
}

#[tokio::test]
async fn the_overview_sums_up_the_domains() {
    let mesh = Mesh::start().await;
    work_of(&mesh, "acme-1").await;
    let overview = operator(&mesh).get_system_overview(GetSystemOverviewRequest {}).await.unwrap().into_inner();
    assert_eq!(overview.domains.len(), Domain::ALL.len());
    assert_eq!((overview.waiting, overview.in_flight, overview.delayed, overview.dead), (1, 0, 0, 0));
}

#[tokio::test]
async fn the_busiest_tenant_comes_first() {
    let mesh = Mesh::start().await;
    for tenant in ["acme-1", "other-1", "other-1"] {
        work_of(&mesh, tenant).await;
    }
    let busiest = |limit| ListBusiestTenantsRequest { domain: embedding(), limit };
    let all = operator(&mesh).list_busiest_tenants(busiest(0)).await.unwrap().into_inner().tenants;
    let names: Vec<_> = all.iter().map(|load| (load.tenant_id.as_str(), load.waiting, load.in_flight)).collect();
    assert_eq!(names, [("other-1", 2, 0), ("acme-1", 1, 0)]);
    assert_eq!(operator(&mesh).list_busiest_tenants(busiest(1)).await.unwrap().into_inner().tenants.len(), 1);
}

#[tokio::test]
async fn a_paused_tenant_waits_while_others_are_served_until_it_is_resumed() {
    let mesh = Mesh::start().await;
    let tenant = || selection(0, "acme-1");
    operator(&mesh).pause(PauseRequest { selection: Some(tenant()) }).await.unwrap();
    let (paused, other) = (work_of(&mesh, "acme-1").await, work_of(&mesh, "other-1").await);
    start_worker(&mesh, Arc::default()).await;
    eventually(SOON, || async { status(&mesh, "other-1", other).await == Status::Completed }).await;
    assert_eq!(status(&mesh, "acme-1", paused).await, Status::Pending);
    operator(&mesh).resume(ResumeRequest { selection: Some(tenant()) }).await.unwrap();
    eventually(SOON, || async { status(&mesh, "acme-1", paused).await == Status::Completed }).await;
}

#[tokio::test]
async fn a_pause_of_a_tier_and_of_a_domain_is_shown_everywhere() {
    let mesh = Mesh::start().await;
    let free = i32::from(Tier::Free.to_proto());
    operator(&mesh).pause(PauseRequest { selection: Some(selection(free, "")) }).await.unwrap();
    let seen = stats(&mesh).await;
    let paused: Vec<_> = seen.tiers.iter().filter(|tier| tier.paused).map(|tier| tier.tier).collect();
    assert_eq!((seen.paused, paused), (false, vec![free]));
    operator(&mesh).pause(PauseRequest { selection: Some(selection(0, "")) }).await.unwrap();
    assert!(stats(&mesh).await.paused);
    operator(&mesh).resume(ResumeRequest { selection: Some(selection(0, "")) }).await.unwrap();
    operator(&mesh).resume(ResumeRequest { selection: Some(selection(free, "")) }).await.unwrap();
    let seen = stats(&mesh).await;
    assert!(!seen.paused && seen.tiers.iter().all(|tier| !tier.paused));
}

#[tokio::test]
async fn a_purge_ends_what_it_names_as_cancelled_and_nothing_else() {
    let mesh = Mesh::start().await;
    let (gone, stays) = (work_of(&mesh, "acme-1").await, work_of(&mesh, "other-1").await);
    let purge = |tenant: &str, context: &str, all| PurgeRequest {
        selection: Some(selection(0, tenant)),
        context_id: context.to_owned(),
        all,
        reason: "not needed".to_owned(),
    };
    let mut client = operator(&mesh);
    let elsewhere = client.purge(purge("acme-1", "agent-2", false)).await.unwrap().into_inner();
    assert_eq!(elsewhere.purged, 0);
    assert_eq!(client.purge(purge("acme-1", "agent-1", false)).await.unwrap().into_inner().purged, 1);
    assert_eq!(status(&mesh, "acme-1", gone).await, Status::Cancelled);
    assert_eq!(status(&mesh, "other-1", stays).await, Status::Pending);
    assert_eq!(client.purge(purge("", "", true)).await.unwrap().into_inner().purged, 1);
    assert_eq!(status(&mesh, "other-1", stays).await, Status::Cancelled);
}

#[tokio::test]
async fn limits_change_where_they_are_named() {
    let mesh = Mesh::start().await;
    let mut client = operator(&mesh);
    let get = || GetLimitsRequest { domain: embedding() };
    let before = client.get_limits(get()).await.unwrap().into_inner().limits.unwrap();
    assert_eq!(before.tiers.len(), Tier::ALL.len());
    let free = i32::from(Tier::Free.to_proto());
    let change = DomainLimits {
        sharing: Sharing::Strict.into(),
        reserve_percent: Some(10),
        tiers: vec![TierLimits { tier: free, weight: Some(3), ..TierLimits::default() }],
        ..DomainLimits::default()
    };
    let own = TenantLimits { tenant_id: "acme-1".to_owned(), in_flight: 2 };
    let update = UpdateLimitsRequest { domain: embedding(), limits: Some(change), tenants: vec![own.clone()] };
    let after = client.update_limits(update).await.unwrap().into_inner().limits.unwrap();
    assert_eq!((after.sharing(), after.reserve_percent), (Sharing::Strict, Some(10)));
    assert_eq!(after.tiers.iter().find(|tier| tier.tier == free).unwrap().weight, Some(3));
    assert_eq!((after.quantum, after.queue_depth), (before.quantum, before.queue_depth));
    let answer = client.get_limits(get()).await.unwrap().into_inner();
    assert_eq!((answer.limits.unwrap(), answer.tenants), (after, vec![own]));
}

#[tokio::test]
async fn a_dead_letter_is_listed_shown_replayed_and_deleted() {
    let mesh = Mesh::start().await;
    let refuse = Arc::new(AtomicBool::new(true));
    start_worker(&mesh, Arc::clone(&refuse)).await;
    let task = work_of(&mesh, "acme-1").await;
    let mut client = operator(&mesh);
    let list = |why: &str, tenant: &str| ListDeadLettersRequest {
        domain: embedding(),
        why: why.to_owned(),
        tenant_id: tenant.to_owned(),
        ..Default::default()
    };
    eventually(SOON, || async { stats(&mesh).await.dead == 1 }).await;
    let letters = client.list_dead_letters(list("exhausted", "acme-1")).await.unwrap().into_inner().dead_letters;
    assert_eq!((letters.len(), letters[0].action_id.as_str()), (1, task.to_string().as_str()));
    for other in [list("poison", ""), list("", "other-1")] {
        assert!(client.list_dead_letters(other).await.unwrap().into_inner().dead_letters.is_empty());
    }
    let get = |entry: &str| GetDeadLetterRequest { domain: embedding(), entry_id: entry.to_owned() };
    let shown = client.get_dead_letter(get(&letters[0].entry_id)).await.unwrap().into_inner().dead_letter.unwrap();
    assert!(shown.action.is_some() && !shown.body.is_empty());
    assert_eq!(reason(&client.get_dead_letter(get("0.1-0")).await.unwrap_err()), "NOT_FOUND");

    let choice = |entries: Vec<String>, all| {
        Some(DeadLetterChoice { domain: embedding(), entry_ids: entries, all, ..Default::default() })
    };
    refuse.store(false, Ordering::Relaxed);
    let replay = ReplayDeadLettersRequest { choice: choice(vec![letters[0].entry_id.clone()], false) };
    let done = client.replay_dead_letters(replay).await.unwrap().into_inner();
    assert_eq!((done.replayed, done.left), (1, 0));
    eventually(SOON, || async { status(&mesh, "acme-1", task).await == Status::Completed }).await;

    refuse.store(true, Ordering::Relaxed);
    work_of(&mesh, "acme-1").await;
    eventually(SOON, || async { stats(&mesh).await.dead == 1 }).await;
    let delete = DeleteDeadLettersRequest { choice: choice(Vec::new(), true) };
    assert_eq!(client.delete_dead_letters(delete).await.unwrap().into_inner().deleted, 1);
    assert_eq!(stats(&mesh).await.dead, 0);
}

#[tokio::test]
async fn queues_that_were_left_alone_contradict_nothing() {
    let mesh = Mesh::start().await;
    work_of(&mesh, "acme-1").await;
    for (domain, repair) in [("", false), ("embedding", true)] {
        let request = CheckQueuesRequest { domain: domain.to_owned(), repair };
        let answer = operator(&mesh).check_queues(request).await.unwrap().into_inner();
        assert_eq!((answer.violations, answer.remaining), (Vec::new(), Vec::new()), "{domain}");
    }
}

#[tokio::test]
async fn partitions_are_spread_while_work_waits() {
    let mesh = Mesh::start().await;
    work_of(&mesh, "acme-1").await;
    let spread = SetPartitionsRequest { domain: embedding(), partitions: 4 };
    let answer = operator(&mesh).set_partitions(spread).await.unwrap().into_inner();
    assert_eq!(answer.partitions, 4);
    assert!(answer.epoch >= 1);
    eventually(SOON, || async { stats(&mesh).await.partitions == 4 }).await;
    assert_eq!(waiting(&stats(&mesh).await), 1);
}
