//! Hearing what has changed.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{CHANNEL, Change, Changes};

/// Pause before connecting again.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How often the connection is tried with a message to oneself, and after which silence it counts as cut off: nothing else
/// tells of a server that is gone without a word.
const BEAT: Duration = Duration::from_millis(500);
const SILENCE: Duration = Duration::from_secs(2);

impl Changes {
    /// Runs until the process ends: connects, hears, and connects again.
    pub(super) async fn listening(self, ending: CancellationToken) {
        let mut pause = PAUSE;
        loop {
            let heard = tokio::select! {
                heard = self.hear(&mut pause) => heard,
                () = ending.cancelled() => return,
            };
            let was_connected = self.inner.connected.swap(false, Ordering::AcqRel);
            if was_connected {
                telemetry::metric::identity::changes_connected(-1);
            }
            match heard {
                Ok(()) => tracing::warn!("the connection on which changes are heard of has ended"),
                Err(error) if was_connected => tracing::warn!(%error, "changes are not heard of for now"),
                Err(error) => tracing::debug!(%error, "changes are not heard of for now"),
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = ending.cancelled() => return,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn hear(&self, pause: &mut Duration) -> Result<(), broker::Error> {
        let Some(redis) = &self.inner.redis else { return std::future::pending().await };
        let beats = format!("access:beat:{}", Uuid::new_v4().simple());
        let mut subscriber = redis.subscriber().await?;
        match tokio::time::timeout(SILENCE, subscriber.subscribe(&[CHANNEL, &beats])).await {
            Ok(done) => done.map_err(broker::Error::from)?,
            Err(_) => return Ok(()),
        }
        // Whatever was told before is unknown here.
        self.apply(&Change::Everything);
        let mut messages = subscriber.into_on_message();
        let mut heard = Instant::now();
        let hearing = async {
            loop {
                match tokio::time::timeout(SILENCE.saturating_sub(heard.elapsed()), messages.next()).await {
                    Ok(Some(message)) if message.get_channel_name() == beats => {
                        heard = Instant::now();
                        *pause = PAUSE;
                        if !self.inner.connected.swap(true, Ordering::AcqRel) {
                            telemetry::metric::identity::changes_connected(1);
                        }
                    }
                    Ok(Some(message)) => self.apply_message(message.get_payload_bytes()),
                    Ok(None) | Err(_) => return,
                }
            }
        };
        let beating = async {
            loop {
                // An error shows as silence.
                let beat = redis.query::<i64>(redis::cmd("PUBLISH").arg(&beats).arg("")).await;
                beat.inspect_err(|error| tracing::debug!(%error, "the beat is not heard")).ok();
                tokio::time::sleep(BEAT).await;
            }
        };
        tokio::select! {
            () = hearing => Ok(()),
            () = beating => Ok(()),
        }
    }

    fn apply_message(&self, message: &[u8]) {
        let change = std::str::from_utf8(message).ok().and_then(|text| text.parse().ok());
        if change.is_none() {
            tracing::warn!("a change of a kind that is not known here was told; everything counts as changed");
        }
        self.apply(&change.unwrap_or(Change::Everything));
    }
}
