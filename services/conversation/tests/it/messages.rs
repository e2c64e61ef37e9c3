//! Showing a history.

use std::collections::BTreeSet;

use action::Tier;
use proto::conversation::v1 as wire;
use service_kit::Caller;

use crate::{Fixture, acme, ask, caller, contents, inside, turn};

fn list(conversation: &str) -> wire::ListMessagesRequest {
    wire::ListMessagesRequest { conversation_id: conversation.into(), ..Default::default() }
}

#[tokio::test]
async fn a_history_has_pages_and_ends() {
    let fixture = Fixture::new().await;
    for number in 1..=3 {
        fixture.save(&acme(), turn("conversation-1", "agent-1", number)).await.unwrap();
    }
    let (mut shown, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = wire::ListMessagesRequest { page_size: 4, page_token, ..list("conversation-1") };
        let page = fixture.list(&acme(), request).await.unwrap();
        assert_eq!(page.conversation_id, "conversation-1");
        shown.extend(page.messages);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let expected = ["question 1", "answer 1", "question 2", "answer 2", "question 3", "answer 3"];
    assert_eq!(contents(&shown), expected);
}

#[tokio::test]
async fn the_sessions_own_conversation_needs_no_name() {
    let fixture = Fixture::new().await;
    let request = wire::GetContextRequest { session_id: "session-1".into(), ..ask("", "agent-1") };
    let conversation = fixture.context(&acme(), request).await.unwrap().conversation_id;
    fixture.save(&acme(), turn(&conversation, "agent-1", 1)).await.unwrap();
    let own =
        wire::ListMessagesRequest { session_id: "session-1".into(), agent_id: "agent-1".into(), ..Default::default() };
    let page = fixture.list(&acme(), own).await.unwrap();
    assert_eq!((page.conversation_id, contents(&page.messages)), (conversation, vec!["question 1", "answer 1"]));
}

#[tokio::test]
async fn another_tenants_conversation_is_one_that_nobody_has_begun() {
    let fixture = Fixture::new().await;
    fixture.save(&acme(), turn("conversation-1", "agent-1", 1)).await.unwrap();
    let other = caller("other", Tier::Enterprise);
    let foreign = fixture.list(&other, list("conversation-1")).await.unwrap();
    let unknown = fixture.list(&other, list("conversation-9")).await.unwrap();
    assert_eq!((foreign.messages.len(), unknown.messages.len()), (0, 0));
}

#[tokio::test]
async fn who_is_limited_to_an_agent_reads_what_it_said_and_nothing_of_others() {
    let fixture = Fixture::new().await;
    for (agent, number) in [("agent-1", 1), ("agent-2", 2), ("agent-1", 3)] {
        fixture.save(&acme(), turn("conversation-1", agent, number)).await.unwrap();
    }
    let limited = Caller { agents: Some(BTreeSet::from(["agent-2".parse().unwrap()])), ..acme() };
    let page = fixture.list(&limited, list("conversation-1")).await.unwrap();
    assert_eq!(contents(&page.messages), ["question 2", "answer 2"]);
    let named = wire::ListMessagesRequest { agent_id: "agent-1".into(), ..list("conversation-1") };
    assert_eq!(fixture.list(&limited, named).await.unwrap_err().reason().id, "ACCESS_DENIED");
    let context = fixture.context(&limited, ask("conversation-1", "agent-1")).await.unwrap_err();
    assert_eq!(context.reason().id, "ACCESS_DENIED");
}

#[tokio::test]
async fn what_another_person_began_is_not_for_one_who_is_known_and_what_nobody_in_particular_began_is() {
    let fixture = Fixture::new().await;
    for (number, conversation, user) in [(1, "of-ana", "ana"), (2, "of-ben", "ben"), (3, "of-nobody", "")] {
        let begun = wire::SaveTurnRequest { user_id: user.into(), ..turn(conversation, "agent-1", number) };
        assert!(!fixture.save(&acme(), begun).await.unwrap(), "{conversation} is new");
    }
    let ana = Caller { user: Some("ana".parse().unwrap()), ..acme() };
    for (conversation, messages) in [("of-ana", 2), ("of-ben", 0), ("of-nobody", 2)] {
        let page = fixture.list(&ana, list(conversation)).await.unwrap();
        assert_eq!(page.messages.len(), messages, "{conversation}");
        let context = fixture.context(&ana, ask(conversation, "agent-1")).await.unwrap();
        assert_eq!(context.messages.len(), messages, "{conversation}");
        let by_service = fixture.context(&inside(&ana), ask(conversation, "agent-1")).await.unwrap();
        assert_eq!(by_service.messages.len(), 2, "{conversation}");
    }
}

#[tokio::test]
async fn a_history_is_one_agents_where_one_is_named() {
    let fixture = Fixture::new().await;
    fixture.save(&acme(), turn("conversation-1", "agent-1", 1)).await.unwrap();
    fixture.save(&acme(), turn("conversation-1", "agent-2", 2)).await.unwrap();
    let one = wire::ListMessagesRequest { agent_id: "agent-2".into(), ..list("conversation-1") };
    assert_eq!(contents(&fixture.list(&acme(), one).await.unwrap().messages), ["question 2", "answer 2"]);
    assert_eq!(fixture.list(&acme(), list("conversation-1")).await.unwrap().messages.len(), 4);
}

#[tokio::test]
async fn a_long_history_is_cut_into_pages_of_200() {
    let fixture = Fixture::new().await;
    for number in 1..=101 {
        fixture.save(&acme(), turn("conversation-1", "agent-1", number)).await.unwrap();
    }
    for (page_size, expected) in [(0, 50), (1000, 200)] {
        let request = wire::ListMessagesRequest { page_size, ..list("conversation-1") };
        let page = fixture.list(&acme(), request).await.unwrap();
        assert_eq!((page.messages.len(), page.next_page_token.is_empty()), (expected, false));
    }
}
