//! What can be chosen about logs.

use std::time::Duration;

use action::Tier;

/// Sizes and times of session logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long a log of the free tier outlives its last frame or follower; higher tiers have their own below.
    pub retention_free: Duration,
    /// The same for the tier advance.
    pub retention_advance: Duration,
    /// The same for the tier professional.
    pub retention_professional: Duration,
    /// The same for the tier enterprise.
    pub retention_enterprise: Duration,
    /// Frames that a log keeps at least; up to a hundred more stay until Redis trims a whole node.
    pub max_frames: usize,
    /// How often a follower's position is compared with the log, in case a hint was lost.
    pub check: Duration,
    /// How long a process counts as a follower without renewing; at least twice `check`.
    pub lease: Duration,
    /// How long text is gathered before the next delta is written.
    pub delta_interval: Duration,
    /// Bytes of text after which a delta is written without waiting longer.
    pub delta_bytes: usize,
    /// Frames that are read in one round trip.
    pub page: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            retention_free: Duration::from_mins(15),
            retention_advance: Duration::from_mins(30),
            retention_professional: Duration::from_hours(1),
            retention_enterprise: Duration::from_hours(2),
            max_frames: 1000,
            check: Duration::from_secs(10),
            lease: Duration::from_secs(30),
            delta_interval: Duration::from_millis(40),
            delta_bytes: 1024,
            page: 200,
        }
    }
}

impl Config {
    /// Returns how long a log of a tenant of `tier` outlives its last frame.
    pub fn retention(&self, tier: Tier) -> Duration {
        match tier {
            Tier::Free => self.retention_free,
            Tier::Advance => self.retention_advance,
            Tier::Professional => self.retention_professional,
            Tier::Enterprise => self.retention_enterprise,
        }
    }
}
