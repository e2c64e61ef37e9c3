//! One socket, from the upgrade to the close.

mod heard;

use std::pin::{Pin, pin};
use std::time::{Duration, SystemTime};

use action::TaskId;
use axum::extract::ws::{Message, WebSocket};
use fault::{Failure, reason};
use futures::future::{BoxFuture, OptionFuture};
use proto::action::v1::TraceContext;
use proto::task::v1::Frame;
use service_kit::Bucket;
use telemetry::{Instrument as _, Origin, Span, SpanKind, Value};
use tokio::time::{Instant, Sleep};
use uuid::Uuid;

use super::acks::{Ack, Acks};
use super::close::Close;
use super::drain::Place;
use super::errands::Errands;
use super::frames::{self, Envelope, ProtocolError};
use super::greet::{Visitor, greet, verdict};
use super::hub::Subscription;
use super::line::Line;
use super::mailbox::Push;
use super::news::{self, News};
use super::proof::{Principal, Proof};
use super::subscriptions::{Granted, Seen, Subscriptions};
use super::times::{Moment, Times};
use super::told::Told;
use crate::edge::Edge;

/// Time for the orchestrator to say that it follows the session.
const ATTACH: Duration = Duration::from_secs(10);
/// Time for what was asked for to be answered when the process ends.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// Frames of the session that are written before it is looked whether the client has said something.
const PUSHES: u32 = 32;

/// Runs a socket until its end.
pub(super) fn run(
    edge: Edge,
    socket: WebSocket,
    visitor: Box<Visitor>,
    place: Place,
) -> impl Future<Output = ()> + Send {
    let (sockets, config) = (edge.sockets.clone(), &edge.config);
    let allowance = Bucket::new(config.socket_frames_burst, config.socket_frames_per_second, Instant::now());
    let line = Line::new(socket, config.write_timeout, allowance);
    // In a box, and before anything waits: whoever takes a future to run it holds the room for it twice.
    let living = Box::pin(live(edge, line, visitor, place));
    async move {
        telemetry::metric::session::connections("websocket", 1);
        sockets.run(living).await;
        telemetry::metric::session::connections("websocket", -1);
    }
}

pub(super) async fn live(edge: Edge, mut line: Line, visitor: Box<Visitor>, mut place: Place) {
    let connection_id = Uuid::now_v7().to_string();
    // What is done once, or seldom, is in boxes of its own: a socket that waits would hold the room for it as long as it lives.
    let close = match Box::pin(greet(&edge, &mut line, *visitor, &mut place)).await {
        Ok(principal) => {
            let mut session = Box::pin(Session::begin(principal, connection_id.clone())).await;
            let close = session.talk(&mut line).await;
            if close == Close::Draining {
                let _elapsed = tokio::time::timeout(LAST_ANSWERS, Box::pin(session.finish(&mut line))).await;
            }
            let _told = session.acknowledge().await;
            close
        }
        Err(close) => close,
    };
    tracing::info!(connection_id, code = close.code(), why = close.reason(), "socket closed");
    place.leave();
    Box::pin(line.close(close)).await;
}

/// A socket that follows its session.
struct Session {
    principal: Principal,
    following: Subscription,
    acks: Acks,
    told: Told,
    errands: Errands<Outcome>,
    subscriptions: Subscriptions,
    connection_id: String,
    times: Times,
}

/// What came of something that the client asked for.
enum Outcome {
    /// It is answered.
    Answer(Box<Envelope>),
    /// It may subscribe to what it named, as far as the credential goes that was there when it asked.
    Granted(Granted, Proof, Option<String>),
}

/// A credential that is being proved again; tells until when it lasts.
type Proving = BoxFuture<'static, Result<Option<SystemTime>, Failure>>;

/// What happens on a socket.
enum Event {
    Push(Option<Push>),
    Heard(Result<Message, Close>),
    Seen(Seen),
    Done(Outcome),
    Proved(Result<Option<SystemTime>, Failure>),
    News(News),
    Due,
}

impl Session {
    /// Begins to follow.
    async fn begin(principal: Principal, connection_id: String) -> Self {
        let (who, from) = (&principal.addressee, &principal.wanted.from);
        tracing::info!(
            connection_id,
            tenant_id = %who.tenant,
            tier = %who.tier,
            session_id = %who.session,
            resumed = from.is_some(),
            "socket opened"
        );
        let following = principal.edge.hub.follow(who.tenant.clone(), who.session.clone(), from.clone()).await;
        let (now, interval) = (Instant::now(), principal.edge.config.ping_interval);
        Self {
            principal,
            following,
            acks: Acks::new(now),
            told: Told::default(),
            errands: Errands::new(),
            subscriptions: Subscriptions::new(),
            connection_id,
            times: Times::new(now, interval, 0.5 + rand::random::<f64>() / 2.0, ATTACH),
        }
    }

    /// Writes what happens and hears what the client says, until one of them ends it.
    async fn talk(&mut self, line: &mut Line) -> Close {
        let edge = self.principal.edge.clone();
        let mut news = news::next(edge.sockets.clone(), edge.changes.watch_keys());
        let mut alarm = pin!(tokio::time::sleep_until(self.times.next()));
        let mut proving: Option<Proving> = None;
        let mut pushes = 0;
        loop {
            // In this order: what is seldom there, and costs next to nothing to ask for, cannot be kept waiting by what often is;
            // then frames of the session, so many at a time; then the client, which may say only so much; then what others see.
            let event = tokio::select! {
                biased;
                Some(outcome) = self.errands.next(), if !self.errands.is_empty() => Event::Done(outcome),
                Some(proved) = OptionFuture::from(proving.as_mut()) => Event::Proved(proved),
                news = &mut news => Event::News(news),
                () = ring(alarm.as_mut(), self.times.next()) => Event::Due,
                push = self.following.next(), if pushes < PUSHES => Event::Push(push),
                message = line.hear() => Event::Heard(message),
                Some(seen) = self.subscriptions.next(), if !self.subscriptions.is_empty() => Event::Seen(seen),
                () = std::future::ready(()), if pushes == PUSHES => {
                    pushes = 0;
                    continue;
                }
            };
            pushes = if matches!(event, Event::Push(_)) { pushes + 1 } else { 0 };
            let done = match event {
                Event::Push(Some(push)) => self.push(line, push).await,
                Event::Push(None) => Err(Close::Unavailable),
                Event::Heard(Ok(message)) => {
                    self.times.heard();
                    Box::pin(self.answer(line, message)).await
                }
                Event::Heard(Err(close)) => Err(close),
                Event::Seen(seen) => Box::pin(self.forward(line, seen)).await,
                Event::Done(outcome) => Box::pin(self.done(line, outcome)).await,
                Event::Proved(proved) => {
                    proving = None;
                    Box::pin(self.still_proved(line, proved)).await
                }
                Event::News(News::Changed(at, changes)) => {
                    self.times.doubt_at(at);
                    let leaving = self.times.is_leaving();
                    news = if leaving { news::last(changes) } else { news::next(edge.sockets.clone(), changes) };
                    Ok(())
                }
                Event::News(News::Ending(at, changes)) => {
                    self.times.leave_at(at);
                    news = news::last(changes);
                    Ok(())
                }
                Event::Due => match self.times.take(Instant::now()) {
                    Some(moment) => Box::pin(self.due(line, moment, &mut proving)).await,
                    None => Ok(()),
                },
            };
            if let Err(close) = done {
                return close;
            }
        }
    }

    /// Does what it is time for.
    async fn due(&mut self, line: &mut Line, moment: Moment, proving: &mut Option<Proving>) -> Result<(), Close> {
        match moment {
            Moment::NoPong => Err(Close::NoPong),
            Moment::Unattached => self.unattached(line).await,
            Moment::Farewell => Err(Close::Draining),
            Moment::Doubt => {
                // One that is under way may have begun before the reason to doubt.
                *proving = Some(self.prove_again());
                Ok(())
            }
            Moment::Acknowledge => self.acknowledge().await,
            Moment::Ping => {
                self.times.pinged(Instant::now(), self.principal.edge.config.ping_timeout);
                proving.get_or_insert_with(|| self.prove_again());
                line.ping().await
            }
        }
    }

    /// A key may be revoked while its socket is open.
    fn prove_again(&self) -> Proving {
        let principal = self.principal.clone();
        Box::pin(async move { principal.prove().await.map(|caller| caller.expires_at) })
    }

    async fn still_proved(
        &mut self,
        line: &mut Line,
        proved: Result<Option<SystemTime>, Failure>,
    ) -> Result<(), Close> {
        let failure = match proved {
            Ok(end) => {
                self.times.proved(Instant::now(), end);
                return Ok(());
            }
            Err(failure) => failure,
        };
        if failure.is_transient() {
            return Ok(());
        }
        line.say(self.principal.addressee.protocol_error(&ProtocolError::from(&failure)).to_json()).await?;
        // It was good when the socket was opened.
        let ended = matches!(verdict(&failure), Close::InvalidToken | Close::Expired);
        Err(if ended { Close::Expired } else { Close::Forbidden })
    }

    async fn unattached(&mut self, line: &mut Line) -> Result<(), Close> {
        let error = ProtocolError::new(reason::UNAVAILABLE.id, "the session cannot be followed for now; come back");
        line.say(self.principal.addressee.protocol_error(&error).to_json()).await?;
        Err(Close::Unavailable)
    }

    /// Tells on what the client has dealt with.
    async fn acknowledge(&mut self) -> Result<(), Close> {
        if let Some(Ack { epoch, seq }) = self.acks.take(Instant::now()) {
            self.following.acknowledge(epoch, seq).await;
        }
        self.times.acknowledge_at(self.acks.due());
        Ok(())
    }

    async fn push(&mut self, line: &mut Line, push: Push) -> Result<(), Close> {
        let frame = match push {
            Push::Frame(frame) if !frames::ends_task(&frame) => frame,
            seldom => return Box::pin(self.push_seldom(line, seldom)).await,
        };
        self.acks.show(&frame.epoch);
        // Nothing of the frame is kept while its text is written.
        let Some((kind, text)) = frames::render(*frame).map(|shown| (shown.kind(), shown.to_json())) else {
            return Ok(());
        };
        line.say(text).await?;
        telemetry::metric::session::pushed(kind);
        Ok(())
    }

    /// Shows what comes once a task or less: the last frame of one, and where the client stands in its session.
    async fn push_seldom(&mut self, line: &mut Line, push: Push) -> Result<(), Close> {
        match push {
            Push::Attached(position) => {
                self.times.attached();
                self.acks.show(&position.epoch);
                line.say(self.principal.addressee.connection_ack(&self.connection_id, &position).to_json()).await
            }
            Push::Frame(frame) => self.show_last(line, *frame).await,
            Push::Gap(gap) => {
                telemetry::metric::session::gap();
                self.acks.show(&gap.epoch);
                line.say(self.principal.addressee.gap(&gap).to_json()).await
            }
            Push::Resumed(resumed) => line.say(self.principal.addressee.resumed(&resumed).to_json()).await,
            Push::Refused(refused) => {
                let failure = reason::find(&refused.reason).map(|reason| Failure::new(reason, refused.message));
                let failure = failure.unwrap_or_else(Failure::internal);
                line.say(self.principal.addressee.protocol_error(&ProtocolError::from(&failure)).to_json()).await?;
                Err(Close::Forbidden)
            }
        }
    }

    /// Writes the last frame of a task, which continues the task's trace, and tells the orchestrator of it when it is out for the
    /// first time.
    async fn show_last(&mut self, line: &mut Line, frame: Frame) -> Result<(), Close> {
        let task: Option<TaskId> = frame.task_id.parse().ok();
        let trace = frame.trace.clone().unwrap_or_default();
        let seq = frame.seq;
        self.acks.show(&frame.epoch);
        let Some(envelope) = frames::render(frame) else { return Ok(()) };
        let kind = envelope.kind();
        let Some(task) = task else {
            line.say(envelope.to_json()).await?;
            telemetry::metric::session::pushed(kind);
            return Ok(());
        };
        let span = self.push_span(&trace, task, kind, seq);
        let pushed = async {
            line.say(envelope.to_json()).await?;
            tracing::info!(task_id = %task, kind, seq, "result delivered");
            Ok(())
        };
        pushed.instrument(span).await?;
        telemetry::metric::session::pushed(kind);
        self.subscriptions.leave(task);
        if self.told.first(task) {
            self.following.delivered(task).await;
        }
        Ok(())
    }

    /// Makes the span of showing a task's last frame.
    fn push_span(&self, trace: &TraceContext, task: TaskId, kind: &str, seq: u64) -> Span {
        let known = [
            ("nooble.task_id", Value::Shown(&task)),
            ("nooble.tenant_id", Value::Shown(&self.principal.addressee.tenant)),
            ("nooble.session_id", Value::Shown(&self.principal.addressee.session)),
            ("nooble.frame.seq", seq.into()),
        ];
        let origin = Origin::beyond(&trace.traceparent, &trace.tracestate);
        Span::begin(origin, SpanKind::Producer, "ws.push", format_args!("push {kind}"), &known)
    }
}

/// Completes at a moment, or somewhat before. The timer is left as it is when that has moved to later: it rings too early once, and
/// is set anew then.
async fn ring(mut alarm: Pin<&mut Sleep>, at: Instant) {
    if alarm.is_elapsed() || at < alarm.deadline() {
        alarm.as_mut().reset(at);
    }
    alarm.await;
}
