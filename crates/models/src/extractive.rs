//! A language model that needs none: it quotes.
//!
//! With passages it answers with up to three of their sentences, letter by letter, one a line, or says that nothing was
//! found. Without passages it has only the agent's instructions and the conversation to quote from; if the question's
//! words do not stand there, it says that no language model is configured.

mod rank;
mod sentences;

use futures::future::BoxFuture;
use futures::{StreamExt as _, stream};

use self::rank::Ranked;
use crate::language::not_found;
use crate::{Answer, Error, Finish, LanguageModel, Passage, Piece, Prompt, Reading, Role, tokens};

const NAME: &str = "extractive";

/// The whole answer in free conversation when there is nothing to quote.
pub const NO_MODEL: &str = "No language model is configured, so this agent can only quote what it was given, and that \
    does not answer this. To let it converse, set LLM_BASE_URL, LLM_API_KEY and LLM_MODEL to an OpenAI-compatible \
    provider.";

/// The most sentences of one answer.
const SENTENCES: usize = 3;
/// A further sentence is worth quoting if it is this good, compared to the best.
const WORTHWHILE: f32 = 0.75;

/// The extractive model.
#[derive(Debug)]
pub(crate) struct Extractive;

impl LanguageModel for Extractive {
    fn name(&self) -> &'static str {
        NAME
    }

    /// Reading costs it next to nothing, and it judges by the words themselves: a sentence that answers may stand in a
    /// passage about many things, which the retriever finds far away.
    fn reads(&self) -> Reading {
        Reading { at_least: 24, floor: 0.25 }
    }

    fn answer(&self, prompt: Prompt) -> BoxFuture<'_, Result<Answer, Error>> {
        Box::pin(async move { Ok(answer(&prompt)) })
    }
}

fn answer(prompt: &Prompt) -> Answer {
    let Some(passages) = &prompt.passages else { return converse(prompt) };
    let ranked = rank::rank(&prompt.question, passages);
    if ranked.is_empty() {
        let usage = tokens::usage(input_of(prompt, passages), crate::NOT_FOUND);
        return not_found(NAME.to_owned(), usage);
    }
    let input = tokens::usage(input_of(prompt, passages), "").input;
    quote(Quoting::new(ranked, prompt.max_tokens, input), true)
}

fn converse(prompt: &Prompt) -> Answer {
    let said = said_before(prompt);
    let ranked = rank::rank(&prompt.question, &said);
    let input = tokens::usage(input_of(prompt, &said), "").input;
    if ranked.is_empty() {
        let usage = crate::TokenUsage::new(input, tokens::usage([], NO_MODEL).output);
        let done = Finish { usage, model: NAME.to_owned(), ..Finish::default() };
        return stream::iter([Ok(Piece::Delta(NO_MODEL.to_owned())), Ok(Piece::Done(done))]).boxed();
    }
    let best = ranked.into_iter().take(1).collect();
    quote(Quoting::new(best, prompt.max_tokens, input), false)
}

/// What was said in the conversation and by the agent's instructions, as passages; questions answer nothing, and
/// neither does an earlier answer that there is no answer.
fn said_before(prompt: &Prompt) -> Vec<Passage> {
    let turns = prompt.history.iter().filter(|turn| match turn.role {
        Role::User => !turn.text.trim_end().ends_with('?') && turn.text.trim() != prompt.question.trim(),
        Role::Assistant => turn.text != NO_MODEL && turn.text != crate::NOT_FOUND,
    });
    let texts = std::iter::once(&prompt.system).chain(turns.map(|turn| &turn.text));
    texts.map(|text| Passage { text: text.clone(), ..Passage::default() }).collect()
}

fn input_of<'a>(prompt: &'a Prompt, passages: &'a [Passage]) -> impl Iterator<Item = &'a str> {
    std::iter::once(prompt.question.as_str()).chain(passages.iter().map(|passage| passage.text.as_str()))
}

/// Sentences being chosen, one at a time.
struct Quoting {
    ranked: std::vec::IntoIter<Ranked>,
    least: f32,
    quoted: Vec<Ranked>,
    max_tokens: usize,
    finish: Finish,
}

impl Quoting {
    fn new(ranked: Vec<Ranked>, max_tokens: u32, input: u32) -> Self {
        let least = ranked.first().map_or(0.0, |best| best.score * WORTHWHILE);
        let max_tokens = match max_tokens {
            0 => usize::MAX,
            some => some as usize,
        };
        let usage = crate::TokenUsage::new(input, 0);
        let finish = Finish { usage, found: true, model: NAME.to_owned(), ..Finish::default() };
        Self { ranked: ranked.into_iter(), least, quoted: Vec::new(), max_tokens, finish }
    }

    /// Returns the next sentence worth quoting: good enough, not said already, within the length allowed.
    fn next(&mut self) -> Option<String> {
        if self.quoted.len() == SENTENCES {
            return None;
        }
        let least = self.least;
        let quoted = &self.quoted;
        let is_new = |next: &Ranked| {
            quoted.iter().all(|said| !said.text.contains(&next.text) && !next.text.contains(&said.text))
        };
        let next = self.ranked.find(|next| next.score >= least && is_new(next))?;
        let cost = tokens::estimate(&next.text);
        let output = self.finish.usage.output as usize + cost;
        if !self.quoted.is_empty() && output > self.max_tokens {
            self.finish.truncated = true;
            return None;
        }
        self.finish.usage = crate::TokenUsage::new(self.finish.usage.input, u32::try_from(output).unwrap_or(u32::MAX));
        let delta = if self.quoted.is_empty() { next.text.clone() } else { format!("\n{}", next.text) };
        self.quoted.push(next);
        Some(delta)
    }

    fn finish(mut self, cites: bool) -> Finish {
        if cites {
            self.finish.cited = self.quoted.iter().map(|sentence| sentence.passage).collect();
            self.finish.cited.sort_unstable();
            self.finish.cited.dedup();
        }
        self.finish
    }
}

/// Streams sentences as they are chosen, then the end.
fn quote(quoting: Quoting, cites: bool) -> Answer {
    let steps = stream::unfold(Some(quoting), move |state| async move {
        let mut quoting = state?;
        match quoting.next() {
            Some(delta) => Some((Ok(Piece::Delta(delta)), Some(quoting))),
            None => Some((Ok(Piece::Done(quoting.finish(cites))), None)),
        }
    });
    steps.boxed()
}

#[cfg(test)]
mod tests;
