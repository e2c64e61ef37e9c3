//! The time by which refusals and windows are remembered.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970 that never jump, or a moment that stands still.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Clock {
    Runs { origin: Instant, at: u64 },
    Stands(u64),
}

impl Clock {
    pub(crate) fn running() -> Self {
        Self::Runs { origin: Instant::now(), at: unix_ms(SystemTime::now()) }
    }

    pub(crate) fn standing(now: SystemTime) -> Self {
        Self::Stands(unix_ms(now))
    }

    pub(crate) fn ms(self) -> u64 {
        match self {
            Self::Runs { origin, at } => at + u64::try_from(origin.elapsed().as_millis()).unwrap_or(u64::MAX),
            Self::Stands(at) => at,
        }
    }

    /// Returns what a script is told: 0 makes it take the server's clock.
    pub(crate) fn for_scripts(self) -> u64 {
        match self {
            Self::Runs { .. } => 0,
            Self::Stands(at) => at,
        }
    }
}

fn unix_ms(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
