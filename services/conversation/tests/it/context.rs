//! What an agent is told of the past.

use action::Tier;
use proto::conversation::v1 as wire;

use crate::{Fixture, acme, ask, caller, contents, open, task, turn};

#[tokio::test]
async fn a_new_conversation_is_empty_and_the_same_every_time() {
    let fixture = Fixture::new().await;
    let of = |session: &str, agent: &str| wire::GetContextRequest { session_id: session.into(), ..ask("", agent) };
    let first = fixture.context(&acme(), of("session-1", "agent-1")).await.unwrap();
    assert_eq!((first.messages.len(), first.saved_turn.is_none()), (0, true));
    assert_eq!(fixture.context(&acme(), of("session-1", "agent-1")).await.unwrap(), first);
    let others = [
        fixture.context(&acme(), of("session-2", "agent-1")).await.unwrap(),
        fixture.context(&acme(), of("session-1", "agent-2")).await.unwrap(),
        fixture.context(&caller("other", Tier::Enterprise), of("session-1", "agent-1")).await.unwrap(),
    ];
    assert!(others.iter().all(|other| other.conversation_id != first.conversation_id));
}

#[tokio::test]
async fn the_last_messages_come_oldest_first() {
    let fixture = Fixture::new().await;
    for number in 1..=4 {
        fixture.save(&acme(), turn("conversation-1", "agent-1", number)).await.unwrap();
    }
    let request = wire::GetContextRequest { limit: 4, ..ask("conversation-1", "agent-1") };
    let context = fixture.context(&acme(), request).await.unwrap();
    assert_eq!(context.conversation_id, "conversation-1");
    assert_eq!(contents(&context.messages), ["question 3", "answer 3", "question 4", "answer 4"]);
    let roles: Vec<_> = context.messages.iter().map(|message| message.role.as_str()).collect();
    assert_eq!(roles, ["user", "assistant", "user", "assistant"]);
    let answer = &context.messages[3];
    assert_eq!((answer.agent_id.as_str(), answer.model_used.as_str(), answer.tokens), ("agent-1", "extractive", 2));
    assert_eq!(answer.task_id, task(4));
    assert!(answer.created_at.is_some());
}

#[tokio::test]
async fn the_tier_bounds_how_many() {
    let fixture = Fixture::new().await;
    for number in 1..=30 {
        fixture.save(&acme(), turn("conversation-1", "agent-1", number)).await.unwrap();
    }
    for (tier, bound) in [(Tier::Free, 5), (Tier::Advance, 15), (Tier::Professional, 30), (Tier::Enterprise, 50)] {
        for (limit, expected) in [(0, bound), (3, 3), (1000, bound)] {
            let request = wire::GetContextRequest { limit, ..ask("conversation-1", "agent-1") };
            let context = fixture.context(&caller("acme", tier), request).await.unwrap();
            assert_eq!(context.messages.len(), expected, "{tier} asks for {limit}");
        }
    }
}

#[tokio::test]
async fn a_task_that_comes_back_finds_what_it_saved() {
    let fixture = Fixture::new().await;
    fixture.save(&acme(), turn("conversation-1", "agent-1", 1)).await.unwrap();
    fixture.save(&acme(), turn("conversation-1", "agent-1", 2)).await.unwrap();
    let request = wire::GetContextRequest { task_id: task(2), ..ask("conversation-1", "agent-1") };
    let context = fixture.context(&acme(), request).await.unwrap();
    // The past is that of the first attempt.
    assert_eq!(contents(&context.messages), ["question 1", "answer 1"]);
    let saved = context.saved_turn.unwrap();
    assert_eq!((saved.task_id, saved.result), (task(2), vec![0, 159, 2]));
    assert_eq!(
        (saved.user.unwrap().content, saved.assistant.unwrap().content),
        ("question 2".into(), "answer 2".into())
    );

    let request = wire::GetContextRequest { task_id: task(3), ..ask("conversation-1", "agent-1") };
    assert_eq!(fixture.context(&acme(), request).await.unwrap().saved_turn, None);
}

#[tokio::test]
async fn neither_another_tenant_nor_another_agent_reads_the_conversation() {
    let fixture = Fixture::new().await;
    let other = caller("other", Tier::Enterprise);
    fixture.save(&acme(), turn("conversation-1", "agent-1", 1)).await.unwrap();
    for (caller, agent) in [(&other, "agent-1"), (&acme(), "agent-2")] {
        let request = wire::GetContextRequest { task_id: task(1), ..ask("conversation-1", agent) };
        let context = fixture.context(caller, request).await.unwrap();
        assert_eq!((context.messages.len(), context.saved_turn.is_none()), (0, true));
    }
    // Each may use the same names for its own.
    fixture.save(&other, turn("conversation-1", "agent-1", 1)).await.unwrap();
    fixture.save(&acme(), turn("conversation-1", "agent-2", 2)).await.unwrap();
    for (caller, agent, expected) in [
        (&acme(), "agent-1", ["question 1", "answer 1"]),
        (&other, "agent-1", ["question 1", "answer 1"]),
        (&acme(), "agent-2", ["question 2", "answer 2"]),
    ] {
        let context = fixture.context(caller, ask("conversation-1", agent)).await.unwrap();
        assert_eq!(contents(&context.messages), expected);
    }
}

#[tokio::test]
async fn a_restart_finds_everything_again() {
    let fixture = Fixture::new().await;
    fixture.save(&acme(), turn("conversation-1", "agent-1", 1)).await.unwrap();
    let before = fixture.context(&acme(), ask("conversation-1", "agent-1")).await.unwrap();
    let Fixture { folder, grpc } = fixture;
    drop(grpc);
    let again = Fixture { grpc: open(folder.path()).await, folder };
    assert_eq!(again.context(&acme(), ask("conversation-1", "agent-1")).await.unwrap(), before);
    assert!(again.save(&acme(), turn("conversation-1", "agent-1", 1)).await.unwrap());
}
