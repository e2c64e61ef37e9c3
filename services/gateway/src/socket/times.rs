//! When something is due on one socket, all in one place: a socket that waits holds one timer, and setting another moment costs
//! none. No clock of its own.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Nothing was heard since the last ping.
    NoPong,
    /// The session should be followed by now.
    Unattached,
    /// The process ends, and it is this socket's turn.
    Farewell,
    /// The credential must be proved again.
    Doubt,
    /// The orchestrator is to be told what the client has dealt with.
    Acknowledge,
    /// A ping is to be sent.
    Ping,
}

/// The moments that are ahead.
#[derive(Clone, Debug)]
pub(super) struct Times {
    interval: Duration,
    ping: Instant,
    pong: Option<Instant>,
    attached: Option<Instant>,
    farewell: Option<Instant>,
    /// How long the credential lasts, or when it is asked why it should.
    doubt: Option<Instant>,
    acknowledge: Option<Instant>,
}

impl Times {
    /// Begins with a doubt: how long the credential lasts is not known yet. The first ping comes after the given part of the
    /// interval, so that sockets that were opened together do not ping together.
    pub(super) fn new(now: Instant, interval: Duration, part: f64, attach: Duration) -> Self {
        Self {
            interval,
            ping: now + interval.mul_f64(part),
            pong: None,
            attached: Some(now + attach),
            farewell: None,
            doubt: Some(now),
            acknowledge: None,
        }
    }

    /// Returns when the next thing is due.
    pub(super) fn next(&self) -> Instant {
        let others = [self.pong, self.attached, self.farewell, self.doubt, self.acknowledge];
        others.into_iter().flatten().fold(self.ping, Instant::min)
    }

    /// Takes out something that is due.
    pub(super) fn take(&mut self, now: Instant) -> Option<Moment> {
        let single = [
            (&mut self.pong, Moment::NoPong),
            (&mut self.attached, Moment::Unattached),
            (&mut self.farewell, Moment::Farewell),
            (&mut self.doubt, Moment::Doubt),
            (&mut self.acknowledge, Moment::Acknowledge),
        ];
        for (at, moment) in single {
            if at.take_if(|at| *at <= now).is_some() {
                return Some(moment);
            }
        }
        if self.ping > now {
            return None;
        }
        // Pings that were missed are not made up for.
        self.ping = now + self.interval;
        Some(Moment::Ping)
    }

    /// Notes that a ping was sent, which is answered within a time: by anything, for whoever speaks is alive.
    pub(super) fn pinged(&mut self, now: Instant, patience: Duration) {
        self.pong.get_or_insert(now + patience);
    }

    /// Notes that the client has said something.
    pub(super) fn heard(&mut self) {
        self.pong = None;
    }

    /// Notes that the session is followed.
    pub(super) fn attached(&mut self) {
        self.attached = None;
    }

    /// Notes when the socket is to be closed because the process ends.
    pub(super) fn leave_at(&mut self, at: Instant) {
        self.farewell = Some(at);
    }

    /// Tells whether that is known.
    pub(super) fn is_leaving(&self) -> bool {
        self.farewell.is_some()
    }

    /// Notes that the credential is to be proved at that moment, if not before.
    pub(super) fn doubt_at(&mut self, at: Instant) {
        self.doubt = Some(self.doubt.map_or(at, |doubt| doubt.min(at)));
    }

    /// Notes until when a credential lasts that was proved.
    pub(super) fn proved(&mut self, now: Instant, expires_at: Option<SystemTime>) {
        if let Some(end) = expires_at {
            let left = end.duration_since(SystemTime::now()).unwrap_or_default();
            // No clock is so exact that a moment before the end would not happen.
            self.doubt_at(now + left + Duration::from_millis(5));
        }
    }

    /// Notes when there is something to tell of what the client has dealt with; none while there is nothing.
    pub(super) fn acknowledge_at(&mut self, at: Option<Instant>) {
        self.acknowledge = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);
    const ATTACH: Duration = Duration::from_secs(10);

    /// A socket that is followed and whose credential is proved, and when it was opened.
    fn settled() -> (Times, Instant) {
        let now = Instant::now();
        let mut times = Times::new(now, INTERVAL, 0.5, ATTACH);
        assert_eq!(times.next(), now);
        assert_eq!(times.take(now), Some(Moment::Doubt));
        times.attached();
        (times, now)
    }

    #[test]
    fn a_socket_that_waits_is_only_pinged() {
        let (mut times, now) = settled();
        assert_eq!(times.take(now), None);
        assert_eq!(times.next(), now + INTERVAL / 2);
        assert_eq!(times.take(now + INTERVAL / 2), Some(Moment::Ping));
        assert_eq!(times.next(), now + INTERVAL * 3 / 2);
        let late = now + INTERVAL * 10;
        assert_eq!(times.take(late), Some(Moment::Ping));
        assert_eq!(times.take(late), None, "what was missed is not made up for");
    }

    #[test]
    fn a_ping_that_nothing_follows_is_met_by_an_end() {
        let (mut times, now) = settled();
        times.pinged(now, Duration::from_secs(2));
        times.pinged(now + Duration::from_secs(1), Duration::from_secs(2));
        assert_eq!(times.next(), now + Duration::from_secs(2), "the first ping counts");
        times.heard();
        assert_eq!(times.take(now + Duration::from_secs(2)), None);
        times.pinged(now, Duration::from_secs(2));
        assert_eq!(times.take(now + Duration::from_secs(2)), Some(Moment::NoPong));
    }

    #[test]
    fn a_session_that_is_not_followed_in_time_is_noticed() {
        let now = Instant::now();
        let mut times = Times::new(now, INTERVAL, 1.0, ATTACH);
        assert_eq!(times.take(now), Some(Moment::Doubt));
        assert_eq!(times.take(now + ATTACH), Some(Moment::Unattached));
        assert_eq!(times.take(now + ATTACH), None, "once");
    }

    #[test]
    fn a_credential_is_doubted_at_first_at_its_end_and_sooner_when_asked() {
        let (mut times, now) = settled();
        times.proved(now, None);
        assert_eq!(times.next(), now + INTERVAL / 2);
        times.proved(now, Some(SystemTime::now() + Duration::from_secs(5)));
        assert_eq!(times.take(now + Duration::from_secs(4)), None);
        times.doubt_at(now + Duration::from_secs(1));
        times.doubt_at(now + Duration::from_secs(3));
        assert_eq!(times.take(now + Duration::from_secs(1)), Some(Moment::Doubt));
        assert_eq!(times.take(now + Duration::from_secs(6)), None, "it is proved again, which says until when");
        times.proved(now, Some(SystemTime::now() + Duration::from_secs(5)));
        assert_eq!(times.take(now + Duration::from_secs(6)), Some(Moment::Doubt));
    }

    #[test]
    fn acks_and_the_end_of_the_process_have_their_moments() {
        let (mut times, now) = settled();
        times.acknowledge_at(Some(now + Duration::from_millis(250)));
        times.leave_at(now + Duration::from_millis(300));
        assert_eq!(times.take(now + Duration::from_millis(250)), Some(Moment::Acknowledge));
        times.acknowledge_at(Some(now + Duration::from_millis(260)));
        times.acknowledge_at(None);
        assert_eq!(times.next(), now + Duration::from_millis(300));
        assert_eq!(times.take(now + Duration::from_millis(300)), Some(Moment::Farewell));
    }
}
