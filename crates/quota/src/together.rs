//! Requests of one tenant that ask to be admitted while others of its are being decided: they go together in the next question,
//! instead of each in one of its own. Whoever is alone asks at once.
//!
//! What always holds: each gets its own decision, in the order in which they came; and that one of them gives up changes nothing for
//! the others, for whoever waits moves the question.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use action::{TenantId, Tier};
use ahash::RandomState;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};

use crate::Error;
use crate::ask::{Answer, Ask};
use crate::store::Store;

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

/// What is asked; none once it is on its way.
type Gathered = Mutex<Option<Vec<Ask>>>;
type Answering = BoxFuture<'static, Result<Arc<[Answer]>, Error>>;

/// A request's place in a question.
struct Seat {
    place: usize,
    asks: Arc<Gathered>,
    answering: Shared<Answering>,
}

impl Together {
    /// Decides about a request.
    pub(crate) async fn admit(&self, store: &Store, of: Of, ask: Ask) -> Result<Answer, Error> {
        let seat = match self.join(store, &of, ask) {
            Ok(seat) => seat,
            Err(alone) => return store.admit(&of.0, of.1, &[alone], of.2).await?.pop().ok_or(crate::store::NOT_ASKED),
        };
        let answers = seat.answering.await;
        if seat.place == 0 {
            self.forget(&of, &seat.asks);
        }
        answers?.get(seat.place).cloned().ok_or(crate::store::NOT_ASKED)
    }

    /// Takes a place in the question that gathers, or begins one behind that which is on its way. Gives back who finds it full.
    fn join(&self, store: &Store, of: &Of, ask: Ask) -> Result<Seat, Ask> {
        let mut last = lock(&self.last);
        let mut before = None;
        if let Some(question) = last.get(of)
            && let Some(answering) = question.answering.upgrade()
        {
            if let Some(asks) = &mut *lock(&question.asks) {
                if asks.len() >= MOST {
                    return Err(ask);
                }
                asks.push(ask);
                return Ok(Seat { place: asks.len() - 1, asks: Arc::clone(&question.asks), answering });
            }
            before = Some(answering);
        }
        if last.len() >= MANY {
            last.retain(|_, question| question.answering.upgrade().is_some());
        }
        let asks = Arc::new(Mutex::new(Some(vec![ask])));
        let answering = answer(store.clone(), of.clone(), before, Arc::clone(&asks)).boxed().shared();
        if let Some(weak) = answering.downgrade() {
            last.insert(of.clone(), Question { asks: Arc::clone(&asks), answering: weak });
        }
        Ok(Seat { place: 0, asks, answering })
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
) -> Result<Arc<[Answer]>, Error> {
    if let Some(before) = before {
        let _for_others = before.await;
    }
    let asks = lock(&asks).take().unwrap_or_default();
    store.admit(&tenant, tier, &asks, now).await.map(Arc::from)
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
