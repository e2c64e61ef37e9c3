//! One delivery: from the lease to what is written about it.

mod verdict;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use action::{Action, Delivery, Status, detail_of};
use fault::{Failure, Fault as _};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use prost::Message as _;
use prost_types::Any;
use proto::action::v1::TaskEvent;
use telemetry::Instrument as _;
use tokio_util::sync::CancellationToken;

use crate::engine::{End, Header, Lane, Leased, Settle, Settled};
use crate::heartbeat::{Ended, Lease};
use crate::options::Retry;
use crate::outcome::{self, Ending, Parcel};
use crate::part::Part;
use crate::work::{Diary, End as WorkEnd, Inside, Settlement, Stopped, Work, add};
use crate::worker::Crew;
use crate::{Error, relay, retry, stored, timeline, trace};
use verdict::Verdict;

/// How long a handler may take to leave after it was told to.
const LEAVE: Duration = Duration::from_millis(200);

pub(crate) struct Run {
    crew: Arc<Crew>,
    part: Arc<Part>,
    leased: Leased,
    /// Redis' clock in milliseconds, and when this process read it.
    clock: (u64, Instant),
}

impl Run {
    pub(crate) fn new(crew: Arc<Crew>, part: Arc<Part>, leased: Leased, clock: (u64, Instant)) -> Self {
        Self { crew, part, leased, clock }
    }

    pub(crate) async fn run(self) {
        let tag = self.part.engine.tag().into();
        let lease = self.crew.inner.heartbeat.hold(tag, self.leased.id.clone(), self.leased.token);
        let Some((header, mut action, retry, delivery)) = self.read() else {
            self.bury_unreadable().await;
            return;
        };
        self.tell(&header, &action, &delivery);
        action.delivery = Some(delivery.clone());
        let span = trace::process(&action, &delivery);
        let work = self.work(action, &delivery);
        let is_callback = header.lane == Lane::Callbacks;
        async {
            let verdict = self.execute(&work, &lease, is_callback).await;
            if matches!(verdict, Verdict::Crashed) {
                // Or it would be extended again behind its end.
                lease.give_up();
            }
            let settlement = self.settle(&work, &header, retry, verdict).await;
            work.inside.report(settlement);
        }
        .instrument(span)
        .await;
    }

    fn read(&self) -> Option<(Header, Action, Retry, Delivery)> {
        let (header, action, retry) = stored::decode(&self.leased.id, &self.leased.body)?;
        let limit = match self.leased.deadline {
            0 => self.crew.inner.config.callback_timeout,
            deadline => Duration::from_millis(deadline.saturating_sub(self.clock.0)),
        };
        let delivery = stored::delivery(self.part.domain, &header, &self.leased, self.clock.0, limit)?;
        Some((header, action, retry, delivery))
    }

    fn tell(&self, header: &Header, action: &Action, delivery: &Delivery) {
        let inner = &self.crew.inner;
        inner.monitor.dequeued(&delivery.queue, self.clock.0);
        let (domain, tier) = (self.part.domain.as_str(), header.tier.as_str());
        telemetry::metric::queue::claimed(domain, tier);
        // Later attempts waited for their delay, not for a worker.
        if delivery.attempt == 1 {
            let waited = delivery.claimed_at.duration_since(delivery.enqueued_at).unwrap_or_default();
            telemetry::metric::queue::wait(domain, tier, waited);
            trace::waited(action, delivery);
        }
    }

    fn work(&self, action: Action, delivery: &Delivery) -> Work {
        Work {
            inside: Arc::new(Inside {
                queue: Arc::clone(&self.crew.inner),
                domain: self.part.domain,
                action,
                token: self.leased.token,
                deadline: self.clock.1 + delivery.remaining,
                cancelled: CancellationToken::new(),
                clock: (delivery.claimed_at, self.clock.1),
                diary: Mutex::new(Diary::default()),
                end: WorkEnd::default(),
            }),
        }
    }

    /// Runs the handler until it ends or has to.
    async fn execute(&self, work: &Work, lease: &Lease, is_callback: bool) -> Verdict {
        // A handler that panics before its first await panics here.
        let started = std::panic::catch_unwind(AssertUnwindSafe(|| self.crew.handlers.start(work, is_callback)));
        let running = match started {
            Ok(Some(running)) => running,
            Ok(None) => return Verdict::Refused("rejected", unknown_type(work.action())),
            Err(_) => return panicked(work.action()),
        };
        let mut running: BoxFuture<'_, _> = AssertUnwindSafe(running).catch_unwind().boxed();
        let stopped = tokio::select! {
            biased;
            ran = &mut running => return ran.map_or_else(|_| panicked(work.action()), Verdict::from),
            ended = lease.ended() => match ended {
                Ended::Cancelled(reason) => Stopped::Cancelled(reason),
                Ended::Lost => Stopped::Lost,
            },
            () = tokio::time::sleep_until(work.inside.deadline.into()) => Stopped::Overdue,
            () = self.crew.release.cancelled() => Stopped::Draining,
        };
        work.inside.stop(stopped.clone());
        let _ = tokio::time::timeout(LEAVE, running).await;
        stopped.into()
    }

    async fn settle(&self, work: &Work, header: &Header, retry: Retry, verdict: Verdict) -> Settlement {
        let is_callback = header.lane == Lane::Callbacks;
        let (name, failure) = verdict.named();
        trace::ended(&telemetry::Span::current(), name, failure);
        let (item, parcel) = match self.decide(work, header, retry, verdict) {
            Decision::Nothing => {
                self.count(header, "stale");
                return Settlement::Stale;
            }
            Decision::Crash => (Settle::Crash { id: self.leased.id.clone(), token: self.leased.token }, None),
            Decision::Release => (self.release(work), None),
            Decision::Retry(delay, failure) => (self.retry(work, delay, &failure), None),
            Decision::End(why, ending) => {
                // A callback is the end of the line: nobody wants its outcome.
                let parcel = if is_callback { None } else { parcel(work, &ending) };
                (self.done(work, header, why, &ending, parcel.as_ref()), parcel)
            }
        };
        let counted = match &item {
            Settle::Done { end, .. } if !end.why.is_empty() => "dead",
            Settle::Done { end, .. } => end.status,
            Settle::Retry { .. } => "retried",
            Settle::Crash { .. } => "crashed",
            Settle::Release { .. } | Settle::Relayed { .. } => "released",
        };
        match self.part.settle(item).await {
            Some(Settled::Ok) => {
                self.count(header, counted);
                if let Some(parcel) = parcel {
                    self.hand_over(parcel);
                }
                Settlement::Written
            }
            // Gone: this settle was written before and only its answer was lost; a sweep hands the outcome over.
            Some(Settled::Gone) => {
                self.count(header, counted);
                Settlement::Gone
            }
            Some(Settled::Stale) | None => {
                tracing::info!("the lease was lost before the end: the work is done again");
                self.count(header, "stale");
                Settlement::Stale
            }
        }
    }

    /// Hands the outcome over at once, without keeping the slot.
    fn hand_over(&self, parcel: Parcel) {
        let (inner, part, id) = (Arc::clone(&self.crew.inner), Arc::clone(&self.part), self.leased.id.clone());
        let handing = async move { relay::hand_over(&inner, &part, &id, &parcel).await };
        self.crew.inner.tracker.spawn_on(handing.in_current_span(), &self.crew.inner.handle);
    }

    fn count(&self, header: &Header, outcome: &'static str) {
        let (domain, tier) = (self.part.domain.as_str(), header.tier.as_str());
        telemetry::metric::queue::settled(domain, tier, outcome);
        telemetry::metric::queue::run(domain, tier, self.clock.1.elapsed());
    }

    fn decide(&self, work: &Work, header: &Header, retry: Retry, verdict: Verdict) -> Decision {
        let is_callback = header.lane == Lane::Callbacks;
        match verdict {
            Verdict::Lost => Decision::Nothing,
            Verdict::Released => Decision::Release,
            Verdict::Crashed => Decision::Crash,
            Verdict::Completed { result, tokens_used } => {
                let ending = Ending { status: Status::Completed, result, tokens_used, ..Ending::default() };
                Decision::End("", self.complete(work, ending))
            }
            Verdict::Failed(failure, transient) => self.fail(work, header, retry, transient, failure),
            Verdict::OutOfTime if is_callback => self.fail(work, header, retry, true, outcome::out_of_time()),
            Verdict::OutOfTime => self.end(work, "", Status::Timeout, &outcome::out_of_time()),
            Verdict::Cancelled(reason) => self.end(work, "", Status::Cancelled, &outcome::cancelled(&reason)),
            Verdict::Refused(why, failure) => self.end(work, why, Status::Failed, &failure),
        }
    }

    /// Decides between another attempt and the end.
    fn fail(&self, work: &Work, header: &Header, retry: Retry, transient: bool, failure: Failure) -> Decision {
        let config = &self.crew.inner.config;
        let is_callback = header.lane == Lane::Callbacks;
        // An outcome is somebody's answer: it is delivered as long as what hinders it may pass.
        let last = self.leased.attempt >= header.max_attempts && !is_callback;
        if transient && !last {
            let (base, cap) = (retry.base.unwrap_or(config.retry_base), retry.cap.unwrap_or(config.retry_cap));
            let jitter = || retry::full_jitter(base, cap, self.leased.attempt);
            let asked = failure.retry_delay().filter(|_| self.leased.attempt < header.max_attempts);
            let delay = asked.unwrap_or_else(jitter).max(Duration::from_millis(1));
            if is_callback || delay < work.remaining() {
                return Decision::Retry(delay, failure);
            }
        }
        let why = match (transient, is_callback) {
            (true, _) if last => "exhausted",
            (false, true) => "rejected",
            _ => "",
        };
        self.end(work, why, action::Outcome::failed(failure.clone()).status(), &failure)
    }

    fn end(&self, work: &Work, why: &'static str, status: Status, failure: &Failure) -> Decision {
        let ending = Ending { status, error: Some(detail_of(failure)), ..Ending::default() };
        Decision::End(why, self.complete(work, ending))
    }

    /// Adds to an ending what every ending has.
    fn complete(&self, work: &Work, ending: Ending) -> Ending {
        let ended = work.inside.now();
        let mut tokens_used = ending.tokens_used;
        let mut events = self.events_before(work);
        work.diary(|diary| {
            add(&mut tokens_used, &diary.tokens);
            events.extend(diary.noted.iter().chain(&diary.events).cloned());
        });
        events.push(work.step("settled"));
        timeline::sort(&mut events);
        let first = timeline::at(self.leased.first_claim);
        Ending {
            tokens_used,
            events,
            execution_time: ended.duration_since(first).unwrap_or_default(),
            attempts: self.leased.attempt,
            fence: self.leased.token,
            ..ending
        }
    }

    /// Returns the steps until the claim: the record's for a root action, else those that this delivery knows of.
    fn events_before(&self, work: &Work) -> Vec<TaskEvent> {
        let recorded = timeline::decode(&self.leased.events);
        let Some(delivery) = work.action().delivery.as_ref().filter(|_| recorded.is_empty()) else { return recorded };
        let attempt = work.action().attempt();
        let step = |name, at| timeline::event(name, at, self.part.domain, attempt);
        vec![step("queued", delivery.enqueued_at), step("claimed", delivery.claimed_at)]
    }

    fn done(
        &self,
        work: &Work,
        header: &Header,
        why: &'static str,
        ending: &Ending,
        parcel: Option<&Parcel>,
    ) -> Settle {
        let end = End {
            why,
            outcome: parcel.map(Parcel::encode).unwrap_or_default(),
            result: ending.result.as_ref().filter(|_| header.root).map(Any::encode_to_vec).unwrap_or_default(),
            error: ending.error.as_ref().map(prost::Message::encode_to_vec).unwrap_or_default(),
            tokens: if header.root { ending.tokens_used.encode_to_vec() } else { Vec::new() },
            events: unwritten(work),
            attempts: self.leased.attempt,
            ..End::of(header, outcome::word(ending.status))
        };
        Settle::Done { id: self.leased.id.clone(), token: self.leased.token, end: Box::new(end) }
    }

    fn retry(&self, work: &Work, delay: Duration, failure: &Failure) -> Settle {
        let error = detail_of(failure).encode_to_vec();
        let events = unwritten(work);
        Settle::Retry { id: self.leased.id.clone(), token: self.leased.token, delay, error, events }
    }

    fn release(&self, work: &Work) -> Settle {
        Settle::Release { id: self.leased.id.clone(), token: self.leased.token, events: unwritten(work) }
    }

    /// Gives up what cannot be read as an action at all. Nobody can be told but the record of its task.
    async fn bury_unreadable(&self) {
        // A header that only the script understands does not come up; if it does, the lease runs out and it ends as poison.
        let Some((header, _)) = Header::split(&self.leased.body) else { return };
        let end = End {
            why: "malformed",
            error: detail_of(&outcome::unreadable()).encode_to_vec(),
            attempts: self.leased.attempt,
            ..End::of(&header, outcome::word(Status::Failed))
        };
        let item = Settle::Done { id: self.leased.id.clone(), token: self.leased.token, end: Box::new(end) };
        self.part.settle(item).await;
        tracing::error!(action_id = %self.leased.id, domain = %self.part.domain, "an unreadable action was buried");
    }
}

/// What is done about a verdict.
enum Decision {
    End(&'static str, Ending),
    Retry(Duration, Failure),
    Release,
    Crash,
    Nothing,
}

/// Addresses the outcome to whoever wants it.
fn parcel(work: &Work, ending: &Ending) -> Option<Parcel> {
    let callback = outcome::callback(work.action(), ending.clone()).ok()?;
    let mut parcel = Parcel::address(work.action(), &callback)?;
    // What follows from the outcome follows from this delivery.
    if let (Parcel::Callbacks { action, .. }, Some(trace)) = (&mut parcel, trace::inside(&telemetry::Span::current())) {
        action.trace = trace;
    }
    Some(parcel)
}

/// Returns the steps that the record of the task does not have yet.
fn unwritten(work: &Work) -> Vec<u8> {
    if work.action().is_root() { work.diary(|diary| timeline::encode(&diary.events)) } else { Vec::new() }
}

fn unknown_type(action: &Action) -> Failure {
    Error::Action(action::Error::UnknownActionType(action.action_type.clone())).failure()
}

fn panicked(action: &Action) -> Verdict {
    tracing::error!(action_type = %action.action_type, action_id = %action.id, "a handler panicked");
    Verdict::Failed(Failure::internal(), Failure::internal().is_transient())
}
