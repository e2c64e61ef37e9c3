//! Settings of execution.

use std::time::Duration;

use service_kit::config::Settings;

/// How agents are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Runs that one process works on at a time. A run mostly waits for a model, so that there may be many.
    pub slots: usize,
    /// How long an agent's configuration is kept; a change of an agent is seen after this time at the latest.
    pub agent_config_cache_ttl: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { slots: 256, agent_config_cache_ttl: Duration::from_mins(5) }
    }
}

impl Config {
    /// Reads the settings whose names begin with `EXECUTION_`.
    pub fn read(settings: &mut Settings) -> Self {
        let default = Self::default();
        let day = Duration::from_hours(24);
        Self {
            slots: settings.get_in("EXECUTION_SLOTS", default.slots, 1..=65_536),
            agent_config_cache_ttl: settings.get_in(
                "EXECUTION_AGENT_CONFIG_CACHE_TTL",
                default.agent_config_cache_ttl,
                Duration::ZERO..=day,
            ),
        }
    }
}
