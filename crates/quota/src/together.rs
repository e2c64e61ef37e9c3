//! Requests of one tenant that ask to be admitted while others of its are being decided: they go together in the next question,
//! instead of each in one of its own. Whoever is alone asks at once.
//!
//! What always holds: each gets its own decision, those of a question in the order in which they came; that one of them gives up
//! changes nothing for the others, for whoever waits moves the question; who gives up before it is asked is not charged; and an
//! answer, or that there is none, is there within twice the time for one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use action::{TenantId, Tier};
use ahash::RandomState;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};

use crate::Error;
use crate::ask::{Answer, Ask};
use crate::store::{NOT_ASKED, Store, in_time};

/// Most requests of one question. Those beyond ask on their own, as if there were no others.
const MOST: usize = 64;
/// So many tenants are remembered before those are forgotten whose requests all gave up.
const MANY: usize = 1_024;

/// Whose requests they are, and the moment by which they are decided.
pub(crate) type Of = (TenantId, Tier, u64);

/// See the module.
#[derive(Default)]
pub(crate) struct Together {
    /// The last question of each tenant whose requests are being decided.
    last: Mutex<HashMap<Of, Question, RandomState>>,
}

struct Question {
    asks: Arc<Gathered>,
    answering: WeakShared<Answering>,
}

/// What is asked, by place; none where somebody gave up, and nothing at all once it is on its way.
type Gathered = Mutex<Option<Vec<Option<Ask>>>>;
type Answering = BoxFuture<'static, Result<Arc<[Option<Answer>]>, Error>>;

/// A request's place in a question. Dropped before it is asked, it is not.
struct Place {
    number: usize,
    asks: Arc<Gathered>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(asks) = &mut *lock(&self.asks) {
            asks[self.number] = None;
        }
    }
}

impl Together {
    /// Decides about a request; Redis has `patience` for each question.
    pub(crate) async fn admit(&self, store: &Store, of: Of, ask: Ask, patience: Duration) -> Result<Answer, Error> {
        match self.join(store, &of, ask, patience) {
            Ok((place, answering)) => {
                let answers = answering.await;
                if place.number == 0 {
                    self.forget(&of, &place.asks);
                }
                answers?.get(place.number).cloned().flatten().ok_or(NOT_ASKED)
            }
            Err(alone) => {
                let asking = store.admit(&of.0, of.1, std::slice::from_ref(&alone), of.2);
                Box::pin(in_time(patience, asking)).await?.pop().ok_or(NOT_ASKED)
            }
        }
    }

    /// Takes a place in the question that gathers, or begins one behind that which is on its way. Gives back who finds it full.
    fn join(&self, store: &Store, of: &Of, ask: Ask, patience: Duration) -> Result<(Place, Shared<Answering>), Ask> {
        let mut last = lock(&self.last);
        let mut before = None;
        if let Some(question) = last.get(of)
            && let Some(answering) = question.answering.upgrade()
        {
            if let Some(asks) = &mut *lock(&question.asks) {
                if asks.len() >= MOST {
                    return Err(ask);
                }
                asks.push(Some(ask));
                return Ok((Place { number: asks.len() - 1, asks: Arc::clone(&question.asks) }, answering));
            }
            before = Some(answering);
        }
        if last.len() >= MANY {
            last.retain(|_, question| question.answering.upgrade().is_some());
        }
        let asks = Arc::new(Mutex::new(Some(vec![Some(ask)])));
        let answering = answer(store.clone(), of.clone(), before, Arc::clone(&asks), patience).boxed().shared();
        if let Some(weak) = answering.downgrade() {
            last.insert(of.clone(), Question { asks: Arc::clone(&asks), answering: weak });
        }
        Ok((Place { number: 0, asks }, answering))
    }

    /// Forgets a question, unless another one has followed.
    fn forget(&self, of: &Of, asks: &Arc<Gathered>) {
        let mut last = lock(&self.last);
        if last.get(of).is_some_and(|question| Arc::ptr_eq(&question.asks, asks)) {
            last.remove(of);
        }
    }
}

/// Waits until the question before is answered, and asks what was gathered until then.
async fn answer(
    store: Store,
    (tenant, tier, now): Of,
    before: Option<Shared<Answering>>,
    asks: Arc<Gathered>,
    patience: Duration,
) -> Result<Arc<[Option<Answer>]>, Error> {
    let before = match before {
        Some(before) => before.await.map(drop),
        None => Ok(()),
    };
    let asks = lock(&asks).take().unwrap_or_default();
    if matches!(before, Err(Error::Away)) {
        // Nobody waits for a Redis that has just said nothing.
        return Err(Error::Away);
    }
    let is_asked: Vec<_> = asks.iter().map(Option::is_some).collect();
    let asks: Vec<_> = asks.into_iter().flatten().collect();
    if asks.is_empty() {
        return Ok(Arc::from([]));
    }
    let mut answers = in_time(patience, store.admit(&tenant, tier, &asks, now)).await?.into_iter();
    Ok(is_asked.into_iter().map(|is_asked| is_asked.then(|| answers.next()).flatten()).collect())
}

impl std::fmt::Debug for Together {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Together").finish_non_exhaustive()
    }
}

/// What is held is whole at every moment, also when somebody panicked beside it.
fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
