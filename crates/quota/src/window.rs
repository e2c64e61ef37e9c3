//! Limits as callers see them.

use std::time::Duration;

use crate::charge::{Plan, TASKS};

/// One limit as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// `minute`, `day`, `session`, `address`, `visits`, `agent-minute`, `agent-hour`, `agent-day`, `tokens-minute`, `tokens-day` or
    /// `tasks`.
    pub name: &'static str,
    /// Requests, tokens or tasks that it allows.
    pub limit: u64,
    /// How many are left.
    pub remaining: u64,
    /// Time until it ends and everything is left again; nothing for `tasks`, which end when they end.
    pub reset: Duration,
    /// How long it is; nothing for `tasks`.
    pub length: Duration,
}

impl Window {
    /// Tells whether it counts requests, rather than tokens or tasks.
    pub fn counts_requests(&self) -> bool {
        self.name != TASKS && !self.name.starts_with("tokens")
    }

    /// Returns the time until it ends in seconds, rounded up.
    pub fn reset_seconds(&self) -> u64 {
        self.reset.as_secs() + u64::from(self.reset.subsec_nanos() > 0)
    }

    /// Tells whether more than four fifths are used.
    pub(crate) fn is_nearly_used_up(&self) -> bool {
        self.remaining * 5 < self.limit
    }

    /// Returns the window as it stands some time later, if it has not ended.
    pub(crate) fn later(&self, by: Duration) -> Option<Self> {
        if self.length.is_zero() {
            return Some(self.clone());
        }
        let reset = self.reset.checked_sub(by).filter(|reset| !reset.is_zero())?;
        Some(Self { reset, ..self.clone() })
    }
}

/// Puts what the script says beside what was asked.
pub(crate) fn windows(plan: &Plan, tasks: u64, standing: &[(u64, u64)]) -> Vec<Window> {
    let counted = plan.windows.iter().zip(standing).map(|(planned, (used, left))| Window {
        name: planned.name,
        limit: planned.limit,
        remaining: planned.limit.saturating_sub(*used),
        reset: Duration::from_millis(*left),
        length: Duration::from_secs(planned.unit.into()),
    });
    let tasks = plan.tasks.map(u64::from).map(|limit| Window {
        name: TASKS,
        limit,
        remaining: limit.saturating_sub(tasks),
        reset: Duration::ZERO,
        length: Duration::ZERO,
    });
    counted.chain(tasks).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_nearly_used_up_when_more_than_four_fifths_are() {
        let near = |remaining, limit| {
            let window = Window { name: "minute", limit, remaining, reset: Duration::ZERO, length: Duration::ZERO };
            window.is_nearly_used_up()
        };
        assert_eq!([10, 3, 2, 1, 0].map(|remaining| near(remaining, 10)), [false, false, false, true, true]);
        assert_eq!([41, 40, 39].map(|remaining| near(remaining, 200)), [false, false, true]);
        assert!(!near(0, 0), "a limit of nothing is used by nobody");
    }
}
