use std::collections::HashSet;

use proptest::prelude::*;
use proto::query::v1::{IndexChunks, SearchPassages};

use crate::{Action, ContextId, ContextType, Domain, Error, ExecutionContext, QueueName, TenantId, Tier, catalogue};

fn tenant() -> TenantId {
    "tenant-123".parse().expect("a well-formed id")
}

fn search() -> Action {
    let context = ExecutionContext::collection("guide".parse().expect("a well-formed id"));
    let payload = SearchPassages { query: "where?".into(), collection_ids: vec!["guide".into()], ..Default::default() };
    Action::root(tenant(), Tier::Professional, context, &payload)
}

#[test]
fn the_missions_examples_are_queue_names() {
    for name in [
        "execution:agent-123:professional",
        "embedding:agent-456:enterprise",
        "query:workflow-789:free",
        "orchestrator:tenant-123:callbacks",
    ] {
        assert_eq!(name.parse::<QueueName>().expect(name).to_string(), name);
    }
}

#[test]
fn dotted_names_of_the_predecessor_are_aliases() {
    let name: QueueName = "orchestrator.tenant123.callbacks".parse().expect("an alias");
    assert_eq!(name.to_string(), "orchestrator:tenant123:callbacks");
}

#[test]
fn names_with_a_wrong_domain_tier_or_shape_are_refused() {
    for name in [
        "",
        "execution",
        "execution:agent-123",
        "kitchen:agent-123:free",
        "execution:agent-123:gold",
        "execution:agent-123:free:more",
        "execution:123:free",
        "orchestrator:a b:callbacks",
    ] {
        assert!(name.parse::<QueueName>().is_err(), "{name} must be refused");
    }
}

#[test]
fn a_context_id_is_never_prefixed_twice() {
    assert_eq!(ContextId::new(ContextType::Agent, "ventas").as_str(), "agent-ventas");
    assert_eq!(ContextId::new(ContextType::Agent, "agent-ventas").as_str(), "agent-ventas");
    assert_eq!(ContextId::new(ContextType::Agent, "agentic").as_str(), "agent-agentic");
}

#[test]
fn an_action_survives_its_protobuf_form() {
    let mut sent = search();
    sent.context.created_at = crate::time::from_proto(crate::time::to_proto(sent.context.created_at));
    assert_eq!(Action::from_proto(sent.to_proto()).expect("a whole action"), sent);
}

#[test]
fn an_action_of_unknown_type_is_refused() {
    let mut wire = search().to_proto();
    wire.action_type = "query.dance".into();
    assert!(matches!(Action::from_proto(wire), Err(Error::UnknownActionType(_))));
}

#[test]
fn a_payload_that_the_catalogue_does_not_list_is_refused() {
    let mut wire = search().to_proto();
    wire.action_type = "query.index".into();
    assert!(matches!(Action::from_proto(wire), Err(Error::PayloadMismatch { .. })));
    assert!(matches!(search().payload::<IndexChunks>(), Err(Error::PayloadMismatch { .. })));
}

#[test]
fn every_type_of_the_catalogue_is_its_own_canonical_spelling_and_names_its_domain() {
    let mut names = HashSet::new();
    for entry in catalogue::entries() {
        let name = entry.kind.as_str();
        assert!(names.insert(name), "{name} stands twice");
        assert_eq!(catalogue::canonical(name), name);
        assert_eq!(name.split('.').count(), 2);
        assert!(name.starts_with(entry.kind.domain().as_str()));
    }
}

#[test]
fn waiting_never_goes_in_a_circle() {
    for one in Domain::ALL {
        for other in Domain::ALL {
            assert!(!(one.may_await(other) && other.may_await(one)), "{one} and {other} could await each other");
        }
    }
    assert!(Domain::Execution.may_await(Domain::Query) && Domain::Query.may_await(Domain::Embedding));
}

#[test]
fn a_child_belongs_to_its_parents_task_and_carries_its_fence() {
    let mut parent = search();
    parent.delivery = Some(crate::Delivery {
        queue: parent.queue().expect("a queue"),
        enqueued_at: std::time::UNIX_EPOCH,
        claimed_at: std::time::UNIX_EPOCH,
        attempt: 2,
        fence: 77,
        remaining: std::time::Duration::from_secs(1),
    });
    let child = parent.child(parent.context.clone(), &proto::embedding::v1::GenerateEmbeddings::default());
    assert!(parent.is_root() && !child.is_root());
    assert_eq!((child.task, child.fence(), child.attempt()), (parent.task, 77, 2));
    assert_eq!(child.queue().expect("a queue").to_string(), "embedding:collection-guide:professional");
}

proptest! {
    #[test]
    fn a_queue_name_reads_back_as_it_was_written(id in "[A-Za-z0-9_-]{3,40}", domain in 0..8usize, tier in 0..4usize) {
        let context = ContextId::new(ContextType::Agent, &id);
        prop_assume!(id != "callbacks");
        let name = QueueName::actions(Domain::ALL[domain], context, Tier::ALL[tier]);
        prop_assert_eq!(name.to_string().parse::<QueueName>().unwrap(), name);
    }

    #[test]
    fn parsing_a_queue_name_never_panics(text in ".{0,60}") {
        let _ = text.parse::<QueueName>();
    }
}
