//! Which models a process uses, from its settings.

use std::path::{Path, PathBuf};

use models::{Config, EmbeddingConfig, Endpoint, LlmConfig};
use service_kit::Settings;

/// Where `make setup` puts the local model, and where the container image has it.
const MODEL_DIRS: [&str; 2] = [".tools/models/all-minilm-l6-v2", "/usr/share/nooble/all-minilm-l6-v2"];

/// Value of `EMBEDDING_MODEL_DIR` that does without a model although one is there: texts are compared by their words only.
pub(crate) const NO_MODEL: &str = "none";

/// Reads which models to use: a provider where one is named, the built-in ones elsewhere.
pub(crate) fn read(settings: &mut Settings) -> Config {
    Config { llm: language(settings), embedding: embedding(settings) }
}

fn language(settings: &mut Settings) -> LlmConfig {
    let model = settings.text("LLM_MODEL", "gpt-4o-mini");
    match endpoint(settings, "LLM_BASE_URL", "LLM_API_KEY", &model) {
        Some(endpoint) => LlmConfig::OpenAi(endpoint),
        None => LlmConfig::Extractive,
    }
}

fn embedding(settings: &mut Settings) -> EmbeddingConfig {
    let model = settings.text("EMBEDDING_MODEL", "text-embedding-3-small");
    let dimensions = settings.optional("EMBEDDING_DIMENSIONS");
    let relevance_threshold = settings.optional("EMBEDDING_RELEVANCE_THRESHOLD");
    let local = settings.optional::<String>("EMBEDDING_MODEL_DIR").map(PathBuf::from);
    if let Some(endpoint) = endpoint(settings, "EMBEDDING_BASE_URL", "EMBEDDING_API_KEY", &model) {
        return EmbeddingConfig::OpenAi { endpoint, dimensions, relevance_threshold };
    }
    if local.as_deref() == Some(Path::new(NO_MODEL)) {
        return EmbeddingConfig::Hashing;
    }
    if let Some(dir) = local {
        if !dir.join("model.safetensors").is_file() {
            settings.reject("EMBEDDING_MODEL_DIR", format!("{} holds no model.safetensors", dir.display()));
        }
        return EmbeddingConfig::MiniLm { dir };
    }
    let found = MODEL_DIRS.iter().map(Path::new).find(|dir| dir.join("model.safetensors").is_file());
    found.map_or(EmbeddingConfig::Hashing, EmbeddingConfig::local)
}

/// A provider is named by its base URL; a key alone would go nowhere.
fn endpoint(settings: &mut Settings, url: &str, key: &str, model: &str) -> Option<Endpoint> {
    let base_url: Option<String> = settings.optional(url);
    let api_key = settings.secret(key);
    if base_url.is_none() && api_key.is_some() {
        settings.reject(url, format!("required when {key} is set"));
    }
    let base_url = base_url?;
    if !(base_url.starts_with("http://") || base_url.starts_with("https://")) {
        settings.reject(url, "must begin with http:// or https://");
    }
    Some(Endpoint::new(base_url, api_key.map(|key| key.expose().to_owned()).unwrap_or_default(), model))
}
