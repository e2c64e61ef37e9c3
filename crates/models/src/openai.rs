//! OpenAI-compatible APIs: OpenAI, Groq, Ollama, vLLM and whoever else speaks their language.

mod chat;
mod embed;
mod http;
mod prompt;
mod retry;
mod sse;

pub(crate) use chat::OpenAiChat;
pub(crate) use embed::{OpenAiEmbeddings, identify};

#[cfg(test)]
mod tests;
