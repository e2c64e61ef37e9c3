//! What is refused.

use prost::Message as _;
use proto::conversation::v1 as wire;
use proto::conversation::v1::conversation_service_server::ConversationService as _;
use service_kit::{Caller, Scope, Scopes, Tenant};
use tonic::Request;

use crate::{Fixture, acme, ask, by, read, refusal, turn};

const LARGE: usize = 256 * 1024;

#[tokio::test]
async fn every_bound_of_a_turn_is_kept_and_its_field_named() {
    let fixture = Fixture::new().await;
    let with = |change: &dyn Fn(&mut wire::SaveTurnRequest, &mut wire::SavedTurn)| {
        let mut request = turn("conversation-1", "agent-1", 1);
        let mut saved = request.turn.take().unwrap();
        change(&mut request, &mut saved);
        wire::SaveTurnRequest { turn: Some(saved), ..request }
    };
    let message =
        |role: &str, content: String| Some(wire::Message { role: role.into(), content, ..Default::default() });
    for (request, field) in [
        (with(&|r, _| r.conversation_id.clear()), "conversation_id"),
        (with(&|r, _| r.conversation_id = "x".into()), "conversation_id"),
        (with(&|r, _| r.agent_id.clear()), "agent_id"),
        (with(&|r, _| r.agent_id = "a b c".into()), "agent_id"),
        (with(&|r, _| r.session_id = "x".into()), "session_id"),
        (with(&|r, _| r.user_id = "x".into()), "user_id"),
        (with(&|r, _| r.turn_number = u64::MAX), "turn_number"),
        (with(&|_, t| t.task_id.clear()), "turn.task_id"),
        (with(&|_, t| t.task_id = "task-1".into()), "turn.task_id"),
        (with(&|_, t| t.user = None), "turn.user"),
        (with(&|_, t| t.assistant = None), "turn.assistant"),
        (with(&|_, t| t.user = message("user", String::new())), "turn.user.content"),
        (with(&|_, t| t.user = message("assistant", "x".into())), "turn.user.role"),
        (with(&|_, t| t.assistant = message("system", "x".into())), "turn.assistant.role"),
        (with(&|_, t| t.user = message("user", "x".repeat(LARGE + 1))), "turn.user.content"),
        (with(&|_, t| t.assistant = message("", "x".repeat(LARGE + 1))), "turn.assistant.content"),
        (with(&|_, t| t.result = vec![0; 2 * LARGE + 1]), "turn.result"),
    ] {
        assert_eq!(refusal(fixture.save(&acme(), request).await), ("INVALID_FIELD", field.to_owned()));
    }
    let missing = wire::SaveTurnRequest { turn: None, ..turn("conversation-1", "agent-1", 1) };
    assert_eq!(refusal(fixture.save(&acme(), missing).await), ("INVALID_FIELD", "turn".to_owned()));
    assert!(fixture.context(&acme(), ask("conversation-1", "agent-1")).await.unwrap().messages.is_empty());
}

#[tokio::test]
async fn the_largest_turn_is_saved_and_a_nul_does_not_lose_it() {
    let fixture = Fixture::new().await;
    let mut request = turn("conversation-1", "agent-1", 1);
    let saved = request.turn.as_mut().unwrap();
    saved.user.as_mut().unwrap().content = "x".repeat(LARGE);
    saved.assistant.as_mut().unwrap().content = "with a \0".into();
    saved.result = vec![7; 2 * LARGE];
    assert!(!fixture.save(&acme(), request).await.unwrap());
    let messages = fixture.context(&acme(), ask("conversation-1", "agent-1")).await.unwrap().messages;
    assert_eq!((messages[0].content.len(), messages[1].content.as_str()), (LARGE, "with a \u{fffd}"));
}

#[tokio::test]
async fn an_empty_answer_is_saved() {
    let fixture = Fixture::new().await;
    let mut request = turn("conversation-1", "agent-1", 1);
    request.turn.as_mut().unwrap().assistant.as_mut().unwrap().content.clear();
    assert!(!fixture.save(&acme(), request).await.unwrap());
}

#[tokio::test]
async fn a_question_for_a_context_names_what_is_wrong() {
    let fixture = Fixture::new().await;
    let base = || wire::GetContextRequest { session_id: "session-1".into(), ..ask("", "agent-1") };
    for (request, field) in [
        (wire::GetContextRequest { agent_id: String::new(), ..base() }, "agent_id"),
        (wire::GetContextRequest { agent_id: "x".into(), ..base() }, "agent_id"),
        (wire::GetContextRequest { session_id: String::new(), ..base() }, "session_id"),
        (wire::GetContextRequest { session_id: "x".into(), ..base() }, "session_id"),
        (wire::GetContextRequest { conversation_id: "x".into(), ..base() }, "conversation_id"),
        (wire::GetContextRequest { task_id: "x".into(), ..base() }, "task_id"),
    ] {
        assert_eq!(refusal(fixture.context(&acme(), request).await), ("INVALID_FIELD", field.to_owned()));
    }
}

#[tokio::test]
async fn a_question_for_a_list_names_what_is_wrong() {
    let fixture = Fixture::new().await;
    let base = || wire::ListMessagesRequest { conversation_id: "conversation-1".into(), ..Default::default() };
    for (request, field) in [
        (wire::ListMessagesRequest::default(), "agent_id"),
        (wire::ListMessagesRequest { agent_id: "agent-1".into(), ..Default::default() }, "session_id"),
        (wire::ListMessagesRequest { conversation_id: "x".into(), ..base() }, "conversation_id"),
        (wire::ListMessagesRequest { agent_id: "x".into(), ..base() }, "agent_id"),
        (wire::ListMessagesRequest { page_size: -1, ..base() }, "page_size"),
        (wire::ListMessagesRequest { page_token: "nonsense".into(), ..base() }, "page_token"),
    ] {
        assert_eq!(refusal(fixture.list(&acme(), request).await), ("INVALID_FIELD", field.to_owned()));
    }
}

#[tokio::test]
async fn only_a_tenant_that_is_active_is_served() {
    let fixture = Fixture::new().await;
    let nobody = read(fixture.grpc.list_messages(Request::new(wire::ListMessagesRequest::default())).await);
    assert_eq!(refusal(nobody).0, "CREDENTIAL_REQUIRED");
    let operator = Caller { scopes: Scopes::from([Scope::Admin]), ..Caller::default() };
    let suspended = Tenant { active: false, ..acme().tenant.unwrap() };
    let suspended = Caller { tenant: Some(suspended), ..acme() };
    for (caller, reason) in [(operator, "SCOPE_REQUIRED"), (suspended, "TENANT_INACTIVE")] {
        let save = turn("conversation-1", "agent-1", 1);
        let list = wire::ListMessagesRequest { conversation_id: "conversation-1".into(), ..Default::default() };
        assert_eq!(refusal(fixture.context(&caller, ask("conversation-1", "agent-1")).await).0, reason);
        assert_eq!(refusal(fixture.save(&caller, save).await).0, reason);
        assert_eq!(refusal(read(fixture.grpc.list_messages(by(&caller, list)).await)).0, reason);
    }
}

#[tokio::test]
async fn however_long_the_messages_are_their_pages_fit_into_an_answer_and_none_is_left_out() {
    let fixture = Fixture::new().await;
    for number in 1..=20 {
        let mut request = turn("conversation-1", "agent-1", number);
        let saved = request.turn.as_mut().unwrap();
        saved.assistant.as_mut().unwrap().content = format!("{}{number:>10}", " ".repeat(LARGE - 10));
        fixture.save(&acme(), request).await.unwrap();
    }
    let (mut shown, mut page_token) = (Vec::new(), String::new());
    loop {
        let request =
            wire::ListMessagesRequest { conversation_id: "conversation-1".into(), page_token, ..Default::default() };
        let page = fixture.list(&acme(), request).await.unwrap();
        assert!(page.encoded_len() < service_kit::MOST_MESSAGE, "{}", page.encoded_len());
        shown.extend(page.messages);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let numbers: Vec<u32> = shown.iter().skip(1).step_by(2).map(|said| said.content.trim().parse().unwrap()).collect();
    assert_eq!((shown.len(), numbers), (40, (1..=20).collect()));
    // An agent is told the latest of them.
    let context = fixture.context(&acme(), ask("conversation-1", "agent-1")).await.unwrap();
    assert!(context.encoded_len() < service_kit::MOST_MESSAGE, "{}", context.encoded_len());
    let last: Vec<&str> = context.messages.iter().map(|said| said.content.trim()).collect();
    assert_eq!((last.len(), last.last()), (14, Some(&"20")));
}
