//! Which claim loops run in this process, and when each last ran.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use action::Domain;

/// A loop that has not run for this long is stuck.
const STUCK: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(crate) struct Loops {
    all: Mutex<Vec<Arc<Pulse>>>,
}

/// The sign of life of one loop. The loop counts as long as it holds it.
#[derive(Debug)]
pub(crate) struct Pulse {
    domain: Domain,
    last: Mutex<Instant>,
}

impl Loops {
    pub(crate) fn enter(&self, domain: Domain) -> Arc<Pulse> {
        let pulse = Arc::new(Pulse { domain, last: Mutex::new(Instant::now()) });
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|pulse| Arc::strong_count(pulse) > 1);
        all.push(Arc::clone(&pulse));
        pulse
    }

    pub(crate) fn healthy(&self, domain: Domain) -> bool {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|pulse| pulse.domain == domain && Arc::strong_count(pulse) > 1).all(|pulse| pulse.is_alive())
    }
}

impl Pulse {
    pub(crate) fn beat(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn is_alive(&self) -> bool {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).elapsed() < STUCK
    }
}
