//! A language model that says what it is told to say.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use models::{Answer, Error, Finish, LanguageModel, Piece, Prompt, TokenUsage};
use tokio::sync::Semaphore;

/// One answer.
#[derive(Clone, Debug)]
pub(crate) enum Line {
    /// These pieces, and then the end.
    Say(&'static [&'static str]),
    /// These pieces, and then a broken stream.
    BreakOff(&'static [&'static str]),
    /// A refusal to begin.
    Refuse(Error),
    /// These pieces, and then nothing until the script goes on.
    Hang(&'static [&'static str]),
}

/// Gives its lines in their order, the last one again and again, and remembers what it was asked.
#[derive(Debug)]
pub(crate) struct Script {
    lines: Mutex<VecDeque<Line>>,
    pub(crate) prompts: Mutex<Vec<Prompt>>,
    pub(crate) go_on: Arc<Semaphore>,
}

impl Script {
    pub(crate) fn new(lines: impl IntoIterator<Item = Line>) -> Arc<Self> {
        let go_on = Arc::new(Semaphore::new(0));
        Arc::new(Self { lines: Mutex::new(lines.into_iter().collect()), prompts: Mutex::default(), go_on })
    }

    pub(crate) fn asked(&self) -> usize {
        self.prompts.lock().expect("nobody panicked").len()
    }

    fn next(&self) -> Line {
        let mut lines = self.lines.lock().expect("nobody panicked");
        if lines.len() > 1 { lines.pop_front() } else { lines.front().cloned() }.expect("a script has a line")
    }
}

impl LanguageModel for Script {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn answer(&self, prompt: Prompt) -> BoxFuture<'_, Result<Answer, Error>> {
        self.prompts.lock().expect("nobody panicked").push(prompt);
        let deltas = |pieces: &'static [&'static str]| {
            stream::iter(pieces.iter().map(|piece| Ok(Piece::Delta((*piece).to_owned()))))
        };
        let finish =
            Finish { usage: TokenUsage::new(7, 3), found: true, model: "scripted".to_owned(), ..Finish::default() };
        let done = Ok(Piece::Done(finish));
        let answer: Result<Answer, Error> = match self.next() {
            Line::Say(pieces) => Ok(deltas(pieces).chain(stream::iter([done])).boxed()),
            Line::BreakOff(pieces) => {
                let broken = Err(Error::Broken { what: "cut off".to_owned() });
                Ok(deltas(pieces).chain(stream::iter([broken])).boxed())
            }
            Line::Refuse(error) => Err(error),
            Line::Hang(pieces) => {
                let go_on = Arc::clone(&self.go_on);
                let rest = stream::once(async move {
                    go_on.acquire().await.expect("nobody closes it").forget();
                    done
                });
                Ok(deltas(pieces).chain(rest).boxed())
            }
        };
        async move { answer }.boxed()
    }
}
