//! Replies to calls of this process: one list in Redis, one blocking connection, however many calls wait.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use action::ActionId;
use broker::{Blocking, Redis};
use prost::Message as _;
use proto::action::v1::Callback;
use tokio::runtime::Handle;
use tokio::sync::{OnceCell, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::keys;
use crate::retry::Backoff;

/// Longest wait of the blocking command; a little later its connection counts as dead.
const BLOCK: Duration = Duration::from_secs(5);
/// Replies that are read in one step after the first one woke the reader.
const BATCH: isize = 64;
/// How long a reply that a process took and did not live to read is kept, and an inbox counts as read.
const TAKEN_TTL_MS: i64 = 600_000;

#[derive(Debug)]
pub(crate) struct Inbox {
    reader: Arc<Reader>,
    started: AtomicBool,
}

#[derive(Debug)]
struct Reader {
    redis: Redis,
    key: String,
    waiting: Mutex<HashMap<ActionId, oneshot::Sender<Callback>>>,
    /// Whether Redis knows that the inbox is read.
    open: OnceCell<()>,
}

/// A reply that is awaited. Dropping it stops the waiting.
#[derive(Debug)]
pub(crate) struct Awaited {
    reader: Arc<Reader>,
    id: ActionId,
    receiver: oneshot::Receiver<Callback>,
}

impl Inbox {
    pub(crate) fn new(redis: Redis, process: &str) -> Self {
        let reader = Reader { redis, key: keys::inbox(process), waiting: Mutex::default(), open: OnceCell::new() };
        Self { reader: Arc::new(reader), started: AtomicBool::new(false) }
    }

    pub(crate) fn key(&self) -> &str {
        &self.reader.key
    }

    /// Says that the inbox is read, before anybody replies to it.
    pub(crate) async fn open(&self) -> Result<(), broker::Error> {
        self.reader.open.get_or_try_init(|| self.reader.say_open()).await?;
        Ok(())
    }

    /// Begins to wait for the outcome of an action. The first one starts the reader.
    pub(crate) fn expect(
        &self,
        id: ActionId,
        tracker: &TaskTracker,
        handle: &Handle,
        stop: &CancellationToken,
    ) -> Awaited {
        let (sender, receiver) = oneshot::channel();
        self.reader.waiting().insert(id, sender);
        if !self.started.swap(true, Ordering::SeqCst) {
            let (reader, stop) = (Arc::clone(&self.reader), stop.clone());
            let reading = async move {
                tokio::select! {
                    () = reader.run() => {}
                    () = stop.cancelled() => {}
                }
            };
            tracker.spawn_on(reading, handle);
        }
        Awaited { reader: Arc::clone(&self.reader), id, receiver }
    }
}

impl Awaited {
    /// Waits for the reply; none when the process stops.
    pub(crate) async fn reply(&mut self) -> Option<Callback> {
        (&mut self.receiver).await.ok()
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.reader.waiting().remove(&self.id);
    }
}

impl Reader {
    async fn run(&self) {
        let mut backoff = Backoff::default();
        loop {
            if let Err(error) = self.read(&mut backoff).await {
                tracing::debug!(error = &error as &dyn std::error::Error, "the inbox is read again");
            }
            backoff.wait().await;
        }
    }

    /// Whoever replies to an inbox that does not say this any more knows that its process is gone.
    async fn say_open(&self) -> Result<(), broker::Error> {
        let mut command = redis::cmd("SET");
        command.arg(keys::inbox_open(&self.key)).arg(1).arg("PX").arg(TAKEN_TTL_MS);
        self.redis.query::<()>(&command).await
    }

    /// Reads until the connection fails. A reply leaves Redis only after it was taken over here: it lies in `taken`, or at
    /// the head of the list, until the next step.
    async fn read(&self, backoff: &mut Backoff) -> Result<(), broker::Error> {
        let taken = keys::inbox_taken(&self.key);
        let mut connection = self.redis.blocking(&taken).await?;
        loop {
            let mut drain = redis::pipe();
            drain.lrange(&taken, 0, -1).del(&taken).ignore().lrange(&self.key, 0, BATCH - 1);
            let (mut replies, more): (Vec<Vec<u8>>, Vec<Vec<u8>>) = self.redis.pipeline(&drain).await?;
            let count = more.len();
            replies.extend(more);
            for reply in &replies {
                self.hand_out(reply);
            }
            backoff.reset();
            if count > 0 {
                let start = isize::try_from(count).unwrap_or(BATCH);
                self.redis.query::<()>(&redis::Cmd::ltrim(&self.key, start, -1)).await?;
                continue;
            }
            self.say_open().await?;
            self.wait(&mut connection, &taken).await?;
        }
    }

    async fn wait(&self, connection: &mut Blocking, taken: &str) -> Result<(), broker::Error> {
        let mut command = redis::cmd("BLMOVE");
        command.arg(&self.key).arg(taken).arg("LEFT").arg("RIGHT").arg(BLOCK.as_secs_f64());
        let waiting = connection.query::<Option<Vec<u8>>>(&command);
        match tokio::time::timeout(BLOCK + Duration::from_secs(2), waiting).await {
            // It is read again from `taken` in the next step; handing it out now saves that round trip.
            Ok(Ok(Some(reply))) => {
                self.hand_out(&reply);
                // Should this process die before the next step, nobody else clears it away.
                self.redis.query::<()>(&redis::Cmd::pexpire(taken, TAKEN_TTL_MS)).await
            }
            Ok(answer) => answer.map(|_| ()),
            Err(_) => Err(redis::RedisError::from((redis::ErrorKind::Io, "the blocking connection is dead")).into()),
        }
    }

    fn hand_out(&self, reply: &[u8]) {
        let Ok(callback) = Callback::decode(reply) else { return };
        let Ok(id) = callback.action_id.parse::<ActionId>() else { return };
        let waiting = self.waiting().remove(&id);
        if let Some(sender) = waiting {
            // The caller may have left in this moment.
            let _ = sender.send(callback);
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<ActionId, oneshot::Sender<Callback>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
