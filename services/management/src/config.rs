//! Settings, `AGENT_MANAGEMENT_…`.

use service_kit::config::{Secret, Settings};

/// How the service is set up; `deploy/config/management.toml` explains each setting.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Key under which the secrets of API keys are hashed; the file `pepper.key` of the data directory when absent.
    pub key_pepper: Option<Secret>,
}

impl Config {
    /// Reads the settings.
    pub fn read(settings: &mut Settings) -> Self {
        let key_pepper = settings.secret("AGENT_MANAGEMENT_KEY_PEPPER");
        if key_pepper.as_ref().is_some_and(|pepper| pepper.expose().len() < 32) {
            settings.reject("AGENT_MANAGEMENT_KEY_PEPPER", "must have at least 32 characters");
        }
        Self { key_pepper }
    }
}
