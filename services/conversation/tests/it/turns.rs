//! Saving, once.

use action::Tier;
use futures::future::join_all;
use proto::conversation::v1 as wire;
use proto::conversation::v1::conversation_service_server::ConversationService as _;
use sqlx::Connection as _;

use crate::{Fixture, acme, ask, by, caller, contents, inside, open, read, task, turn};

#[tokio::test]
async fn saving_a_task_again_changes_nothing_and_says_so() {
    let fixture = Fixture::new().await;
    assert!(!fixture.save(&acme(), turn("conversation-1", "agent-1", 1)).await.unwrap());
    let before = fixture.context(&acme(), ask("conversation-1", "agent-1")).await.unwrap();
    let mut other = turn("conversation-1", "agent-1", 1);
    other.turn.as_mut().unwrap().assistant.as_mut().unwrap().content = "another answer".into();
    other.turn.as_mut().unwrap().result = vec![9];
    assert!(fixture.save(&acme(), other).await.unwrap());
    // Not even somewhere else.
    let elsewhere = wire::SaveTurnRequest { turn_number: 7, ..turn("conversation-2", "agent-2", 1) };
    assert!(fixture.save(&acme(), elsewhere).await.unwrap());
    assert_eq!(fixture.context(&acme(), ask("conversation-1", "agent-1")).await.unwrap(), before);
    assert_eq!(fixture.context(&acme(), ask("conversation-2", "agent-2")).await.unwrap().messages, []);
}

#[tokio::test]
async fn of_many_who_save_the_same_task_at_once_one_does() {
    let fixture = Fixture::new().await;
    // Another process on the same file.
    let other = open(fixture.folder.path()).await;
    let saves = (0..12).map(|number| {
        let grpc = if number % 2 == 0 { &fixture.grpc } else { &other };
        grpc.save_turn(by(&inside(&acme()), turn("conversation-1", "agent-1", 1)))
    });
    let answers: Vec<_> = join_all(saves).await.into_iter().map(|answer| read(answer).unwrap()).collect();
    assert_eq!(answers.iter().filter(|answer| !answer.saved_before).count(), 1);
    assert_eq!(fixture.context(&acme(), ask("conversation-1", "agent-1")).await.unwrap().messages.len(), 2);
}

#[tokio::test]
async fn message_ids_follow_from_the_task() {
    let ids = async || {
        let fixture = Fixture::new().await;
        fixture.save(&acme(), turn("conversation-1", "agent-1", 1)).await.unwrap();
        let messages = fixture.context(&acme(), ask("conversation-1", "agent-1")).await.unwrap().messages;
        messages.into_iter().map(|message| message.message_id).collect::<Vec<_>>()
    };
    let first = ids().await;
    assert_eq!(first, ids().await);
    assert_ne!(first[0], first[1]);
}

#[tokio::test]
async fn turns_are_ordered_by_their_number_not_by_who_was_ready_first() {
    let fixture = Fixture::new().await;
    for number in [3, 1, 2] {
        fixture.save(&acme(), turn("conversation-1", "agent-1", number)).await.unwrap();
    }
    let context = fixture.context(&acme(), ask("conversation-1", "agent-1")).await.unwrap();
    let expected = ["question 1", "answer 1", "question 2", "answer 2", "question 3", "answer 3"];
    assert_eq!(contents(&context.messages), expected);
}

#[tokio::test]
async fn turns_without_a_number_come_after_those_that_are_there() {
    let fixture = Fixture::new().await;
    let unnumbered = |number| wire::SaveTurnRequest { turn_number: 0, ..turn("conversation-1", "agent-1", number) };
    fixture.save(&acme(), turn("conversation-1", "agent-1", 5)).await.unwrap();
    for number in [9, 1] {
        fixture.save(&acme(), unnumbered(number)).await.unwrap();
    }
    let context = fixture.context(&acme(), ask("conversation-1", "agent-1")).await.unwrap();
    let expected = ["question 5", "answer 5", "question 9", "answer 9", "question 1", "answer 1"];
    assert_eq!(contents(&context.messages), expected);
    assert_eq!(context.messages[5].task_id, task(1));
}

#[tokio::test]
async fn only_a_service_of_the_mesh_saves_a_turn() {
    let fixture = Fixture::new().await;
    let request = by(&acme(), turn("conversation-1", "agent-1", 1));
    let refused = read(fixture.grpc.save_turn(request).await).unwrap_err();
    assert_eq!(refused.reason().id, "SCOPE_REQUIRED");
}

/// A turn with neither a conversation nor a session.
fn loose(number: u32) -> wire::SaveTurnRequest {
    wire::SaveTurnRequest { session_id: String::new(), ..turn("", "agent-1", number) }
}

fn ask_of(task_id: String) -> wire::GetContextRequest {
    wire::GetContextRequest { task_id, ..ask("", "agent-1") }
}

#[tokio::test]
async fn a_turn_of_no_conversation_is_not_for_who_comes_from_outside() {
    let fixture = Fixture::new().await;
    fixture.save(&acme(), loose(1)).await.unwrap();
    assert!(fixture.context(&inside(&acme()), ask_of(task(1))).await.unwrap().saved_turn.is_some());
    assert_eq!(fixture.context(&acme(), ask_of(task(1))).await.unwrap(), wire::GetContextResponse::default());
}

#[tokio::test]
async fn a_turn_of_no_conversation_is_given_to_its_task_alone() {
    let fixture = Fixture::new().await;
    assert!(!fixture.save(&acme(), loose(1)).await.unwrap());
    let mut other = loose(1);
    other.turn.as_mut().unwrap().result = vec![9];
    assert!(fixture.save(&acme(), other).await.unwrap(), "the first one stands");
    let own = inside(&acme());
    let context = fixture.context(&own, ask_of(task(1))).await.unwrap();
    let saved = context.saved_turn.expect("the turn");
    assert_eq!((saved.result, saved.assistant.unwrap().content.as_str()), (vec![0, 159, 1], "answer 1"));
    assert_eq!((context.messages, context.conversation_id.as_str()), (vec![], ""));
    assert_eq!(fixture.context(&own, ask_of(task(2))).await.unwrap().saved_turn, None);
    let other = inside(&caller("other", Tier::Enterprise));
    assert_eq!(fixture.context(&other, ask_of(task(1))).await.unwrap().saved_turn, None, "it is another tenant's");
}

#[tokio::test]
async fn a_turn_of_no_conversation_is_gone_after_an_hour() {
    let fixture = Fixture::new().await;
    fixture.save(&acme(), loose(1)).await.unwrap();
    let path = fixture.folder.path().join("sql/conversation.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut database = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("UPDATE loose_turns SET created_at = created_at - 3600001").execute(&mut database).await.unwrap();
    fixture.save(&caller("other", Tier::Free), loose(2)).await.unwrap();
    let left: Vec<String> =
        sqlx::query_scalar("SELECT tenant_id FROM loose_turns").fetch_all(&mut database).await.unwrap();
    assert_eq!(left, ["other"], "whoever saves the next one forgets it");
    for table in ["conversations", "turns", "messages"] {
        let count = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        let count: i64 = sqlx::query_scalar(count).fetch_one(&mut database).await.unwrap();
        assert_eq!(count, 0, "{table}");
    }
}
