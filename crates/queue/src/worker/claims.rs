//! The loop that claims from one partition, and how it waits when there is nothing.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use broker::Blocking;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Crew, MOST, PATIENCE};
use crate::engine::{Claimed, Settle};
use crate::loops::Pulse;
use crate::part::Part;
use crate::retry::Backoff;
use crate::slots::{Slots, Taken};
use crate::{Error, relay};

/// What a command may be late before its connection is taken for lost.
const LATE: Duration = Duration::from_secs(2);
/// Most actions of a claim that waits at the server; what else has come is claimed right after.
const AFTER_WAITING: usize = 8;
/// How long a bell is kept that rang too late.
const BELL_TTL_MS: i64 = 10_000;

pub(super) struct Claims {
    crew: Arc<Crew>,
    part: Arc<Part>,
    pulse: Arc<Pulse>,
    shutdown: CancellationToken,
    /// Connection that waits for the wake token.
    waiting: Option<Blocking>,
    /// Key by which this loop alone is called back from its waiting.
    bell: String,
    /// How long the next claim may wait for work; none when it should not.
    idle: Option<Duration>,
    /// Whether it took the token and has not claimed since.
    woken: bool,
    /// Whether a claim may wait at the server; not after a wait that went wrong, which has to be seen first.
    may_wait: bool,
}

/// A claim that waits at the server.
type Claiming = Pin<Box<dyn Future<Output = Result<(Claimed, bool), Error>> + Send>>;

impl Claims {
    pub(super) fn new(crew: Arc<Crew>, part: Arc<Part>, pulse: Arc<Pulse>, shutdown: CancellationToken) -> Self {
        let bell = format!("{}bell:{}", part.engine.tag(), Uuid::new_v4());
        Self { crew, part, pulse, shutdown, waiting: None, bell, idle: None, woken: false, may_wait: true }
    }

    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::default();
        while !self.shutdown.is_cancelled() {
            let Some(taken) = self.free_slots().await else { continue };
            if let Err(error) = self.turn(taken).await {
                tracing::warn!(domain = %self.part.domain, error = &error as &dyn std::error::Error, "claiming is tried again");
                self.waiting = None;
                self.idle = None;
                tokio::select! {
                    () = backoff.wait() => {}
                    () = self.shutdown.cancelled() => {}
                }
            } else {
                backoff.reset();
            }
        }
        // The token that this loop may just have taken is left for another worker.
        self.leave_token().await;
    }

    /// Claims once for all free slots; when there was less than that, the next claim waits for more.
    async fn turn(&mut self, taken: Taken) -> Result<(), Error> {
        let asked = taken.len();
        let (claimed, asked) = match self.idle.take() {
            Some(most) => (self.claim_when_woken(most, asked.min(AFTER_WAITING)).await?, asked.min(AFTER_WAITING)),
            None => (self.part.engine.claim(0, asked).await?, asked),
        };
        self.woken = false;
        let received = Instant::now();
        self.pulse.beat();
        let (now, next, count) = (claimed.now, claimed.next, claimed.leased.len());
        self.crew.start(&self.part, claimed, received, taken);
        if count == asked {
            return Ok(());
        }
        if next > 0 && next <= now {
            // The only thing that is due after a claim lies in the outbox.
            return relay::sweep(&self.crew.inner, &self.part).await;
        }
        let until_next = if next > 0 { Duration::from_millis(next - now) } else { PATIENCE };
        let most = until_next.min(PATIENCE).max(Duration::from_millis(1));
        if self.may_wait && self.may_hold_slots() {
            self.idle = Some(most.min(self.crew.inner.config.lease / 4));
            return Ok(());
        }
        self.wait(most).await
    }

    /// Whether the slots for the next claim may be held while it waits: nobody else claims for them, and nobody takes them
    /// back.
    fn may_hold_slots(&self) -> bool {
        matches!(self.crew.slots, Slots::Fixed(_)) && self.crew.loops.load(Ordering::Relaxed) == 1
    }

    /// Waits for one free slot and takes all that are free. None after a while without one, or at the end.
    async fn free_slots(&mut self) -> Option<Taken> {
        let slots = &self.crew.slots;
        let mut taken = slots.try_take(MOST);
        if taken.is_none() {
            if std::mem::take(&mut self.woken) {
                // The token that this loop took is for whoever has a slot.
                self.leave_token().await;
            }
            taken = tokio::select! {
                taken = slots.take(MOST) => taken,
                () = tokio::time::sleep(PATIENCE) => None,
                () = self.shutdown.cancelled() => return None,
            };
        }
        self.pulse.beat();
        taken
    }

    async fn leave_token(&self) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.part.engine.claim(0, 0)).await;
    }

    /// Claims as soon as somebody leaves a token, or the time is over. The claim lies at the server already while this waits, so
    /// that it costs no round trip once there is work.
    ///
    /// A claim that is left alone leases what nobody runs. So when the worker stops, the bell brings its answer at once; and
    /// should the whole process be frozen, little is claimed and the wait is short beside a lease: what a frozen process loses
    /// when its leases run out cannot come back to a claim of its own.
    async fn claim_when_woken(&mut self, most: Duration, asked: usize) -> Result<Claimed, Error> {
        let wait = self.waiting_for(most, Some(&self.bell));
        let (part, mut connection) = (Arc::clone(&self.part), self.connection().await?);
        let mut claiming: Claiming =
            Box::pin(async move { part.engine.claim_after(&mut connection, &wait, asked).await });
        let claimed = tokio::select! {
            claimed = tokio::time::timeout(most + LATE, &mut claiming) => claimed,
            () = self.shutdown.cancelled() => {
                self.ring().await;
                tokio::time::timeout(LATE, &mut claiming).await
            }
        };
        if let Ok(claimed) = claimed {
            let (claimed, waited) = claimed?;
            self.may_wait = waited;
            return Ok(claimed);
        }
        // A server that is late by so much may answer all the same, and what it leases then nobody runs.
        self.waiting = None;
        self.give_back(claiming);
        if self.shutdown.is_cancelled() {
            return Ok(Claimed { now: 0, next: 0, leased: Vec::new() });
        }
        self.part.engine.claim(0, asked).await
    }

    /// Gives back what a claim leases whose answer comes too late.
    fn give_back(&self, claiming: Claiming) {
        let (part, lease) = (Arc::clone(&self.part), self.crew.inner.config.lease);
        let giving_back = async move {
            let Ok(Ok((claimed, _))) = tokio::time::timeout(lease, claiming).await else { return };
            for leased in claimed.leased {
                part.settle(Settle::Release { id: leased.id, token: leased.token, events: Vec::new() }).await;
            }
        };
        self.crew.inner.tracker.spawn_on(giving_back, &self.crew.inner.handle);
    }

    /// Calls this loop's own claim back from its waiting.
    async fn ring(&self) {
        let mut ringing = redis::pipe();
        ringing.rpush(&self.bell, 1).ignore().pexpire(&self.bell, BELL_TTL_MS).ignore();
        if let Err(error) = self.crew.inner.redis.pipeline::<()>(&ringing).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "a waiting claim was not called back");
        }
    }

    /// Waits until somebody leaves a token, the time is over, or the worker stops.
    async fn wait(&mut self, most: Duration) -> Result<(), Error> {
        let wait = self.waiting_for(most, None);
        let mut connection = self.connection().await?;
        let popped = tokio::select! {
            popped = tokio::time::timeout(most + LATE, connection.query::<redis::Value>(&wait)) => popped,
            () = self.shutdown.cancelled() => {
                // What it waits for must not come to a loop that is over.
                self.waiting = None;
                return Ok(());
            }
        };
        match popped {
            Ok(Ok(value)) => {
                self.may_wait = true;
                self.woken = value != redis::Value::Nil;
                self.pulse.beat();
                Ok(())
            }
            Ok(Err(error)) => Err(error.into()),
            Err(_) => {
                self.waiting = None;
                Ok(())
            }
        }
    }

    fn waiting_for(&self, most: Duration, bell: Option<&str>) -> redis::Cmd {
        let mut command = redis::cmd("BLPOP");
        command.arg(format!("{}wake", self.part.engine.tag())).arg(bell).arg(format!("{:.3}", most.as_secs_f64()));
        command
    }

    /// Returns the connection that waits, opened if there is none.
    async fn connection(&mut self) -> Result<Blocking, Error> {
        if let Some(connection) = &self.waiting {
            return Ok(connection.clone());
        }
        let connection = self.crew.inner.redis.blocking(self.part.engine.tag()).await?;
        Ok(self.waiting.insert(connection).clone())
    }
}
