//! Settings.

use service_kit::Settings;

/// Settings of the query service; `deploy/config/query.toml` explains them.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Actions that are handled at a time. They wait for embeddings and models most of the time.
    pub slots: usize,
    /// Most bytes of vectors that are kept in memory between searches.
    pub index_memory: usize,
    /// Passages that are given to the model when the request does not say.
    pub top_k: u32,
    /// Passages that are named as sources when the request does not say.
    pub max_sources: u32,
    /// Tokens of an answer when the request does not say.
    pub max_tokens: u32,
    /// How freely the model writes when the request does not say, 0 to 1.
    pub temperature: f32,
}

impl Default for Config {
    fn default() -> Self {
        Self { slots: 64, index_memory: 256 << 20, top_k: 5, max_sources: 3, max_tokens: 1024, temperature: 0.3 }
    }
}

impl Config {
    /// Reads the settings; mistakes are noted in `settings`.
    pub fn read(settings: &mut Settings) -> Self {
        let default = Self::default();
        Self {
            slots: settings.get_in("QUERY_SLOTS", default.slots, 1..=4096),
            index_memory: settings.get("QUERY_INDEX_MEMORY_BYTES", default.index_memory),
            top_k: settings.get_in("QUERY_DEFAULT_TOP_K", default.top_k, 1..=50),
            max_sources: settings.get_in("QUERY_DEFAULT_MAX_SOURCES", default.max_sources, 1..=50),
            max_tokens: settings.get_in("QUERY_LLM_MAX_TOKENS", default.max_tokens, 1..=8192),
            temperature: settings.get_in("QUERY_LLM_TEMPERATURE", default.temperature, 0.0..=1.0),
        }
    }
}
