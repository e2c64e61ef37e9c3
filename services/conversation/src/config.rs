//! Settings, `CONVERSATION_…`.

use service_kit::Settings;
use store::Durability;

/// How the service is set up; `deploy/config/conversation.toml` explains each setting.
#[derive(Clone, Debug)]
pub struct Config {
    /// What a power cut may take away.
    pub durability: Durability,
}

impl Config {
    /// Reads the settings.
    pub fn read(settings: &mut Settings) -> Self {
        let words = [("fast", Durability::Fast), ("fsync", Durability::Fsync)];
        Self { durability: settings.choose("CONVERSATION_DURABILITY", "fast", &words) }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { durability: Durability::Fast }
    }
}
