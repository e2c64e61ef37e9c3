use action::{Domain, ExecutionContext, Tier};
use fault::Failure;
use prost::Name as _;
use proto::action::v1::{DomainAction, QueueMetadata};
use proto::embedding::v1::GenerateEmbeddings;
use proto::queue::v1::queue_service_client::QueueServiceClient;
use proto::queue::v1::{
    CheckQueuesRequest, DeadLetterChoice, DeleteDeadLettersRequest, DomainLimits, GetDeadLetterRequest,
    GetLimitsRequest, GetQueueStatsRequest, GetSystemOverviewRequest, ListBusiestTenantsRequest,
    ListDeadLettersRequest, PauseRequest, PurgeRequest, ReplayDeadLettersRequest, ResumeRequest, RetryPolicy,
    Selection, SetPartitionsRequest, SubmitActionRequest, TenantLimits, TierLimits, UpdateLimitsRequest, WorkRequest,
};
use service_kit::{Caller, Peer, Scope, Scopes};

use crate::mesh::{Mesh, ms, reason, request};

/// The queue service as an operator calls it.
pub(crate) fn operator(mesh: &Mesh) -> QueueServiceClient<Peer> {
    let operator = Caller { scopes: Scopes::from([Scope::Admin]), ..Caller::default() };
    mesh.kit.peers.queues(Domain::Management, operator)
}

/// An action that may be submitted.
pub(crate) fn wire(tenant: &str) -> DomainAction {
    let context = ExecutionContext::agent("agent-1".parse().unwrap());
    let payload = GenerateEmbeddings { texts: vec!["a text".to_owned()], model: String::new() };
    DomainAction {
        action_type: "embedding.generate".to_owned(),
        tenant_id: tenant.to_owned(),
        tier: Tier::Free.to_proto().into(),
        context: Some(context.to_proto()),
        payload: Some(prost_types::Any {
            type_url: GenerateEmbeddings::type_url(),
            value: prost::Message::encode_to_vec(&payload),
        }),
        ..DomainAction::default()
    }
}

/// The domain, a tier and a tenant.
pub(crate) fn selection(tier: i32, tenant: &str) -> Selection {
    Selection { domain: "embedding".to_owned(), tier, tenant_id: tenant.to_owned() }
}

/// Calls one method with each request and compares the reason and the field of its refusal.
macro_rules! refuses {
    ($client:expr, $method:ident: $($request:expr => $reason:literal, $field:literal;)*) => {$({
        let request = $request;
        let told = format!("{} {request:?}", stringify!($method));
        let status = $client.$method(request).await.err().unwrap_or_else(|| panic!("not refused: {told}"));
        let failure = Failure::from_status(&status);
        let expected = ($reason, Some($field));
        assert_eq!((failure.reason().id, failure.field_name()), expected, "{told}: {}", failure.detail());
    })*};
}

/// Calls every method but `Work` with an empty request and returns the reasons; an answer is none.
macro_rules! every_method {
    ($client:expr, $headers:expr) => {
        every_method!($client, $headers, get_queue_stats: GetQueueStatsRequest,
            get_system_overview: GetSystemOverviewRequest, list_busiest_tenants: ListBusiestTenantsRequest,
            submit_action: SubmitActionRequest, pause: PauseRequest, resume: ResumeRequest, purge: PurgeRequest,
            get_limits: GetLimitsRequest, update_limits: UpdateLimitsRequest,
            list_dead_letters: ListDeadLettersRequest, get_dead_letter: GetDeadLetterRequest,
            replay_dead_letters: ReplayDeadLettersRequest, delete_dead_letters: DeleteDeadLettersRequest,
            check_queues: CheckQueuesRequest, set_partitions: SetPartitionsRequest)
    };
    ($client:expr, $headers:expr, $($method:ident: $request:ident),*) => {
        vec![$({
            let answer = $client.$method(request($request::default(), $headers)).await;
            (stringify!($method), answer.err().map(|status| (status.code(), reason(&status))))
        }),*]
    };
}

#[tokio::test]
async fn every_call_needs_the_scope_admin_and_a_credential_first_of_all() {
    let mesh = Mesh::start().await;
    let signed = |scope| {
        let caller = Caller { scopes: Scopes::from([scope]), service: Some("worker".to_owned()), ..Caller::default() };
        mesh.kit.signer.sign(&caller, ms(30_000))
    };
    let (worker, service) = (signed(Scope::Worker(Domain::Embedding)), signed(Scope::Admin));
    let refused = (tonic::Code::PermissionDenied, "SCOPE_REQUIRED");
    let unknown = (tonic::Code::Unauthenticated, "CREDENTIAL_REQUIRED");
    let mut client = QueueServiceClient::new(mesh.channel());
    for (who, headers, expected) in [
        ("nobody", vec![], Some(unknown)),
        ("a tenant", vec![("x-api-key", "nbl_tenant_key")], Some(refused)),
        ("a worker", vec![("x-nooble-identity", worker.as_str())], Some(refused)),
        ("an operator", vec![("x-api-key", "nbl_admin_key")], None),
        ("a service for an operator", vec![("x-nooble-identity", service.as_str())], None),
    ] {
        for (method, told) in every_method!(client, &headers) {
            match expected {
                Some(expected) => assert_eq!(told, Some(expected), "{who}: {method}"),
                None => assert!(!told.is_some_and(|told| told == refused || told == unknown), "{who}: {method}"),
            }
        }
    }
    let nothing = futures::stream::pending::<WorkRequest>();
    let status = client.work(nothing).await.unwrap_err();
    assert_eq!(reason(&status), "CREDENTIAL_REQUIRED");
}

#[tokio::test]
async fn a_domain_that_is_absent_or_unknown_is_refused_by_every_call_that_needs_one() {
    let mesh = Mesh::start().await;
    let mut client = operator(&mesh);
    let named = |domain: &str| Some(Selection { domain: domain.to_owned(), ..Selection::default() });
    let choice = |domain: &str| Some(DeadLetterChoice { domain: domain.to_owned(), all: true, ..Default::default() });
    macro_rules! both {
        ($($method:ident($domain:ident): $request:expr;)*) => {$(
            let ask = |$domain: &str| $request;
            refuses!(client, $method:
                ask("") => "INVALID_FIELD", "domain";
                ask("cooking") => "QUEUE_NOT_FOUND", "domain";
            );
        )*};
    }
    both! {
        list_busiest_tenants(domain): ListBusiestTenantsRequest { domain: domain.to_owned(), limit: 0 };
        pause(domain): PauseRequest { selection: named(domain) };
        resume(domain): ResumeRequest { selection: named(domain) };
        purge(domain): PurgeRequest { selection: named(domain), all: true, ..Default::default() };
        get_limits(domain): GetLimitsRequest { domain: domain.to_owned() };
        update_limits(domain): UpdateLimitsRequest { domain: domain.to_owned(), ..Default::default() };
        list_dead_letters(domain): ListDeadLettersRequest { domain: domain.to_owned(), ..Default::default() };
        get_dead_letter(domain): GetDeadLetterRequest { domain: domain.to_owned(), entry_id: "0.1-0".to_owned() };
        replay_dead_letters(domain): ReplayDeadLettersRequest { choice: choice(domain) };
        delete_dead_letters(domain): DeleteDeadLettersRequest { choice: choice(domain) };
        set_partitions(domain): SetPartitionsRequest { domain: domain.to_owned(), partitions: 1 };
    }
    let cooking = || "cooking".to_owned();
    refuses!(client, get_queue_stats: GetQueueStatsRequest { domain: cooking() } => "QUEUE_NOT_FOUND", "domain";);
    refuses!(client, check_queues:
        CheckQueuesRequest { domain: cooking(), repair: true } => "QUEUE_NOT_FOUND", "domain";);
}

#[tokio::test]
async fn a_selection_names_what_there_is_and_not_a_tier_and_a_tenant_at_once() {
    let mesh = Mesh::start().await;
    let mut client = operator(&mesh);
    macro_rules! selections {
        ($($method:ident: $request:ident),*) => {$(refuses!(client, $method:
            $request { selection: None } => "INVALID_FIELD", "selection";
            $request { selection: Some(selection(5, "")) } => "INVALID_TIER", "tier";
            $request { selection: Some(selection(0, "a tenant")) } => "INVALID_FIELD", "tenant_id";
            $request { selection: Some(selection(1, "acme-1")) } => "INVALID_FIELD", "tenant_id";
        );)*};
    }
    selections!(pause: PauseRequest, resume: ResumeRequest);
}

#[tokio::test]
async fn a_purge_means_what_it_says() {
    let mesh = Mesh::start().await;
    let mut client = operator(&mesh);
    let purge = |tier, tenant: &str, context: &str, all| PurgeRequest {
        selection: Some(selection(tier, tenant)),
        context_id: context.to_owned(),
        all,
        reason: String::new(),
    };
    refuses!(client, purge:
        PurgeRequest::default() => "INVALID_FIELD", "selection";
        purge(0, "", "", false) => "INVALID_FIELD", "all";
        purge(1, "", "", true) => "INVALID_FIELD", "all";
        purge(0, "acme-1", "", true) => "INVALID_FIELD", "all";
        purge(0, "", "agent-1", true) => "INVALID_FIELD", "all";
        purge(0, "", "agent-1", false) => "INVALID_FIELD", "context_id";
        purge(1, "", "agent-1", false) => "INVALID_FIELD", "context_id";
        purge(0, "acme-1", "kitchen-1", false) => "INVALID_CONTEXT_TYPE", "context_id";
        purge(-1, "acme-1", "", false) => "INVALID_TIER", "tier";
        PurgeRequest { reason: "x".repeat(201), ..purge(0, "", "", true) } => "INVALID_FIELD", "reason";
    );
}

#[tokio::test]
async fn limits_that_are_out_of_range_are_refused_by_name() {
    let mesh = Mesh::start().await;
    let mut client = operator(&mesh);
    let change = |limits: DomainLimits| UpdateLimitsRequest {
        domain: "embedding".to_owned(),
        limits: Some(limits),
        tenants: Vec::new(),
    };
    let of_tier = |tier: TierLimits| change(DomainLimits { tiers: vec![tier], ..DomainLimits::default() });
    let ageing = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let of_tenants = |names: &[&str]| UpdateLimitsRequest {
        domain: "embedding".to_owned(),
        tenants: names.iter().map(|name| TenantLimits { tenant_id: (*name).to_owned(), in_flight: 1 }).collect(),
        ..Default::default()
    };
    let free = TierLimits { tier: 1, ..TierLimits::default() };
    let twice = DomainLimits { tiers: vec![free, free], ..DomainLimits::default() };
    let many: Vec<String> = (0..1_001).map(|number| format!("tenant-{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    refuses!(client, update_limits:
        change(DomainLimits { sharing: 3, ..Default::default() }) => "INVALID_FIELD", "sharing";
        change(DomainLimits { reserve_percent: Some(101), ..Default::default() }) => "INVALID_FIELD", "reserve_percent";
        change(DomainLimits { quantum: Some(0), ..Default::default() }) => "INVALID_FIELD", "quantum";
        change(DomainLimits { quantum: Some(65), ..Default::default() }) => "INVALID_FIELD", "quantum";
        of_tier(TierLimits::default()) => "INVALID_TIER", "tier";
        of_tier(TierLimits { weight: Some(0), ..free }) => "INVALID_FIELD", "weight";
        of_tier(TierLimits { weight: Some(1_001), ..free }) => "INVALID_FIELD", "weight";
        of_tier(TierLimits { ageing: ageing(-1), ..free }) => "INVALID_FIELD", "ageing";
        of_tier(TierLimits { ageing: ageing(367 * 86_400), ..free }) => "INVALID_FIELD", "ageing";
        change(twice) => "INVALID_FIELD", "tiers";
        of_tenants(&[""]) => "INVALID_FIELD", "tenant_id";
        of_tenants(&["acme-1", "acme-1"]) => "INVALID_FIELD", "tenants";
        of_tenants(&many) => "INVALID_FIELD", "tenants";
    );
    let spread = |partitions| SetPartitionsRequest { domain: "embedding".to_owned(), partitions };
    refuses!(client, set_partitions:
        spread(0) => "INVALID_FIELD", "partitions";
        spread(65) => "INVALID_FIELD", "partitions";
    );
    let busiest = |limit| ListBusiestTenantsRequest { domain: "embedding".to_owned(), limit };
    refuses!(client, list_busiest_tenants: busiest(-1) => "INVALID_FIELD", "limit";);
}

#[tokio::test]
async fn dead_letters_are_listed_by_what_there_is() {
    let mesh = Mesh::start().await;
    let mut client = operator(&mesh);
    let list = || ListDeadLettersRequest { domain: "embedding".to_owned(), ..Default::default() };
    refuses!(client, list_dead_letters:
        ListDeadLettersRequest { page_size: -1, ..list() } => "INVALID_FIELD", "page_size";
        ListDeadLettersRequest { page_token: "elsewhere".to_owned(), ..list() } => "INVALID_FIELD", "page_token";
        ListDeadLettersRequest { why: "boredom".to_owned(), ..list() } => "INVALID_FIELD", "why";
        ListDeadLettersRequest { tenant_id: "a tenant".to_owned(), ..list() } => "INVALID_FIELD", "tenant_id";
    );
    let get = |entry: &str| GetDeadLetterRequest { domain: "embedding".to_owned(), entry_id: entry.to_owned() };
    for entry in ["", "1", "-", "1-", "-1", "a-1", "1-a", "1-0-0", ".1-0", "+", "1-0 ", "1:1-0", "x.1-0", "..1-0"] {
        refuses!(client, get_dead_letter: get(entry) => "INVALID_FIELD", "entry_id";);
    }
    refuses!(client, get_dead_letter: get(&format!("0.1-{}", "0".repeat(64))) => "INVALID_FIELD", "entry_id";);
}

#[tokio::test]
async fn a_choice_of_dead_letters_says_one_thing() {
    let mesh = Mesh::start().await;
    let mut client = operator(&mesh);
    let nothing = || DeadLetterChoice { domain: "embedding".to_owned(), ..Default::default() };
    let entries = |count: usize| vec!["0.1-0".to_owned(); count];
    let age = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    macro_rules! choices {
        ($($method:ident: $request:ident),*) => {$(refuses!(client, $method:
            $request { choice: None } => "INVALID_FIELD", "choice";
            $request { choice: Some(nothing()) } => "INVALID_FIELD", "choice";
            $request { choice: Some(DeadLetterChoice { entry_ids: entries(1), all: true, ..nothing() }) }
                => "INVALID_FIELD", "entry_ids";
            $request { choice: Some(DeadLetterChoice { entry_ids: entries(1), why: "poison".into(), ..nothing() }) }
                => "INVALID_FIELD", "entry_ids";
            $request { choice: Some(DeadLetterChoice { all: true, tenant_id: "acme-1".into(), ..nothing() }) }
                => "INVALID_FIELD", "all";
            $request { choice: Some(DeadLetterChoice { entry_ids: entries(1_001), ..nothing() }) }
                => "INVALID_FIELD", "entry_ids";
            $request { choice: Some(DeadLetterChoice { entry_ids: vec!["first".into()], ..nothing() }) }
                => "INVALID_FIELD", "entry_ids";
            $request { choice: Some(DeadLetterChoice { why: "boredom".into(), ..nothing() }) }
                => "INVALID_FIELD", "why";
            $request { choice: Some(DeadLetterChoice { tenant_id: "a tenant".into(), ..nothing() }) }
                => "INVALID_FIELD", "tenant_id";
            $request { choice: Some(DeadLetterChoice { older_than: age(-1), ..nothing() }) }
                => "INVALID_FIELD", "older_than";
        );)*};
    }
    choices!(replay_dead_letters: ReplayDeadLettersRequest, delete_dead_letters: DeleteDeadLettersRequest);
}

#[tokio::test]
async fn an_action_from_outside_knows_nothing_of_the_inside() {
    let mesh = Mesh::start().await;
    let mut client = operator(&mesh);
    let submit = |change: fn(&mut DomainAction)| {
        let mut action = wire("acme-1");
        change(&mut action);
        SubmitActionRequest { action: Some(action), ..Default::default() }
    };
    let over = |action: &mut DomainAction| {
        action.deadline = Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 });
    };
    refuses!(client, submit_action:
        SubmitActionRequest::default() => "INVALID_FIELD", "action";
        submit(|action| action.reply_inbox = "an inbox".into()) => "INVALID_FIELD", "reply_inbox";
        submit(|action| action.queue = Some(QueueMetadata::default())) => "INVALID_FIELD", "queue";
        submit(|action| action.root_fence = 1) => "INVALID_FIELD", "root_fence";
        submit(|action| action.root_attempt = 1) => "INVALID_FIELD", "root_attempt";
        submit(over) => "DEADLINE_EXCEEDED", "deadline";
        submit(|action| action.deadline = Some(prost_types::Timestamp { seconds: 1, nanos: -1 }))
            => "INVALID_FIELD", "deadline";
        submit(|action| action.deadline = Some(prost_types::Timestamp { seconds: i64::MAX / 2, nanos: 0 }))
            => "INVALID_FIELD", "deadline";
        submit(|action| action.callback_queue = "orchestrator:other-1:callbacks".into())
            => "INVALID_FIELD", "callback_queue";
        submit(|action| action.callback_queue = "embedding:agent-1:free".into()) => "INVALID_FIELD", "callback_queue";
        submit(|action| action.callback_queue = "somewhere".into()) => "INVALID_QUEUE_NAME", "callback_queue";
        submit(|action| action.action_type = "embedding.cook".into()) => "UNKNOWN_ACTION_TYPE", "action_type";
        submit(|action| action.action_type = "query.search".into()) => "PAYLOAD_MISMATCH", "payload";
        submit(|action| {
            action.action_type = "embedding.callback".into();
            action.payload = Some(prost_types::Any {
                type_url: proto::action::v1::Callback::type_url(),
                value: Vec::new(),
            });
        }) => "UNKNOWN_ACTION_TYPE", "action_type";
        submit(|action| action.payload = None) => "INVALID_FIELD", "payload";
        submit(|action| action.context = None) => "INVALID_FIELD", "context";
        submit(|action| action.tier = 0) => "INVALID_TIER", "tier";
        submit(|action| action.tenant_id.clear()) => "INVALID_FIELD", "tenant_id";
        submit(|action| action.action_id = "one".into()) => "INVALID_FIELD", "action_id";
        submit(|action| action.task_id = "one".into()) => "INVALID_FIELD", "task_id";
    );
}

#[tokio::test]
async fn what_is_asked_of_a_submit_stays_within_its_bounds() {
    let mesh = Mesh::start().await;
    let mut client = operator(&mesh);
    let submit = || SubmitActionRequest { action: Some(wire("acme-1")), ..Default::default() };
    let span = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
    let retry = |retry: RetryPolicy| SubmitActionRequest { retry: Some(retry), ..submit() };
    let keyed = |key: &str| SubmitActionRequest { idempotency_key: key.to_owned(), ..submit() };
    let far = action::time::to_proto(std::time::SystemTime::now() + std::time::Duration::from_hours(367 * 24));
    let long = 366 * 86_400 + 1;
    refuses!(client, submit_action:
        SubmitActionRequest { delay: span(-1, 0), ..submit() } => "INVALID_FIELD", "delay";
        SubmitActionRequest { delay: span(0, -1), ..submit() } => "INVALID_FIELD", "delay";
        SubmitActionRequest { delay: span(long, 0), ..submit() } => "INVALID_FIELD", "delay";
        SubmitActionRequest { delay: span(1, 0), at: Some(far), ..submit() } => "INVALID_FIELD", "at";
        SubmitActionRequest { at: Some(far), ..submit() } => "INVALID_FIELD", "at";
        SubmitActionRequest { at: Some(prost_types::Timestamp { seconds: 1, nanos: 1_000_000_000 }), ..submit() }
            => "INVALID_FIELD", "at";
        keyed(&"k".repeat(201)) => "INVALID_FIELD", "idempotency_key";
        keyed("sch\u{f6}n") => "INVALID_FIELD", "idempotency_key";
        keyed("two\nlines") => "INVALID_FIELD", "idempotency_key";
        SubmitActionRequest { idempotency_ttl: span(1, 0), ..submit() } => "INVALID_FIELD", "idempotency_ttl";
        SubmitActionRequest { idempotency_ttl: span(0, 0), ..keyed("k") } => "INVALID_FIELD", "idempotency_ttl";
        SubmitActionRequest { idempotency_ttl: span(-1, 0), ..keyed("k") } => "INVALID_FIELD", "idempotency_ttl";
        SubmitActionRequest { idempotency_ttl: span(7 * 86_400 + 1, 0), ..keyed("k") }
            => "INVALID_FIELD", "idempotency_ttl";
        SubmitActionRequest { time_to_live: span(0, 0), ..submit() } => "INVALID_FIELD", "time_to_live";
        SubmitActionRequest { time_to_live: span(-1, 0), ..submit() } => "INVALID_FIELD", "time_to_live";
        SubmitActionRequest { time_to_live: span(long, 0), ..submit() } => "INVALID_FIELD", "time_to_live";
        SubmitActionRequest { budget: span(0, 0), ..submit() } => "INVALID_FIELD", "budget";
        SubmitActionRequest { budget: span(long, 0), ..submit() } => "INVALID_FIELD", "budget";
        retry(RetryPolicy { max_attempts: 101, ..Default::default() }) => "INVALID_FIELD", "max_attempts";
        retry(RetryPolicy { base: span(0, 0), ..Default::default() }) => "INVALID_FIELD", "base";
        retry(RetryPolicy { cap: span(-1, 0), ..Default::default() }) => "INVALID_FIELD", "cap";
        retry(RetryPolicy { base: span(2, 0), cap: span(1, 0), ..Default::default() }) => "INVALID_FIELD", "cap";
    );
}
