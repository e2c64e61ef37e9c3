//! Settings of the orchestrator.

use action::Domain;
use service_kit::config::Settings;

/// How the orchestrator takes messages in and follows sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whether a message is refused at once when the tenant may not use the agent or collection. Without it the run is
    /// accepted and fails in its worker, which checks again in any case.
    pub enable_access_validation: bool,
    /// Callbacks that one process handles at a time.
    pub callback_slots: usize,
    /// Sessions that one stream of a gateway may follow.
    pub max_channels: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { enable_access_validation: true, callback_slots: 64, max_channels: 10_000 }
    }
}

impl Config {
    /// Reads the settings whose names begin with `ORCHESTRATOR_`.
    pub fn read(settings: &mut Settings) -> Self {
        let default = Self::default();
        // The domain whose callbacks are consumed is where every façade sends outcomes unless its caller says otherwise:
        // anything else is refused at start rather than losing answers.
        let only = Domain::Orchestrator.as_str();
        for name in ["ORCHESTRATOR_DOMAIN_NAME", "ORCHESTRATOR_CALLBACK_QUEUE_PREFIX"] {
            settings.choose(name, only, &[(only, ())]);
        }
        Self {
            enable_access_validation: settings
                .get("ORCHESTRATOR_ENABLE_ACCESS_VALIDATION", default.enable_access_validation),
            callback_slots: settings.get_in("ORCHESTRATOR_CALLBACK_SLOTS", default.callback_slots, 1..=4_096),
            max_channels: settings.get_in("ORCHESTRATOR_MAX_CHANNELS", default.max_channels, 1..=1_000_000),
        }
    }
}
