//! One connection for everything that this process follows.
//!
//! Whoever appends publishes a hint with the frames to each process that holds a lease on the log. The hub receives the
//! hints and hands them to the followers. Hints may get lost, on the wire or because a follower is slow: therefore the
//! hub compares positions from time to time and after every reconnection.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker::Redis;
use futures::stream::{self, StreamExt as _};
use proto::task::v1::Frame;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::append::millis;
use crate::log::Keys;
use crate::read::complete;
use crate::scripts::{Scripts, new_epoch, number};
use crate::{Config, Error};

/// Hints that wait for one follower; a slower one reads the log instead.
const BACKLOG: usize = 256;
/// Position checks that are under way at the same time.
const CHECKS: usize = 16;
/// Pause before logs are checked again that could not be, and how often that is tried on the same subscription.
const SOON: Duration = Duration::from_secs(1);
const ROUNDS: u32 = 5;
/// Pause before connecting again.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What a follower is hinted at.
#[derive(Clone, Debug)]
pub(crate) enum Hint {
    /// Frames that were just appended.
    Frames(Arc<Vec<Frame>>),
    /// Where the log stands.
    Top { epoch: String, seq: u64 },
}

/// Receives hints and hands them on.
#[derive(Debug)]
pub(crate) struct Hub {
    redis: Redis,
    scripts: Arc<Scripts>,
    config: Arc<Config>,
    /// Names this process in leases.
    pub(crate) node: String,
    followed: Mutex<HashMap<String, Followed>>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Followed {
    keys: Keys,
    followers: HashMap<u64, Follower>,
}

#[derive(Debug)]
struct Follower {
    hints: mpsc::Sender<Hint>,
    missed: Arc<AtomicBool>,
}

impl Hub {
    pub(crate) fn new(redis: Redis, scripts: Arc<Scripts>, config: Arc<Config>) -> Self {
        let node = uuid::Uuid::new_v4().simple().to_string();
        Self { redis, scripts, config, node, followed: Mutex::default(), next: AtomicU64::new(0) }
    }

    /// Registers a follower; it is forgotten when what is returned is dropped.
    pub(crate) fn register(self: &Arc<Self>, keys: &Keys) -> Registration {
        let (sender, hints) = mpsc::channel(BACKLOG);
        let missed = Arc::new(AtomicBool::new(false));
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut followed = self.followed();
        let log = followed
            .entry(keys.tag.clone())
            .or_insert_with(|| Followed { keys: keys.clone(), followers: HashMap::new() });
        log.followers.insert(id, Follower { hints: sender, missed: missed.clone() });
        drop(followed);
        Registration { hub: self.clone(), tag: keys.tag.clone(), id, hints, missed }
    }

    /// Runs for ever: connects, receives, checks, and connects again.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut pause = PAUSE;
        loop {
            match self.receive(&mut pause).await {
                Ok(()) => tracing::debug!("the subscription to session hints ended"),
                Err(error) => tracing::warn!(%error, "session hints are not received for now"),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn receive(&self, pause: &mut Duration) -> Result<(), Error> {
        let mut subscriber = self.redis.subscriber().await?;
        subscriber.subscribe(format!("ns:node:{}", self.node)).await.map_err(broker::Error::from)?;
        *pause = PAUSE;
        let mut messages = subscriber.into_on_message();
        let receiving = async {
            while let Some(message) = messages.next().await {
                self.deliver(message.get_payload_bytes());
            }
            Ok(())
        };
        tokio::select! {
            ended = receiving => ended,
            ended = self.check_always() => ended,
        }
    }

    /// The first check comes at once: something may have been published before the subscription stood.
    ///
    /// One server that is away ends the subscription, to see soon when it is back. In a cluster the logs of the other nodes
    /// go on, so the rest is checked again in a moment; only if that does not help for long may it be the node that is
    /// listened to.
    async fn check_always(&self) -> Result<(), Error> {
        let mut in_vain = 0;
        loop {
            match self.check_all().await {
                None => in_vain = 0,
                Some(_) if self.redis.is_cluster() && in_vain < ROUNDS => in_vain += 1,
                Some(error) => return Err(error.into()),
            }
            sleep(if in_vain > 0 { SOON.min(self.config.check) } else { self.config.check }).await;
        }
    }

    /// Compares all positions, and returns why some could not be compared.
    async fn check_all(&self) -> Option<broker::Error> {
        let followed: Vec<Keys> = self.followed().values().map(|log| log.keys.clone()).collect();
        let checks = stream::iter(followed).map(|keys| self.check(keys)).buffer_unordered(CHECKS);
        checks.fold(None, async |failed, checked| failed.or(checked.err())).await
    }

    async fn check(&self, keys: Keys) -> Result<(), broker::Error> {
        let (lease, live) = (millis(self.config.lease), millis(self.config.retention_free));
        let arguments = [new_epoch(), self.node.clone().into_bytes(), number(lease), number(live)];
        let checked = self.redis.run(&self.scripts.watch, &[&keys.meta, &keys.log, &keys.nodes], &arguments).await;
        match checked {
            Ok((epoch, seq)) => self.hand_on(&keys.tag, &Hint::Top { epoch, seq }),
            Err(error @ broker::Error::Unavailable(_)) => return Err(error),
            // One broken log must not keep the others from being checked.
            Err(error) => tracing::warn!(%error, log = keys.tag, "the position of a log cannot be checked"),
        }
        Ok(())
    }

    fn deliver(&self, message: &[u8]) {
        if let Some((tag, hint)) = parse(message) {
            self.hand_on(tag, &hint);
        } else {
            tracing::warn!("a session hint cannot be read");
        }
    }

    fn hand_on(&self, tag: &str, hint: &Hint) {
        let followed = self.followed();
        let Some(log) = followed.get(tag) else { return };
        for follower in log.followers.values() {
            if follower.hints.try_send(hint.clone()).is_err() {
                // The follower looks at this when it has worked off what waits for it.
                follower.missed.store(true, Ordering::Release);
            }
        }
    }

    fn followed(&self) -> MutexGuard<'_, HashMap<String, Followed>> {
        // Nothing under the lock can leave the map half changed.
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A follower's end of the hub.
#[derive(Debug)]
pub(crate) struct Registration {
    hub: Arc<Hub>,
    tag: String,
    id: u64,
    hints: mpsc::Receiver<Hint>,
    missed: Arc<AtomicBool>,
}

impl Registration {
    /// Waits for the next hint; none means that at least one was lost.
    pub(crate) async fn next(&mut self) -> Option<Hint> {
        if let Ok(hint) = self.hints.try_recv() {
            return Some(hint);
        }
        if self.missed.swap(false, Ordering::Acquire) {
            return None;
        }
        self.hints.recv().await
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut followed = self.hub.followed();
        if let Some(log) = followed.get_mut(&self.tag) {
            log.followers.remove(&self.id);
            // The lease is not given back: it ends by itself, and until then hints for this log are ignored.
            if log.followers.is_empty() {
                followed.remove(&self.tag);
            }
        }
    }
}

/// Reads `<tag> <epoch> <top> <first> <at> <length>,…` and, after a line feed, the frames.
fn parse(message: &[u8]) -> Option<(&str, Hint)> {
    let end = message.iter().position(|byte| *byte == b'\n')?;
    let (head, mut bodies) = (std::str::from_utf8(&message[..end]).ok()?, &message[end + 1..]);
    let mut words = head.split(' ');
    let (tag, epoch) = (words.next()?, words.next()?);
    let (top, first, at): (u64, u64, u64) =
        (words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let lengths = words.next()?;
    if lengths.is_empty() {
        return Some((tag, Hint::Top { epoch: epoch.to_owned(), seq: top }));
    }
    let mut frames = Vec::new();
    for (seq, length) in (first..).zip(lengths.split(',')) {
        let (body, rest) = bodies.split_at_checked(length.parse().ok()?)?;
        frames.push(complete(body, epoch, seq, at).ok()?);
        bodies = rest;
    }
    Some((tag, Hint::Frames(Arc::new(frames))))
}
