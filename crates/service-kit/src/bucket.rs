//! How much one client may say: so many things at once, and then so many a second. It has no clock of its own.

use tokio::time::Instant;

/// Tokens, one for each thing that is said; they come back with time.
#[derive(Clone, Debug)]
pub struct Bucket {
    burst: f64,
    per_second: f64,
    tokens: f64,
    counted: Instant,
}

impl Bucket {
    /// Makes a full bucket.
    pub fn new(burst: u32, per_second: u32, now: Instant) -> Self {
        let burst = f64::from(burst);
        Self { burst, per_second: f64::from(per_second), tokens: burst, counted: now }
    }

    /// Takes a token; tells whether there was one.
    pub fn take(&mut self, now: Instant) -> bool {
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

#[cfg(test)]
mod tests;
