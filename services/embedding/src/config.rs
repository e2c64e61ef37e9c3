//! Settings.

use std::num::NonZero;

use service_kit::Settings;

/// Settings of the embedding service; `deploy/config/embedding.toml` explains them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Actions that are handled at a time; as many as there are cores when the setting is 0.
    pub slots: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { slots: cores() }
    }
}

impl Config {
    /// Reads the settings; mistakes are noted in `settings`.
    pub fn read(settings: &mut Settings) -> Self {
        match settings.get_in("EMBEDDING_SLOTS", 0, 0..=1024) {
            0 => Self::default(),
            slots => Self { slots },
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}
