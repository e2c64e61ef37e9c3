//! Agents: what may be made, and by which tier.

use futures::future::join_all;
use management::Grpc;
use proto::action::v1::Tier;
use proto::management::v1 as wire;
use proto::management::v1::management_service_server::ManagementService as _;
use service_kit::Caller;

use crate::{Fixture, agent, because, by, read, refusal};

async fn list(grpc: &Grpc, tenant: &Caller, page_size: i32, token: &str) -> wire::ListAgentsResponse {
    let request = wire::ListAgentsRequest { page_size, page_token: token.into(), ..Default::default() };
    read(grpc.list_agents(by(tenant, request)).await).expect("the page is within bounds")
}

#[tokio::test]
async fn a_made_agent_is_returned_whole_and_with_its_defaults() {
    let fixture = Fixture::new().await;
    let acme = fixture.tenant("acme", Tier::Free).await;
    let made = fixture.create(&acme, agent("", " Customer Support ")).await.unwrap();
    let expected = wire::Agent {
        agent_id: made.agent_id.clone(),
        tenant_id: "acme".into(),
        name: "Customer Support".into(),
        slug: "customer-support".into(),
        r#type: wire::AgentType::Conversational.into(),
        temperature: Some(0.7),
        max_tokens: 2048,
        system_prompt: "You help.".into(),
        max_history_messages: 10,
        is_active: true,
        minimum_tier: Tier::Free.into(),
        version: 1,
        limits: Some(wire::AgentLimits::default()),
        prompt_bytes: 9,
        created_at: made.created_at,
        updated_at: made.created_at,
        ..Default::default()
    };
    assert!(made.created_at.is_some());
    assert_eq!(made, expected);
    assert_eq!(fixture.get(&acme, &made.agent_id).await.unwrap(), made);
}

#[tokio::test]
async fn every_bound_of_an_agent_is_kept_and_its_field_named() {
    let fixture = Fixture::new().await;
    let acme = fixture.tenant("acme", Tier::Enterprise).await;
    let with = |change: &dyn Fn(&mut wire::Agent)| {
        let mut agent = agent("", "A name");
        change(&mut agent);
        agent
    };
    let field = |name: &str| because("INVALID_FIELD", name);
    let refused = [
        (with(&|a| a.agent_id = "x".into()), field("agent.agent_id")),
        (with(&|a| a.agent_id = "no/slash".into()), field("agent.agent_id")),
        (with(&|a| a.name = "  ".into()), field("agent.name")),
        (with(&|a| a.name = "ñ".repeat(101)), field("agent.name")),
        (with(&|a| a.name = "two\nlines".into()), field("agent.name")),
        (with(&|a| a.description = "d".repeat(501)), field("agent.description")),
        (with(&|a| a.slug = "abcd".into()), field("agent.slug")),
        (with(&|a| a.slug = "Upper-case".into()), field("agent.slug")),
        (with(&|a| a.slug = "a".repeat(51)), field("agent.slug")),
        (with(&|a| a.model = "m".repeat(101)), field("agent.model")),
        (with(&|a| a.temperature = Some(-0.01)), field("agent.temperature")),
        (with(&|a| a.temperature = Some(1.01)), field("agent.temperature")),
        (with(&|a| a.temperature = Some(f64::NAN)), field("agent.temperature")),
        (with(&|a| a.max_tokens = 8193), field("agent.max_tokens")),
        (with(&|a| a.system_prompt.clear()), field("agent.system_prompt")),
        (with(&|a| a.system_prompt = "é".repeat(8001)), field("agent.system_prompt")),
        (with(&|a| a.system_prompt = "with a \0".into()), field("agent.system_prompt")),
        (with(&|a| a.max_history_messages = 51), field("agent.max_history_messages")),
        (with(&|a| a.r#type = 9), field("agent.type")),
        (with(&|a| a.minimum_tier = 9), field("agent.minimum_tier")),
        (with(&|a| a.collections = vec!["x".into()]), field("agent.collections")),
        (with(&|a| a.r#type = wire::AgentType::Rag.into()), field("agent.collections")),
        (with(&|a| a.collections = vec!["nowhere".into()]), because("COLLECTION_NOT_FOUND", "agent.collections")),
        (with(&|a| a.r#type = wire::AgentType::Workflow.into()), because("CONTEXT_TYPE_UNAVAILABLE", "agent.type")),
    ];
    for (agent, expected) in refused {
        assert_eq!(refusal(fixture.create(&acme, agent).await), expected);
    }
    assert_eq!(list(&fixture.grpc, &acme, 0, "").await.agents, []);
}

#[tokio::test]
async fn the_ends_of_every_range_are_allowed() {
    let fixture = Fixture::new().await;
    let acme = fixture.tenant("acme", Tier::Enterprise).await;
    for (count, temperature) in [(1, 0.0), (50, 1.0)] {
        let made = fixture
            .create(
                &acme,
                wire::Agent {
                    name: "n".repeat(count * 2),
                    description: "line\n\tline".into(),
                    slug: "a".repeat(count.max(5)),
                    temperature: Some(temperature),
                    max_tokens: if count == 1 { 1 } else { 8192 },
                    system_prompt: "é".repeat(count * 160),
                    max_history_messages: u32::try_from(count).unwrap(),
                    minimum_tier: Tier::Enterprise.into(),
                    ..Default::default()
                },
            )
            .await
            .unwrap();
        assert_eq!((made.temperature(), made.max_history_messages as usize), (temperature, count));
    }
}

#[tokio::test]
async fn a_tier_allows_its_number_of_agents() {
    let fixture = Fixture::new().await;
    for (tier, name, limit) in [(Tier::Free, "free", 1), (Tier::Advance, "advance", 3), (Tier::Professional, "pro", 10)]
    {
        let tenant = fixture.tenant(name, tier).await;
        for _ in 0..limit {
            fixture.create(&tenant, agent("", "One")).await.unwrap();
        }
        let failure = fixture.create(&tenant, agent("", "More")).await.unwrap_err();
        assert_eq!((failure.reason().id, failure.field_name()), ("TIER_LIMIT_REACHED", Some("agent")));
        assert!(failure.metadata().contains(&("limit".into(), limit.to_string())));
    }
    let tenant = fixture.tenant("enterprise", Tier::Enterprise).await;
    for _ in 0..12 {
        fixture.create(&tenant, agent("", "One")).await.unwrap();
    }
}

#[tokio::test]
async fn agents_made_at_once_do_not_exceed_the_limit() {
    let fixture = Fixture::new().await;
    let acme = fixture.tenant("acme", Tier::Advance).await;
    // Another process on the same files.
    let other = crate::open(fixture.folder.path()).await;
    let calls = (0..20).map(|number| {
        let (grpc, tenant) = (if number % 2 == 0 { &fixture.grpc } else { &other }, &acme);
        let request = wire::CreateAgentRequest { agent: Some(agent("", "One")), ..Default::default() };
        grpc.create_agent(by(tenant, request))
    });
    let made = join_all(calls).await.into_iter().flatten().count();
    assert_eq!(made, 3);
    assert_eq!(list(&other, &acme, 0, "").await.agents.len(), 3);
}

#[tokio::test]
async fn a_tier_allows_its_number_of_collections_and_each_counts_once() {
    let fixture = Fixture::new().await;
    let acme = fixture.tenant("acme", Tier::Free).await;
    for id in ["first", "second"] {
        fixture.collection(&acme, id).await;
    }
    let rag = |collections: &[&str]| wire::Agent {
        r#type: wire::AgentType::Rag.into(),
        collections: collections.iter().map(|&id| id.to_owned()).collect(),
        ..agent("docs-agent", "Docs")
    };
    let refused = fixture.create(&acme, rag(&["first", "second"])).await;
    assert_eq!(refusal(refused), because("TIER_LIMIT_REACHED", "agent.collections"));
    let made = fixture.create(&acme, rag(&["second", "second"])).await.unwrap();
    assert_eq!(made.collections, ["second"]);
    let refused = fixture.update(&acme, rag(&["first", "second"]), &["collections"]).await;
    assert_eq!(refusal(refused), because("TIER_LIMIT_REACHED", "agent.collections"));
    let changed = fixture.update(&acme, rag(&["first"]), &["collections"]).await.unwrap();
    assert_eq!(changed.collections, ["first"]);
}

#[tokio::test]
async fn collections_keep_the_order_in_which_they_were_given() {
    let fixture = Fixture::new().await;
    let acme = fixture.tenant("acme", Tier::Enterprise).await;
    let mut ids: Vec<_> = (0..12).map(|number| format!("collection-{number}")).collect();
    for id in &ids {
        fixture.collection(&acme, id).await;
    }
    ids.rotate_left(5);
    let made = fixture.create(&acme, wire::Agent { collections: ids.clone(), ..agent("", "Docs") }).await.unwrap();
    assert_eq!(made.collections, ids);
    assert_eq!(list(&fixture.grpc, &acme, 0, "").await.agents, [made]);
}

#[tokio::test]
async fn ids_and_slugs_are_taken_once_within_the_tenant() {
    let fixture = Fixture::new().await;
    let (acme, other) = (fixture.tenant("acme", Tier::Advance).await, fixture.tenant("other", Tier::Free).await);
    let first = wire::Agent { slug: "the-slug".into(), ..agent("agent-1", "One") };
    fixture.create(&acme, first.clone()).await.unwrap();
    assert_eq!(refusal(fixture.create(&acme, first.clone()).await), because("ALREADY_EXISTS", "agent.agent_id"));
    let second = wire::Agent { agent_id: "agent-2".into(), ..first.clone() };
    assert_eq!(refusal(fixture.create(&acme, second).await), because("ALREADY_EXISTS", "agent.slug"));
    fixture.create(&other, first.clone()).await.unwrap();
    // Of a full tier as well: who makes an agent again learns that it is there.
    assert_eq!(refusal(fixture.create(&other, first).await), because("ALREADY_EXISTS", "agent.agent_id"));
}

#[tokio::test]
async fn slugs_made_from_the_same_name_are_numbered() {
    let fixture = Fixture::new().await;
    let acme = fixture.tenant("acme", Tier::Enterprise).await;
    let mut slugs = Vec::new();
    for _ in 0..3 {
        slugs.push(fixture.create(&acme, agent("", "Atención")).await.unwrap().slug);
    }
    assert_eq!(slugs, ["atencion", "atencion-2", "atencion-3"]);
}

#[tokio::test]
async fn an_update_changes_the_named_fields_only_and_counts() {
    let fixture = Fixture::new().await;
    let acme = fixture.tenant("acme", Tier::Free).await;
    let made = fixture.create(&acme, agent("agent-1", "One")).await.unwrap();
    let change =
        wire::Agent { temperature: Some(0.5), name: "Two".into(), is_active: false, ..agent("agent-1", "Two") };
    let changed = fixture.update(&acme, change.clone(), &["temperature", "is_active"]).await.unwrap();
    let expected = wire::Agent {
        temperature: Some(0.5),
        is_active: false,
        version: 2,
        updated_at: changed.updated_at,
        ..made.clone()
    };
    assert_eq!(changed, expected);
    let zero = wire::Agent { temperature: Some(0.0), ..change };
    assert_eq!(fixture.update(&acme, zero, &["temperature", "name"]).await.unwrap().version, 3);
    let now = fixture.get(&acme, "agent-1").await.unwrap();
    assert_eq!((now.temperature(), now.name.as_str(), now.slug.as_str()), (0.0, "Two", made.slug.as_str()));
}

#[tokio::test]
async fn an_update_that_is_not_valid_changes_nothing() {
    let fixture = Fixture::new().await;
    let acme = fixture.tenant("acme", Tier::Free).await;
    let made = fixture.create(&acme, agent("agent-1", "One")).await.unwrap();
    let wrong = wire::Agent { max_tokens: 9000, r#type: wire::AgentType::Rag.into(), ..agent("agent-1", "") };
    for (fields, expected) in [
        (&["max_tokens"][..], "agent.max_tokens"),
        (&["name"], "agent.name"),
        // Whole: a rag agent needs a collection, which this one does not have.
        (&["type"], "agent.collections"),
        (&["temperature", "colour"], "fields"),
        (&["agent_id"], "fields"),
        (&["version"], "fields"),
        (&[], "fields"),
    ] {
        assert_eq!(refusal(fixture.update(&acme, wrong.clone(), fields).await), because("INVALID_FIELD", expected));
    }
    let failure = fixture.update(&acme, wrong, &["colour"]).await.unwrap_err();
    assert!(failure.detail().contains("`colour`"), "{failure}");
    let unknown = fixture.update(&acme, agent("nobody", "One"), &["name"]).await;
    assert_eq!(refusal(unknown), because("AGENT_NOT_FOUND", "agent.agent_id"));
    assert_eq!(fixture.get(&acme, "agent-1").await.unwrap(), made);
}

#[tokio::test]
async fn a_list_has_pages_and_ends() {
    let fixture = Fixture::new().await;
    let acme = fixture.tenant("acme", Tier::Enterprise).await;
    for number in 10..15 {
        fixture.create(&acme, agent(&format!("agent-{number}"), "One")).await.unwrap();
    }
    let (mut ids, mut token) = (Vec::new(), String::new());
    loop {
        let page = list(&fixture.grpc, &acme, 2, &token).await;
        ids.extend(page.agents.into_iter().map(|agent| agent.agent_id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(ids, ["agent-10", "agent-11", "agent-12", "agent-13", "agent-14"]);
    for (page_size, page_token, field) in [(-1, "", "page_size"), (0, "nonsense", "page_token")] {
        let request = wire::ListAgentsRequest { page_size, page_token: page_token.into(), ..Default::default() };
        let refused = read(fixture.grpc.list_agents(by(&acme, request)).await);
        assert_eq!(refusal(refused), because("INVALID_FIELD", field));
    }
}

#[tokio::test]
async fn a_deleted_agent_is_gone_and_makes_room() {
    let fixture = Fixture::new().await;
    let acme = fixture.tenant("acme", Tier::Free).await;
    fixture.collection(&acme, "docs").await;
    let rag = wire::Agent { collections: vec!["docs".into()], ..agent("agent-1", "One") };
    fixture.create(&acme, rag.clone()).await.unwrap();
    let delete = || {
        let request = wire::DeleteAgentRequest { agent_id: "agent-1".into(), ..Default::default() };
        fixture.grpc.delete_agent(by(&acme, request))
    };
    read(delete().await).unwrap();
    assert_eq!(refusal(read(delete().await)), because("AGENT_NOT_FOUND", "agent_id"));
    assert_eq!(refusal(fixture.get(&acme, "agent-1").await), because("AGENT_NOT_FOUND", "agent_id"));
    fixture.create(&acme, rag).await.unwrap();
}
