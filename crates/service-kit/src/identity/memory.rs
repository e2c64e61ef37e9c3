//! Answers of management about credentials, remembered until they may have changed.

use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::RandomState;
use fault::{Failure, Reason};
use moka::future::Cache;

use super::ResolverConfig;
use crate::Changes;

/// How often an answer that was overtaken by a change is asked for again at once.
const ROUNDS: usize = 3;

/// What management says.
#[derive(Clone)]
pub(super) enum Answer<T> {
    /// What it knows.
    Known(Arc<T>),
    /// Why it says no.
    Refused(&'static Reason),
}

/// Remembers answers. Those who ask the same at once cause one question; a failure is not remembered.
#[derive(Clone)]
pub(super) struct Memory<K, T> {
    changes: Changes,
    config: ResolverConfig,
    answers: Cache<K, Dated<T>, RandomState>,
}

#[derive(Clone)]
struct Dated<T> {
    answer: Answer<T>,
    /// The number of changes before the question.
    stamp: u64,
    asked: Instant,
}

impl<K, T> Memory<K, T>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    pub(super) fn new(changes: &Changes, config: &ResolverConfig) -> Self {
        let longest = config.held.max(config.positive).max(config.negative);
        let answers = Cache::builder().max_capacity(config.capacity).time_to_live(longest);
        let answers = answers.build_with_hasher(RandomState::new());
        Self { changes: changes.clone(), config: config.clone(), answers }
    }

    /// Returns the answer to a question; `stamp` tells the number of changes that it is good for.
    pub(super) async fn get<F>(
        &self,
        key: K,
        stamp: impl Fn() -> u64,
        ask: impl Fn() -> F,
    ) -> Result<Answer<T>, Failure>
    where
        F: Future<Output = Result<Answer<T>, Failure>>,
    {
        if let Some(dated) = self.answers.get(&key).await
            && self.holds(&dated, stamp())
        {
            return Ok(dated.answer);
        }
        // Asking takes much room, which those need not carry along who find an answer.
        Box::pin(self.asked(key, stamp, ask)).await
    }

    async fn asked<F>(&self, key: K, stamp: impl Fn() -> u64, ask: impl Fn() -> F) -> Result<Answer<T>, Failure>
    where
        F: Future<Output = Result<Answer<T>, Failure>>,
    {
        for round in 0..ROUNDS {
            let asking = async {
                let stamp = stamp();
                ask().await.map(|answer| Dated { answer, stamp, asked: Instant::now() })
            };
            let dated = self.answers.try_get_with(key.clone(), asking).await;
            let dated = dated.map_err(|failure| Failure::clone(&failure))?;
            if self.holds(&dated, stamp()) || round + 1 == ROUNDS {
                return Ok(dated.answer);
            }
            self.answers.invalidate(&key).await;
        }
        Err(Failure::internal())
    }

    fn holds(&self, dated: &Dated<T>, stamp: u64) -> bool {
        let most: Duration = match (&dated.answer, self.changes.connected()) {
            (Answer::Refused(_), _) => self.config.negative,
            (Answer::Known(_), true) => self.config.held.max(self.config.positive),
            (Answer::Known(_), false) => self.config.positive,
        };
        dated.stamp == stamp && dated.asked.elapsed() < most
    }
}
