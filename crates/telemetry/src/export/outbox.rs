//! Where spans that are over wait until enough are together.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::wire;

/// From so many bytes on they are sent, some eighty spans. More would fill the processor's caches, which a busy process would rather
/// have for its requests, and would not fit into what HTTP/2 sends without asking.
const ENOUGH: usize = 48 << 10;
/// So many wait behind those that are being sent; collectors take twice as much at once. What comes then is lost.
const MOST: usize = 2 << 20;
/// `spans` of a `ScopeSpans`
const SPANS: u32 = 2;

/// Spans one behind the other, as they stand in a `ScopeSpans`.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: Mutex<Batch>,
    enough: Notify,
}

/// What is sent together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) spans: Vec<u8>,
    pub(super) count: u64,
}

impl Outbox {
    /// Takes a span that is over. When too many wait already, it is lost.
    pub(super) fn put(&self, span: &[u8]) {
        let mut waiting = self.lock();
        let before = waiting.spans.len();
        if before + span.len() > MOST {
            drop(waiting);
            crate::metric::trace::lost(1);
            return;
        }
        wire::bytes(&mut waiting.spans, SPANS, span);
        waiting.count += 1;
        let after = waiting.spans.len();
        drop(waiting);
        if before < ENOUGH && after >= ENOUGH {
            self.enough.notify_one();
        }
    }

    /// Returns what waits; nothing waits then.
    pub(super) fn take(&self) -> Batch {
        // Room for as many again, with the one that makes it enough.
        let empty = Batch { spans: Vec::with_capacity(ENOUGH + ENOUGH / 4), count: 0 };
        mem::replace(&mut *self.lock(), empty)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().count == 0
    }

    /// Waits until enough are together.
    pub(super) async fn enough(&self) {
        self.enough.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Batch> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
