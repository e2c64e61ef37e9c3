//! The limits of the tiers, out of the settings that the mission names.

use action::Tier;
use quota::Tiers;

use crate::config::Settings;

/// Reads `RATE_LIMIT_{TIER}_PER_MINUTE`, `RATE_LIMIT_{TIER}_PER_DAY` and `TIMEOUT_{TIER}`. The tier enterprise has no rate
/// limits unless they are set.
pub fn read(settings: &mut Settings) -> Tiers {
    let mut tiers = Tiers::default();
    for tier in Tier::ALL {
        let limits = tiers.of_mut(tier);
        let name = tier.as_str().to_uppercase();
        limits.per_minute = limit(settings, &format!("RATE_LIMIT_{name}_PER_MINUTE"), limits.per_minute);
        limits.per_day = limit(settings, &format!("RATE_LIMIT_{name}_PER_DAY"), limits.per_day);
        let longest = std::time::Duration::from_hours(1);
        let shortest = std::time::Duration::from_millis(1);
        limits.timeout = settings.get_in(&format!("TIMEOUT_{name}"), limits.timeout, shortest..=longest);
    }
    tiers
}

fn limit(settings: &mut Settings, name: &str, default: Option<u32>) -> Option<u32> {
    match default {
        Some(default) => Some(settings.get_in(name, default, 1..)),
        None => settings.optional(name),
    }
}
