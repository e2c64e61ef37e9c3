//! Following a log: what was missed, then what happens.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use proto::task::v1::Frame;
use tokio::time::sleep;

use crate::hub::{Hint, Registration};
use crate::log::Keys;
use crate::sessions::Inner;
use crate::{Error, Event, Gap, GapReason, Page, Position, Start};

/// Pause before reading again when Redis is away.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// One follower. It holds what it needs to go on after any trouble: the position up to which it has told everything.
pub(crate) struct Following {
    inner: Arc<Inner>,
    keys: Keys,
    registration: Registration,
    phase: Phase,
    position: Position,
    told: VecDeque<Event>,
    pause: Duration,
}

enum Phase {
    /// Nothing was read yet.
    Attaching(Start),
    /// What was in the log at the beginning is read, from one position up to another.
    Replaying { from: u64, to: u64 },
    /// There is more in the log than was told.
    Behind,
    /// Everything that is known was told.
    Live,
}

impl Following {
    pub(crate) fn new(inner: Arc<Inner>, keys: Keys, from: Start) -> Self {
        // Registered before anything is read, so that no hint after the reading can be missed.
        let registration = inner.hub.register(&keys);
        Self {
            inner,
            keys,
            registration,
            phase: Phase::Attaching(from),
            position: Position::default(),
            told: VecDeque::new(),
            pause: PAUSE,
        }
    }

    /// Returns the next event, however long it takes.
    pub(crate) async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.told.pop_front() {
                return event;
            }
            if matches!(self.phase, Phase::Live) {
                self.listen().await;
            } else if let Err(error) = self.advance().await {
                self.wait(&error).await;
            } else {
                self.pause = PAUSE;
            }
        }
    }

    /// Reads the next page.
    async fn advance(&mut self) -> Result<(), Error> {
        let from = match &self.phase {
            Phase::Attaching(start) => start.clone(),
            _ => Start::After(self.position.clone()),
        };
        let page = self.inner.page(&self.keys, &from, self.inner.config.page, &self.inner.hub.node).await?;
        match self.phase {
            Phase::Attaching(_) => {
                self.told.push_back(Event::Attached { epoch: page.epoch.clone(), top: page.top, after: page.after });
                let (from, to) = (page.after + 1, page.top);
                self.tell(page);
                self.phase = Phase::Replaying { from, to };
                self.settle();
            }
            Phase::Replaying { .. } => {
                self.tell(page);
                self.settle();
            }
            Phase::Behind | Phase::Live => {
                let all = page.upto >= page.top;
                self.tell(page);
                if all {
                    self.phase = Phase::Live;
                }
            }
        }
        Ok(())
    }

    /// Ends the replay once it has reached what was the top when it began.
    fn settle(&mut self) {
        if let Phase::Replaying { from, to } = self.phase
            && self.position.seq >= to
        {
            self.told.push_back(Event::Resumed { from, to: self.position.seq, epoch: self.position.epoch.clone() });
            self.phase = Phase::Live;
        }
    }

    fn tell(&mut self, page: Page) {
        if let Some(gap) = page.gap {
            telemetry::metric::session::gap();
            self.told.push_back(Event::Gap(self.named(gap)));
            // The replay began in a numbering that is over: it ends at the top of the new one.
            if let Phase::Replaying { to, .. } = &mut self.phase {
                *to = page.top;
            }
        }
        self.position = Position { epoch: page.epoch, seq: page.upto };
        self.told.extend(page.frames.into_iter().map(Event::Frame));
    }

    /// A log that is followed does not expire: if it is gone, the server lost it.
    fn named(&self, gap: Gap) -> Gap {
        let lost = gap.reason == GapReason::Expired && !matches!(self.phase, Phase::Attaching(_));
        if lost { Gap { reason: GapReason::Epoch, ..gap } } else { gap }
    }

    async fn listen(&mut self) {
        match self.registration.next().await {
            Some(Hint::Frames(frames)) => {
                for frame in frames.iter() {
                    if self.place(frame) == Place::Beyond {
                        self.phase = Phase::Behind;
                        return;
                    }
                }
            }
            Some(Hint::Top { epoch, seq }) => {
                if epoch != self.position.epoch || seq > self.position.seq {
                    self.phase = Phase::Behind;
                }
            }
            None => self.phase = Phase::Behind,
        }
    }

    fn place(&mut self, frame: &Frame) -> Place {
        if frame.epoch != self.position.epoch || frame.seq > self.position.seq + 1 {
            return Place::Beyond;
        }
        if frame.seq <= self.position.seq {
            return Place::Told;
        }
        self.position.seq = frame.seq;
        self.told.push_back(Event::Frame(frame.clone()));
        Place::Next
    }

    async fn wait(&mut self, error: &Error) {
        if self.pause == PAUSE {
            tracing::warn!(%error, log = self.keys.tag, "a session log cannot be read for now");
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

/// Where a hinted frame stands relative to what was told.
#[derive(PartialEq, Eq)]
enum Place {
    Told,
    Next,
    Beyond,
}
