//! Showing a history.

use action::Tier;
use proto::conversation::v1 as wire;

use crate::{Fixture, acme, ask, caller, contents, turn};

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
