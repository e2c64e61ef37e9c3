//! Agents answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use action::{Action, CollectionId, Domain, ExecutionContext, Status, Tier};
use models::{Error, Role};
use prost::Message as _;
use proto::action::v1::{Source, TokenUsage};
use proto::conversation::v1::{Message, SavedTurn};
use proto::execution::v1::AgentRunResult;
use proto::query::v1::{GenerateAnswer, GenerateAnswerResult};
use proto::task::v1::frame::Body;
use queue::{Completed, Work, Worker};
use tokio_util::sync::CancellationToken;

use crate::mesh::{Mesh, PATIENCE, answer, pieces, run_of, stages};
use crate::model::{Line, Script};

const HELLO: Line = Line::Say(&["Good ", "morning."]);

#[tokio::test]
async fn a_conversational_agent_answers_shows_its_pieces_and_saves_the_turn() {
    let model = Script::new([HELLO]);
    let mesh = Mesh::start(model.clone()).await;
    let action = run_of("talker", "hola", "sess-one");
    let task = mesh.run(action.clone()).await;

    let answer = answer(&task);
    assert_eq!(answer.response, "Good morning.");
    let agent = answer.agent_info.expect("who answered");
    assert_eq!(
        (agent.name.as_str(), agent.r#type.as_str(), agent.model_used.as_str()),
        ("Ventas", "conversational", "scripted")
    );
    assert_eq!(task.tokens_used, Some(TokenUsage { input: 7, output: 3, total: 10 }));
    assert_eq!(answer.iterations_used, 1);

    let shown = mesh.shown(&action).await;
    assert_eq!(pieces(&shown), "Good morning.", "every piece was written before the run was settled");
    assert_eq!(stages(&shown), ["answering"]);
    assert!(shown.iter().any(|body| matches!(body, Body::TypingIndicator(typing) if typing.agent_id == "talker")));

    let saved = mesh.conversations.saved.lock().expect("nobody panicked").clone();
    let [saved] = &saved[..] else { panic!("one turn, not {saved:?}") };
    let turn = saved.turn.as_ref().expect("a turn");
    assert_eq!((saved.conversation_id.as_str(), saved.turn_number), ("conv-sess-one", 1));
    let (user, said) = (turn.user.as_ref().expect("a message"), turn.assistant.as_ref().expect("a message"));
    assert_eq!((user.content.as_str(), said.content.as_str()), ("hola", "Good morning."));
    assert_ne!(user.message_id, said.message_id);
}

#[tokio::test]
async fn the_model_is_told_who_it_is_and_what_was_said_before() {
    let model = Script::new([HELLO]);
    let mesh = Mesh::start(model.clone()).await;
    for message in ["one", "two", "three"] {
        mesh.run(run_of("talker", message, "sess-long")).await;
    }
    let prompts = model.prompts.lock().expect("nobody panicked").clone();
    let last = prompts.last().expect("three prompts");
    assert_eq!((last.system.as_str(), last.question.as_str()), ("You sell tractors.", "three"));
    assert_eq!(last.max_tokens, 100);
    assert!(last.deadline.is_some() && last.passages.is_none());
    let history: Vec<_> = last.history.iter().map(|turn| (turn.role, turn.text.as_str())).collect();
    let expected = [(Role::Assistant, "Good morning."), (Role::User, "two"), (Role::Assistant, "Good morning.")];
    assert_eq!(history, expected, "the agent reads three messages, though its tier would allow thirty");
    assert_eq!(*mesh.conversations.limits.lock().expect("nobody panicked"), [3, 3, 3]);
    assert_eq!(mesh.management.asked.load(Ordering::SeqCst), 1, "an agent is remembered");
    mesh.kit.changes.announce(service_kit::Change::Thing("tenant-1".parse().expect("an id"))).await;
    mesh.run(run_of("talker", "four", "sess-long")).await;
    assert_eq!(mesh.management.asked.load(Ordering::SeqCst), 2, "until something of its tenant changes");
}

#[tokio::test]
async fn a_run_that_is_done_again_answers_from_the_saved_turn() {
    let model = Script::new([Line::Say(&["Something else."])]);
    let mesh = Mesh::start(model.clone()).await;
    let action = run_of("talker", "hola", "sess-redo");
    let saved = AgentRunResult {
        response: "What was said.".into(),
        tokens_used: Some(TokenUsage { input: 1, output: 2, total: 3 }),
        found: true,
        ..AgentRunResult::default()
    };
    mesh.conversations.save(turn(&action, &saved));
    let task = mesh.run(action.clone()).await;
    assert_eq!(answer(&task).response, "What was said.");
    assert_eq!(task.tokens_used.map(|tokens| tokens.total), Some(3));
    assert_eq!(model.asked(), 0);
    assert_eq!(pieces(&mesh.shown(&action).await), "");
    assert_eq!(mesh.conversations.saved.lock().expect("nobody panicked").len(), 1);
}

#[tokio::test]
async fn where_two_attempts_answer_the_first_saved_turn_stands() {
    let model = Script::new([Line::Say(&["Too late."])]);
    let mesh = Mesh::start(model.clone()).await;
    let action = run_of("talker", "hola", "sess-race");
    let saved = AgentRunResult { response: "First.".into(), found: true, ..AgentRunResult::default() };
    mesh.conversations.save(turn(&action, &saved));
    mesh.conversations.hidden.lock().expect("nobody panicked").insert(action.task.to_string(), 1);
    let task = mesh.run(action).await;
    assert_eq!(model.asked(), 1);
    assert_eq!(answer(&task).response, "First.");
}

fn turn(action: &Action, saved: &AgentRunResult) -> SavedTurn {
    SavedTurn {
        task_id: action.task.to_string(),
        assistant: Some(Message { content: saved.response.clone(), ..Message::default() }),
        result: saved.encode_to_vec(),
        ..SavedTurn::default()
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_begun_anew_and_clients_are_told() {
    let model = Script::new([Line::BreakOff(&["Good eve"]), HELLO]);
    let mesh = Mesh::start(model.clone()).await;
    let action = run_of("talker", "hola", "sess-broken");
    let task = mesh.run(action.clone()).await;
    assert_eq!((answer(&task).response.as_str(), task.attempts), ("Good morning.", 2));
    let shown = mesh.shown(&action).await;
    assert_eq!(stages(&shown), ["answering", "restarted", "answering"]);
    let restart = shown.iter().position(|body| matches!(body, Body::TaskUpdate(update) if update.stage == "restarted"));
    let (before, after) = shown.split_at(restart.expect("word of the restart"));
    assert_eq!((pieces(before).as_str(), pieces(after).as_str()), ("Good eve", "Good morning."));
    assert_eq!(mesh.conversations.saved.lock().expect("nobody panicked").len(), 1);
}

#[tokio::test]
async fn a_failing_model_is_tried_again_and_then_said_to_have_failed() {
    let model = Script::new([Line::Refuse(Error::Broken { what: "status 502".to_owned() })]);
    let mesh = Mesh::start(model.clone()).await;
    let task = mesh.run(run_of("talker", "hola", "sess-fail")).await;
    assert_eq!((task.status(), model.asked()), (Status::Failed, 3));
    let error = task.error.expect("what happened");
    assert_eq!(error.reason, "PROVIDER_BROKEN");
    assert!(error.message.contains("502"), "{}", error.message);
    assert!(
        mesh.conversations.saved.lock().expect("nobody panicked").is_empty(),
        "a turn without an answer is not saved"
    );
}

#[tokio::test]
async fn a_model_that_refuses_for_good_is_not_tried_again() {
    let model = Script::new([Line::Refuse(Error::Rejected { what: "status 401".to_owned() })]);
    let mesh = Mesh::start(model.clone()).await;
    let task = mesh.run(run_of("talker", "hola", "sess-key")).await;
    assert_eq!((task.status(), model.asked()), (Status::Failed, 1));
    assert_eq!(task.error.expect("what happened").reason, "PROVIDER_REJECTED");
}

#[tokio::test]
async fn agents_that_may_not_answer_fail_at_once() {
    let model = Script::new([HELLO]);
    let mesh = Mesh::start(model.clone()).await;
    for (agent, reason) in [
        ("nobody", "AGENT_NOT_FOUND"),
        ("asleep", "ACCESS_DENIED"),
        ("noble", "ACCESS_DENIED"),
        ("blank", "CONTEXT_NOT_RESOLVED"),
    ] {
        let task = mesh.run(run_of(agent, "hola", "sess-agents")).await;
        assert_eq!(task.error.map(|error| error.reason).as_deref(), Some(reason), "{agent}");
        assert_eq!(task.attempts, 1, "{agent}");
    }
    assert_eq!(model.asked(), 0);
}

#[tokio::test]
async fn a_piece_is_shown_while_the_model_pauses() {
    let model = Script::new([Line::Hang(&["Let me ", "think"])]);
    let mesh = Mesh::start(model.clone()).await;
    let action = run_of("talker", "hola", "sess-slow");
    mesh.kit.queue.submit(action.clone()).await.expect("accepted");
    testkit::eventually(PATIENCE, || async { pieces(&mesh.shown(&action).await) == "Let me think" }).await;
    model.go_on.add_permits(1);
    let task = mesh.ended(&action.tenant, action.task).await;
    assert_eq!(answer(&task).response, "Let me think");
}

#[tokio::test]
async fn a_cancelled_run_gives_the_model_up() {
    let model = Script::new([Line::Hang(&["Let me think"])]);
    let mesh = Mesh::start(model.clone()).await;
    let action = run_of("talker", "hola", "sess-stop");
    mesh.kit.queue.submit(action.clone()).await.expect("accepted");
    testkit::eventually(PATIENCE, || async { model.asked() == 1 }).await;
    mesh.kit.queue.cancel(&action.tenant, action.task, "enough").await.expect("cancelled");
    let task = mesh.ended(&action.tenant, action.task).await;
    assert_eq!(task.status(), Status::Cancelled);
    testkit::eventually(PATIENCE, || async { Arc::strong_count(&model.go_on) == 1 }).await;
    assert!(mesh.conversations.saved.lock().expect("nobody panicked").is_empty());
}

/// Answers from documents until the guard is dropped.
fn documents(mesh: &Mesh) -> tokio_util::sync::DropGuard {
    let answer = |work: Work, asked: GenerateAnswer| async move {
        assert!(asked.stream && work.action().fence() > 0, "pieces are written for the root's attempt");
        let source =
            Source { document_id: "doc-1".into(), collection_id: asked.collection_ids[0].clone(), ..Source::default() };
        let reply = GenerateAnswerResult {
            response: format!("{} In {}.", asked.system_prompt, asked.collection_ids.join("+")),
            sources: vec![source],
            found: true,
            model_used: "reader-1".into(),
            ..GenerateAnswerResult::default()
        };
        let tokens_used = TokenUsage { input: 20, output: 5, total: 25 };
        Ok::<_, fault::Failure>(Completed { reply, tokens_used })
    };
    let worker = Worker::new(mesh.kit.queue.clone(), Domain::Query, 4).on(answer);
    let stop = CancellationToken::new();
    mesh.kit.tasks.spawn(worker.run(stop.clone()));
    stop.drop_guard()
}

#[tokio::test]
async fn a_rag_agent_answers_from_its_collections_with_sources() {
    let model = Script::new([HELLO]);
    let mesh = Mesh::start(model.clone()).await;
    let _documents = documents(&mesh);
    let task = mesh.run(run_of("reader", "where?", "sess-rag")).await;
    let answer = answer(&task);
    assert_eq!(answer.response, "You sell tractors. In guide.");
    assert_eq!((answer.sources.len(), answer.found), (1, true));
    let agent = answer.agent_info.expect("who answered");
    assert_eq!((agent.r#type.as_str(), agent.model_used.as_str()), ("rag", "reader-1"));
    assert_eq!(task.tokens_used.map(|tokens| tokens.total), Some(25), "the tokens of the call are counted once");
    assert_eq!(model.asked(), 0);
    assert_eq!(mesh.conversations.saved.lock().expect("nobody panicked").len(), 1);
}

#[tokio::test]
async fn after_long_turns_a_rag_agent_answers_with_what_has_room() {
    let mesh = Mesh::start(Script::new([HELLO])).await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let answer_from = move |_: Work, asked: GenerateAnswer| {
        tell.send(asked.history).expect("the test listens");
        async { Ok::<_, fault::Failure>(GenerateAnswerResult { response: "Here.".into(), ..Default::default() }) }
    };
    let stop = CancellationToken::new();
    let worker = Worker::new(mesh.kit.queue.clone(), Domain::Query, 4).on(answer_from);
    mesh.kit.tasks.spawn(worker.run(stop.clone()));
    let _stop = stop.drop_guard();
    // The agent reads three messages, of 100 KiB each.
    for number in 0..3 {
        let said = |role: &str| Message {
            role: role.into(),
            content: format!("{number}{}", "x".repeat(100 * 1024)),
            ..Message::default()
        };
        let turn = SavedTurn {
            task_id: format!("earlier-{number}"),
            user: Some(said("user")),
            assistant: Some(said("assistant")),
            ..SavedTurn::default()
        };
        mesh.conversations.save_in("conv-sess-full", turn);
    }
    let task = mesh.run(run_of("reader", "where?", "sess-full")).await;
    assert_eq!(answer(&task).response, "Here.");
    let history = told.recv().await.expect("a question");
    let [last] = &history[..] else { panic!("one turn has room, not {}", history.len()) };
    assert!(last.role == "assistant" && last.content.starts_with('2'), "the latest is kept");
}

#[tokio::test]
async fn in_a_collection_context_any_agent_answers_from_that_collection() {
    let mesh = Mesh::start(Script::new([HELLO])).await;
    let _documents = documents(&mesh);
    let manual: CollectionId = "manual".parse().expect("an id");
    let mut action = run_of("talker", "where?", "sess-coll");
    let agents = action.context.agents.clone();
    action.context = ExecutionContext::collection(manual);
    action.context.primary_agent = agents.first().cloned();
    action.context.agents = agents;
    assert_eq!(answer(&mesh.run(action).await).response, "You sell tractors. In manual.");
}

#[tokio::test]
async fn a_run_without_a_session_has_no_history_and_leaves_no_conversation() {
    let model = Script::new([HELLO]);
    let mesh = Mesh::start(model.clone()).await;
    let action = Action { session: None, tier: Tier::Free, ..run_of("talker", "hola", "none") };
    let task = mesh.run(action).await;
    assert_eq!(answer(&task).response, "Good morning.");
    assert!(mesh.conversations.limits.lock().expect("nobody panicked").is_empty(), "nothing was asked for");
    let saved = mesh.conversations.saved.lock().expect("nobody panicked").clone();
    let [saved] = &saved[..] else { panic!("one turn, not {saved:?}") };
    assert_eq!((saved.conversation_id.as_str(), saved.session_id.as_str()), ("", ""), "it is the task's alone");
}

#[tokio::test]
async fn a_run_without_a_session_that_is_done_again_asks_the_model_once() {
    let model = Script::new([HELLO, Line::Say(&["Something else."])]);
    let mesh = Mesh::start(model.clone()).await;
    mesh.conversations.lost.store(1, Ordering::SeqCst);
    let action = Action { session: None, ..run_of("talker", "hola", "none") };
    let task = mesh.run(action).await;
    assert_eq!((answer(&task).response.as_str(), task.attempts, model.asked()), ("Good morning.", 2, 1));
    assert_eq!(task.tokens_used.map(|tokens| tokens.total), Some(10));
}
