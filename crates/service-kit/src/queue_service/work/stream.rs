//! One worker's stream.

mod lease;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use action::time::duration_to_proto;
use fault::{Failure, reason};
use futures::future::{BoxFuture, FutureExt as _, OptionFuture};
use futures::stream::{FuturesUnordered, StreamExt as _};
use proto::queue::v1 as wire;
use queue::{Lent, OutsideVerdict as Verdict};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use wire::work_request::Message;
use wire::work_response::Message as Told;

use self::lease::{Event, Held, settled, stop};
use super::desk::Desks;
use super::read;
use super::seat::Seated;
use crate::identity::Standing;

/// Answers that a worker may leave unread before nothing more is read of it.
const BACKLOG: usize = 4_096;

/// Time for the last words, and for giving back what a stream held.
const LAST: Duration = Duration::from_secs(2);

/// How long things may take.
pub(super) struct Pace {
    /// A worker that says nothing for so long counts as gone.
    pub(super) silence: Duration,
    /// Time for what is held when a stream is to go elsewhere.
    pub(super) grace: Duration,
    /// How long the stream lasts until its caller must prove itself again.
    pub(super) proof: Duration,
    /// The process shuts down.
    pub(super) closing: CancellationToken,
}

/// What goes out, and who is told that it went.
pub(super) struct Answer {
    said: Result<wire::WorkResponse, Status>,
    sent: Option<Arc<AtomicBool>>,
}

impl Answer {
    fn of(message: Told) -> Self {
        Self { said: Ok(wire::WorkResponse { message: Some(message) }), sent: None }
    }

    /// Hands it to the transport.
    pub(super) fn deliver(self) -> Result<wire::WorkResponse, Status> {
        if let Some(sent) = self.sent {
            sent.store(true, Ordering::Relaxed);
        }
        self.said
    }
}

/// Why a stream ends.
enum End {
    /// The worker closed its side.
    Closed,
    /// The stream was to go elsewhere, and holds nothing any more or had its grace.
    Moved,
    /// The connection is gone.
    Gone,
    /// The worker said nothing for too long.
    Silent(Duration),
    /// The worker said something that it may not, or may not say anything any more.
    Broken(Failure),
}

pub(super) struct Stream {
    inbound: Streaming<wire::WorkRequest>,
    out: mpsc::Sender<Answer>,
    pace: Pace,
    /// None when it takes no more.
    seat: Option<Seated>,
    lent: mpsc::UnboundedReceiver<Lent>,
    held: HashMap<u64, Held>,
    /// One for every lease, settled ones included until that is written.
    lives: FuturesUnordered<BoxFuture<'static, Event>>,
    leases: u64,
    backlog: VecDeque<Answer>,
    heard: Instant,
    /// Why the worker has to prove itself again, once it has to.
    over: Option<BoxFuture<'static, Failure>>,
    /// When the grace is over, of a stream that is to go elsewhere.
    leave: Option<Instant>,
}

impl Stream {
    /// Serves a worker from its first word to the last.
    pub(super) async fn serve(
        desks: &Desks,
        standing: Standing,
        mut inbound: Streaming<wire::WorkRequest>,
        out: mpsc::Sender<Answer>,
        pace: Pace,
    ) {
        let first = tokio::select! {
            first = timeout(pace.silence, inbound.message()) => first.map_err(|_| End::Silent(pace.silence)),
            () = pace.closing.cancelled() => Err(End::Moved),
            () = out.closed() => return,
        };
        let opening = first.and_then(|first| match first {
            Ok(Some(request)) => read::opening(standing.caller(), request).map_err(End::Broken),
            Ok(None) => Err(End::Closed),
            Err(_) => Err(End::Gone),
        });
        let opening = match opening {
            Ok(opening) => opening,
            Err(end) => return last_word(&out, &end).await,
        };
        tracing::info!(domain = %opening.domain, worker = %opening.name, "a worker from outside has come");
        let (seat, lent) = desks.of(opening.domain).sit();
        // No more than a stream may have, as was checked.
        let _ = seat.grant(opening.credits);
        let now = Instant::now();
        let mut stream = Self {
            inbound,
            over: Some(standing.over(pace.proof).boxed()),
            pace,
            seat: Some(seat),
            lent,
            held: HashMap::new(),
            lives: FuturesUnordered::new(),
            leases: 0,
            backlog: VecDeque::new(),
            heard: now,
            leave: None,
            out,
        };
        stream.say(Told::Opened(wire::Opened {
            silence: Some(duration_to_proto(stream.pace.silence)),
            heartbeat: Some(duration_to_proto(stream.pace.silence / 3)),
        }));
        let end = stream.run().await;
        tracing::info!(domain = %opening.domain, worker = %opening.name, end = end.word(), "a worker from outside has gone");
        stream.finish(end).await;
    }

    async fn run(&mut self) -> End {
        let out = self.out.clone();
        loop {
            if self.leave.is_some() && self.lives.is_empty() && self.backlog.is_empty() {
                return End::Moved;
            }
            let (waiting, full) = (!self.backlog.is_empty(), self.backlog.len() >= BACKLOG);
            let silence = self.heard + self.pace.silence;
            tokio::select! {
                room = out.reserve(), if waiting => match (room, self.backlog.pop_front()) {
                    (Ok(room), Some(answer)) => room.send(answer),
                    _ => return End::Gone,
                },
                () = out.closed() => return End::Gone,
                request = self.inbound.message(), if !full => {
                    self.heard = Instant::now();
                    match request {
                        Ok(Some(request)) => if let Err(failure) = self.hear(request) {
                            return End::Broken(failure);
                        },
                        Ok(None) => return End::Closed,
                        Err(_) => return End::Gone,
                    }
                }
                Some(lent) = self.lent.recv() => self.hold(lent),
                Some(event) = self.lives.next() => self.tell(event),
                () = sleep_until(silence) => return End::Silent(self.pace.silence),
                () = self.pace.closing.cancelled(), if self.leave.is_none() => self.move_on(),
                Some(failure) = OptionFuture::from(self.over.as_mut()) => {
                    self.over = None;
                    if !may_come_again(&failure) {
                        return End::Broken(failure);
                    }
                    if self.leave.is_none() {
                        self.move_on();
                    }
                }
                Some(()) = OptionFuture::from(self.leave.map(sleep_until)) => return End::Moved,
            }
        }
    }

    /// Takes no more, and says so.
    fn move_on(&mut self) {
        self.seat = None;
        self.leave = Some(Instant::now() + self.pace.grace);
        self.say(Told::Drain(wire::Drain { grace: Some(duration_to_proto(self.pace.grace)) }));
    }

    fn hear(&mut self, request: wire::WorkRequest) -> Result<(), Failure> {
        match request.message {
            Some(Message::Heartbeat(_)) => Ok(()),
            Some(Message::Credit(credit)) => {
                let credits = read::credits(credit)?;
                self.seat.as_ref().map_or(Ok(()), |seat| seat.grant(credits))
            }
            Some(Message::Settle(settle)) => {
                self.settle(settle);
                Ok(())
            }
            Some(Message::Open(_)) => Err(super::super::field::invalid("open", "`open` is the first message only")),
            None => Err(super::super::field::missing("message")),
        }
    }

    fn settle(&mut self, settle: wire::Settle) {
        let id = settle.lease_id;
        let refuse = |result, text: &str| Told::Settled(settled(id, result, text));
        let Some(held) = self.held.get(&id) else {
            return self.say(refuse(wire::SettleResult::Gone, "this stream holds no such lease"));
        };
        if settle.fence != held.fence() {
            return self.say(refuse(wire::SettleResult::Stale, "the lease has another fencing token"));
        }
        match read::verdict(settle.verdict).and_then(|verdict| verdict.for_work(&held.work)) {
            Err(text) => self.say(refuse(wire::SettleResult::Refused, &text)),
            Ok(verdict) => {
                if let Some(held) = self.held.remove(&id) {
                    held.end(verdict, true);
                }
                self.one_less();
            }
        }
    }

    fn hold(&mut self, lent: Lent) {
        self.leases += 1;
        let id = self.leases;
        let leased = wire::LeasedAction {
            lease_id: id,
            action: Some(lent.action().to_proto()),
            remaining: Some(duration_to_proto(lent.work().remaining())),
        };
        let (held, life) = Held::new(id, lent);
        let sent = Some(Arc::clone(&held.sent));
        self.held.insert(id, held);
        self.lives.push(life);
        self.backlog.push_back(Answer { sent, ..Answer::of(Told::Leased(leased)) });
    }

    fn tell(&mut self, event: Event) {
        match event {
            Event::Settled(id, result) => self.say(Told::Settled(settled(id, result, ""))),
            Event::GivenBack => {}
            Event::Stopped(id, why) => {
                if self.held.remove(&id).is_some() {
                    self.one_less();
                    self.say(Told::Stop(stop(id, why)));
                }
            }
        }
    }

    fn one_less(&self) {
        if let Some(seat) = &self.seat {
            seat.done();
        }
    }

    fn say(&mut self, message: Told) {
        self.backlog.push_back(Answer::of(message));
    }

    /// Gives back what is held, says what is left to say, and ends.
    async fn finish(mut self, end: End) {
        self.seat = None;
        // What had not been taken from here was not sent: dropping it gives it back.
        self.lent.close();
        while self.lent.try_recv().is_ok() {}
        for (_, held) in self.held.drain() {
            let counts = !end.is_orderly() && held.sent.load(Ordering::Relaxed);
            held.end(if counts { Verdict::Crashed } else { Verdict::Released }, false);
        }
        let giving_back = async {
            while let Some(event) = self.lives.next().await {
                if let Event::Settled(id, result) = event {
                    self.backlog.push_back(Answer::of(Told::Settled(settled(id, result, ""))));
                }
            }
        };
        // A Redis that is away gives back by itself when the leases end.
        let _ = timeout(LAST, giving_back).await;
        let saying = async {
            for answer in std::mem::take(&mut self.backlog).into_iter().filter(|answer| answer.sent.is_none()) {
                if self.out.send(answer).await.is_err() {
                    return;
                }
            }
        };
        let _ = timeout(LAST, saying).await;
        last_word(&self.out, &end).await;
    }
}

impl End {
    /// Whether the worker is there and well, so that what it held is its or our decision.
    fn is_orderly(&self) -> bool {
        matches!(self, Self::Closed | Self::Moved)
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Moved => "moved",
            Self::Gone => "gone",
            Self::Silent(_) => "silent",
            Self::Broken(_) => "broken",
        }
    }

    fn failure(&self) -> Option<Failure> {
        match self {
            Self::Closed | Self::Gone => None,
            Self::Moved => {
                let text = "this stream has come to its end; open another one";
                Some(Failure::new(&reason::DRAINING, text).retry_after(Duration::from_secs(1)))
            }
            Self::Silent(silence) => {
                let text = format!("the worker said nothing for {silence:?}; its leases have ended");
                Some(Failure::new(&reason::DEADLINE_EXCEEDED, text))
            }
            Self::Broken(failure) => Some(failure.clone()),
        }
    }
}

/// Tells whether a worker that has to prove itself again may do so in time for what it holds.
fn may_come_again(failure: &Failure) -> bool {
    [&reason::DRAINING, &reason::CREDENTIAL_EXPIRED].contains(&failure.reason())
}

async fn last_word(out: &mpsc::Sender<Answer>, end: &End) {
    if let Some(failure) = end.failure() {
        let answer = Answer { said: Err(failure.into()), sent: None };
        let _ = timeout(LAST, out.send(answer)).await;
    }
}
