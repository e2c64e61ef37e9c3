//! The limits of the tiers, out of the settings that the mission names.

use action::Tier;
use quota::{Degraded, Tiers};

use crate::config::{Settings, Value};

/// Reads `RATE_LIMIT_{TIER}_PER_MINUTE`, `…_PER_DAY`, `CONCURRENT_TASKS_{TIER}`, `TOKENS_{TIER}_PER_MINUTE`, `…_PER_DAY`,
/// `RATE_LIMIT_DEGRADED_{TIER}`, `TIMEOUT_{TIER}`, and `ORCHESTRATOR_MAX_REQUESTS_PER_SESSION` for all tiers. The tier
/// enterprise has no limits unless they are set.
pub fn read(settings: &mut Settings) -> Tiers {
    let mut tiers = Tiers::default();
    let per_session: Option<u32> = settings.optional("ORCHESTRATOR_MAX_REQUESTS_PER_SESSION");
    for tier in Tier::ALL {
        let limits = tiers.of_mut(tier);
        let name = tier.as_str().to_uppercase();
        limits.per_minute = limit(settings, &format!("RATE_LIMIT_{name}_PER_MINUTE"), limits.per_minute);
        limits.per_day = limit(settings, &format!("RATE_LIMIT_{name}_PER_DAY"), limits.per_day);
        if let Some(number) = per_session {
            limits.per_session_hour = Some(number).filter(|number| *number > 0);
        }
        limits.concurrent_tasks = limit(settings, &format!("CONCURRENT_TASKS_{name}"), limits.concurrent_tasks);
        limits.tokens_per_minute = limit(settings, &format!("TOKENS_{name}_PER_MINUTE"), limits.tokens_per_minute);
        limits.tokens_per_day = limit(settings, &format!("TOKENS_{name}_PER_DAY"), limits.tokens_per_day);
        limits.degraded = degraded(settings, &format!("RATE_LIMIT_DEGRADED_{name}"), limits.degraded);
        let longest = std::time::Duration::from_hours(1);
        let shortest = std::time::Duration::from_millis(1);
        limits.timeout = settings.get_in(&format!("TIMEOUT_{name}"), limits.timeout, shortest..=longest);
    }
    tiers
}

fn limit<T: Value + PartialOrd + From<u8>>(settings: &mut Settings, name: &str, default: Option<T>) -> Option<T> {
    match default {
        Some(default) => Some(settings.get_in(name, default, T::from(1)..)),
        None => settings.optional(name),
    }
}

fn degraded(settings: &mut Settings, name: &str, default: Degraded) -> Degraded {
    let words = [("local", Degraded::Local), ("deny", Degraded::Deny), ("allow", Degraded::Allow)];
    let usual = words.iter().find(|(_, degraded)| *degraded == default).map_or("local", |(word, _)| *word);
    settings.choose(name, usual, &words)
}
