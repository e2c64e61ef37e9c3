//! An agent answers a message.

use std::sync::Arc;
use std::time::Instant;

use action::{Action, agent_run};
use fault::{Failure, Fault as _, reason};
use futures::{StreamExt as _, try_join};
use models::{LanguageModel, Piece, Prompt, Role, Turn};
use proto::action::v1::{Status, TokenUsage};
use proto::execution::v1::{AgentRun, AgentRunResult};
use proto::management::v1::{Agent, AgentType};
use proto::query::v1::{self as query, GenerateAnswer};
use proto::task::v1::frame::Body;
use proto::task::v1::{AgentInfo, TaskUpdate, TypingIndicator};
use queue::{Completed, Work};
use quota::Tiers;
use session::{Announcement, Append, Deltas, Log, Sessions};

use crate::agents::{Agents, type_of};
use crate::history::{Conversation, History};
use crate::{Error, instructions};

/// Runs agents. One value serves every run of a process and holds nothing of any of them, so that a run that is dropped
/// leaves nothing behind.
#[derive(Clone, Debug)]
pub(crate) struct Runs {
    pub(crate) agents: Agents,
    pub(crate) history: History,
    pub(crate) sessions: Sessions,
    pub(crate) tiers: Arc<Tiers>,
    pub(crate) model: Arc<dyn LanguageModel>,
}

/// What one run works with.
struct Run {
    work: Work,
    log: Log,
    message: AgentRun,
    agent: Arc<Agent>,
}

impl Run {
    fn action(&self) -> &Action {
        self.work.action()
    }
}

impl Runs {
    /// Answers a message: shows that somebody works on it, reads what was said before, asks the model or the documents, and
    /// saves the turn before it returns. A run that is done again answers from the turn it saved, if it came so far.
    pub(crate) async fn answer(&self, work: Work, message: AgentRun) -> Result<Completed<AgentRunResult>, Error> {
        let message = agent_run::checked(message).map_err(|invalid| invalid.failure())?;
        let log = Log::of(work.action());
        if work.action().attempt() > 1 {
            self.sessions.restart(&log, work.action()).await?;
        }
        let agent = self.agents.of(work.action()).await?;
        let run = Run { work, log, message, agent };
        let ((), conversation) = try_join!(self.announce(&run), self.remember(&run))?;
        match conversation {
            Conversation { answered: Some(answered), .. } => {
                run.work.event("remembered");
                // Nobody counted what the attempt that did not come to its end consumed.
                Ok(Completed { tokens_used: answered.tokens_used.unwrap_or_default(), reply: answered })
            }
            conversation => self.answer_anew(&run, conversation).await,
        }
    }

    async fn answer_anew(&self, run: &Run, conversation: Conversation) -> Result<Completed<AgentRunResult>, Error> {
        let turns = told(&run.message, self.history_bound(run)).unwrap_or_else(|| conversation.turns.clone());
        let collections = collections(run)?;
        let mut answer = if collections.is_empty() {
            self.converse(run, turns).await?
        } else {
            retrieve(run, turns, collections).await?
        };
        run.work.event("answered");
        answer.reply = self.save(run, &conversation, answer.reply).await?;
        Ok(answer)
    }

    /// Shows the session that somebody works on an answer.
    async fn announce(&self, run: &Run) -> Result<(), Error> {
        let typing = TypingIndicator { agent_id: run.agent.agent_id.clone() };
        let update = TaskUpdate {
            status: Status::Running.into(),
            stage: "answering".to_owned(),
            attempt: run.action().attempt(),
            percentage: -1.0,
            ..TaskUpdate::default()
        };
        let bodies = [Body::TaskUpdate(update), Body::TypingIndicator(typing)];
        let frames = bodies.map(|body| Append::progress(run.action(), body));
        let running = Announcement::of(run.action(), Status::Running);
        let (shown, ()) =
            tokio::join!(self.sessions.append_many(&run.log, frames.into()), self.sessions.announce(running));
        shown?;
        Ok(())
    }

    async fn remember(&self, run: &Run) -> Result<Conversation, Error> {
        let is_loose = run.action().session.is_none() && run.message.conversation_id.is_empty();
        if is_loose && run.action().attempt() <= 1 {
            return Ok(Conversation::default());
        }
        let bound = self.history_bound(run);
        self.history.of(run.action(), &run.message, &run.agent, bound).await
    }

    /// Returns how many messages of the history are taken into account.
    fn history_bound(&self, run: &Run) -> u32 {
        let bound = self.tiers.of(run.action().tier).history_messages;
        match run.agent.max_history_messages {
            0 => bound,
            wanted => wanted.min(bound),
        }
    }

    /// Asks the language model and shows the answer while it is written.
    async fn converse(&self, run: &Run, history: Vec<Turn>) -> Result<Completed<AgentRunResult>, Error> {
        let mut pieces = self.model.answer(prompt(run, history)).await?;
        let mut deltas = Deltas::new(self.sessions.clone(), run.log.clone(), run.action());
        let mut response = String::new();
        let finish = loop {
            tokio::select! {
                piece = pieces.next() => match piece.ok_or_else(ended_early)?? {
                    Piece::Delta(text) => {
                        deltas.push(&text).await?;
                        response.push_str(&text);
                    }
                    Piece::Done(finish) => break finish,
                },
                // What was gathered is shown while the model pauses.
                () = deltas.due() => deltas.flush().await?,
            }
        };
        deltas.flush().await?;
        let tokens = TokenUsage {
            input: finish.usage.input.into(),
            output: finish.usage.output.into(),
            total: finish.usage.total.into(),
        };
        let reply = AgentRunResult { response, found: true, ..said_by(&run.agent, finish.model, tokens) };
        Ok(Completed { reply, tokens_used: tokens })
    }

    /// Saves the turn; where an attempt before this one has saved its own, that one stands and is the answer.
    async fn save(
        &self,
        run: &Run,
        conversation: &Conversation,
        result: AgentRunResult,
    ) -> Result<AgentRunResult, Error> {
        if !self.history.save(run.action(), conversation, &run.message, &run.agent, &result).await? {
            return Ok(result);
        }
        let saved = self.history.of(run.action(), &run.message, &run.agent, 1).await?;
        Ok(saved.answered.unwrap_or(result))
    }
}

/// Lets the documents answer; the query worker shows the answer while it is written.
async fn retrieve(run: &Run, history: Vec<Turn>, collections: Vec<String>) -> Result<Completed<AgentRunResult>, Error> {
    let agent = &run.agent;
    let question = GenerateAnswer {
        query: run.message.message.clone(),
        collection_ids: collections,
        agent_id: agent.agent_id.clone(),
        system_prompt: instructions::of(agent, &run.message.user_info),
        history: history.into_iter().map(said).collect(),
        model: agent.model.clone(),
        max_tokens: agent.max_tokens,
        temperature: agent.temperature,
        stream: true,
        ..GenerateAnswer::default()
    };
    let answer = run.work.call::<GenerateAnswer>(run.action().context.clone(), &question).await?;
    let reply = answer.reply;
    // The queue adds the tokens of the call to those of the run.
    Ok(Completed::from(AgentRunResult {
        response: reply.response,
        sources: reply.sources,
        found: reply.found,
        ..said_by(agent, reply.model_used, answer.tokens_used)
    }))
}

/// Returns what was said last, where the caller keeps it.
fn told(run: &AgentRun, bound: u32) -> Option<Vec<Turn>> {
    let role = |word: &str| if word == "assistant" { Role::Assistant } else { Role::User };
    let last = &run.history[run.history.len().saturating_sub(bound as usize)..];
    let turns = last.iter().map(|message| Turn { role: role(&message.role), text: message.content.clone() });
    Some(turns.collect()).filter(|turns: &Vec<_>| !turns.is_empty())
}

/// Returns the collections to answer from: those that the request names, else those that a rag agent reads; none for free
/// conversation.
fn collections(run: &Run) -> Result<Vec<String>, Error> {
    let named = &run.action().context.collections;
    if !named.is_empty() {
        return Ok(named.iter().map(ToString::to_string).collect());
    }
    match run.agent.r#type() {
        AgentType::Rag if run.agent.collections.is_empty() => {
            Err(Failure::new(&reason::CONTEXT_NOT_RESOLVED, "the agent answers from documents and reads no collection")
                .into())
        }
        AgentType::Rag => Ok(run.agent.collections.clone()),
        _ => Ok(Vec::new()),
    }
}

fn ended_early() -> models::Error {
    models::Error::Broken { what: "the stream ended early".to_owned() }
}

fn prompt(run: &Run, history: Vec<Turn>) -> Prompt {
    let agent = &run.agent;
    Prompt {
        system: instructions::of(agent, &run.message.user_info),
        history,
        question: run.message.message.clone(),
        passages: None,
        max_tokens: agent.max_tokens,
        #[expect(clippy::cast_possible_truncation, reason = "a temperature between 0 and 1 needs no more digits")]
        temperature: agent.temperature() as f32,
        model: Some(agent.model.clone()).filter(|model| !model.is_empty()),
        deadline: Some(Instant::now() + run.work.remaining()),
    }
}

fn said(turn: Turn) -> query::Turn {
    let role = match turn.role {
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    query::Turn { role: role.to_owned(), content: turn.text }
}

/// Makes the part of a result that tells who answered at what cost; one model call is all that these agents make.
fn said_by(agent: &Agent, model: String, tokens: TokenUsage) -> AgentRunResult {
    AgentRunResult {
        agent_info: Some(AgentInfo {
            agent_id: agent.agent_id.clone(),
            name: agent.name.clone(),
            r#type: type_of(agent).to_owned(),
            model_used: model,
        }),
        tokens_used: Some(tokens),
        iterations_used: 1,
        ..AgentRunResult::default()
    }
}
