//! How much a client may say: so many frames at once, and then so many a second. No clock of its own.

use tokio::time::Instant;

/// Tokens, one for each frame; they come back with time.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    burst: f64,
    per_second: f64,
    tokens: f64,
    counted: Instant,
}

impl Bucket {
    /// Makes a full bucket.
    pub(super) fn new(burst: u32, per_second: u32, now: Instant) -> Self {
        let burst = f64::from(burst);
        Self { burst, per_second: f64::from(per_second), tokens: burst, counted: now }
    }

    /// Takes a token; tells whether there was one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.counted).as_secs_f64();
        self.counted = self.counted.max(now);
        self.tokens = passed.mul_add(self.per_second, self.tokens).min(self.burst);
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}
