//! A server that speaks OpenAI's language: chat completions, streamed or not, and embeddings. It does what a test tells
//! it to, misbehaviour included, and remembers what it was asked.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use futures::{Stream, StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// How the server answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// As it should.
    #[default]
    Normal,
    /// With a status, for the next so many requests; then as it should.
    Status {
        /// The HTTP status.
        code: u16,
        /// The value of the header `Retry-After`, if it is sent.
        retry_after: Option<String>,
        /// How many requests are answered so.
        times: usize,
    },
    /// Each part of a streamed answer waits until [`OpenAi::release`] lets it out.
    Gated,
    /// Each part of a streamed answer comes so much later than the one before: for people to watch, not for tests.
    Slow(Duration),
    /// Not at all: the connection stays open and silent.
    Silent,
    /// The connection breaks after so many parts of a streamed answer.
    Cut {
        /// How many parts are sent before.
        after: usize,
    },
    /// With events that are no JSON.
    Garbage,
    /// Refusing requests that have this field, as OpenAI's reasoning models do with `temperature`.
    Without(&'static str),
}

/// A request that the server received.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its path, e.g. `/v1/embeddings`.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Value,
}

/// The server; ends when it is dropped.
#[derive(Debug)]
pub struct OpenAi {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    script: Mutex<Script>,
    gate: Semaphore,
}

#[derive(Debug)]
struct Script {
    mode: Mode,
    texts: VecDeque<String>,
    parts: usize,
    dimensions: usize,
    received: Vec<Received>,
}

impl OpenAi {
    /// Starts a server on a free port of this machine.
    ///
    /// # Panics
    ///
    /// If no port can be had.
    pub async fn start() -> Self {
        Self::start_on(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts a server on an address.
    ///
    /// # Panics
    ///
    /// If the address cannot be had.
    pub async fn start_on(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("the address is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let script =
            Script { mode: Mode::Normal, texts: VecDeque::new(), parts: 4, dimensions: 8, received: Vec::new() };
        let shared = Arc::new(Shared { script: Mutex::new(script), gate: Semaphore::new(0) });
        let router = Router::new()
            .route("/v1/chat/completions", post(chat))
            .route("/v1/embeddings", post(embeddings))
            .with_state(Arc::clone(&shared));
        #[expect(clippy::disallowed_methods, reason = "the server runs beside the test and is aborted with it")]
        let serving = tokio::spawn(async move {
            // Serving ends only by being aborted.
            let _ = axum::serve(listener, router).await;
        });
        Self { address, shared, serving }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL to give to a client.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Sets how requests that come from now on are answered.
    pub fn set_mode(&self, mode: Mode) {
        self.script().mode = mode;
    }

    /// Queues a text for the next chat answer. Without one, the server repeats the user's last message.
    pub fn say(&self, text: impl Into<String>) {
        self.script().texts.push_back(text.into());
    }

    /// Sets into how many parts a streamed answer is cut; 4 unless set.
    pub fn set_parts(&self, parts: usize) {
        self.script().parts = parts;
    }

    /// Sets how many numbers an embedding has; 8 unless set.
    pub fn set_dimensions(&self, dimensions: usize) {
        self.script().dimensions = dimensions;
    }

    /// Lets so many parts out, of answers that wait in [`Mode::Gated`] or will. The end of a stream (`finish_reason`,
    /// usage and `[DONE]`) is one part more.
    pub fn release(&self, parts: usize) {
        self.shared.gate.add_permits(parts);
    }

    /// Returns what was asked so far, oldest first.
    pub fn received(&self) -> Vec<Received> {
        self.script().received.clone()
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.shared.script()
    }
}

impl Drop for OpenAi {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Shared {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a request and decides how to answer it.
    fn receive(&self, uri: &Uri, headers: HeaderMap, body: &Value) -> Mode {
        let mut script = self.script();
        script.received.push(Received { path: uri.path().to_owned(), headers, body: body.clone() });
        let mode = script.mode.clone();
        if let Mode::Status { times, .. } = &mut script.mode {
            *times = times.saturating_sub(1);
            if *times == 0 {
                script.mode = Mode::Normal;
            }
        }
        mode
    }
}

async fn chat(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let mode = shared.receive(&uri, headers, &body);
    if let Some(response) = misbehave(&mode, &body).await {
        return response;
    }
    let (text, parts) = {
        let mut script = shared.script();
        (script.texts.pop_front().unwrap_or_else(|| last_message(&body)), script.parts)
    };
    let model = body["model"].as_str().unwrap_or_default().to_owned();
    let usage = usage_of(&body["messages"].to_string(), &text);
    if body["stream"] != true {
        let message = json!({"role": "assistant", "content": text});
        let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
        let answer = json!({"id": "chatcmpl-test", "object": "chat.completion", "created": 0, "model": model,
            "choices": [choice], "usage": usage});
        return Json(answer).into_response();
    }
    let wants_usage = body["stream_options"]["include_usage"] == true;
    let events = events(&text, parts, &model, wants_usage.then_some(&usage));
    let body = Body::from_stream(paced(events, mode, shared));
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

async fn embeddings(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let mode = shared.receive(&uri, headers, &body);
    if let Some(response) = misbehave(&mode, &body).await {
        return response;
    }
    if mode == Mode::Garbage {
        return "no JSON".into_response();
    }
    let wanted = body["dimensions"].as_u64().and_then(|wanted| usize::try_from(wanted).ok());
    let dimensions = wanted.unwrap_or_else(|| shared.script().dimensions);
    let texts: Vec<&str> = match &body["input"] {
        Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect(),
        text => text.as_str().into_iter().collect(),
    };
    let vector = |(index, text): (usize, &&str)| json!({"object": "embedding", "index": index, "embedding": vector_of(text, dimensions)});
    // In reverse, as nothing promises an order and only `index` tells.
    let data: Vec<Value> = texts.iter().enumerate().map(vector).rev().collect();
    let tokens: usize = texts.iter().map(|text| words(text)).sum();
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    Json(json!({"object": "list", "data": data, "model": body["model"], "usage": usage})).into_response()
}

/// Answers with an error or never, if that is the mode.
async fn misbehave(mode: &Mode, body: &Value) -> Option<Response> {
    match mode {
        Mode::Silent => std::future::pending().await,
        Mode::Status { code, retry_after, .. } => {
            let status = StatusCode::from_u16(*code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let error = json!({"error": {"message": "scripted", "type": "scripted_error", "code": null}});
            let mut response = (status, Json(error)).into_response();
            if let Some(value) = retry_after.as_ref().and_then(|value| value.parse().ok()) {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
            Some(response)
        }
        Mode::Without(field) if !body[*field].is_null() => {
            let error = json!({"type": "invalid_request_error", "code": "unsupported_value", "param": field});
            Some((StatusCode::BAD_REQUEST, Json(json!({"error": error}))).into_response())
        }
        _ => None,
    }
}

/// The events of a streamed answer: one per part, and the end as one more.
fn events(text: &str, parts: usize, model: &str, usage: Option<&Value>) -> Vec<String> {
    let chunk = |choices: Value, usage: Option<&Value>| {
        let mut chunk = json!({"id": "chatcmpl-test", "object": "chat.completion.chunk", "created": 0, "model": model,
            "choices": choices});
        if let Some(usage) = usage {
            chunk["usage"] = usage.clone();
        }
        format!("data: {chunk}\n\n")
    };
    let characters: Vec<char> = text.chars().collect();
    let length = characters.len().div_ceil(parts.max(1)).max(1);
    let mut events: Vec<String> = characters
        .chunks(length)
        .map(|part| json!([{"index": 0, "delta": {"content": part.iter().collect::<String>()}, "finish_reason": null}]))
        .map(|choices| chunk(choices, None))
        .collect();
    let mut end = chunk(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]), None);
    if usage.is_some() {
        end.push_str(&chunk(json!([]), usage));
    }
    end.push_str("data: [DONE]\n\n");
    events.push(end);
    events
}

/// Sends events as the mode says.
fn paced(events: Vec<String>, mode: Mode, shared: Arc<Shared>) -> impl Stream<Item = io::Result<String>> + Send {
    stream::iter(events.into_iter().enumerate()).then(move |(index, event)| {
        let (mode, shared) = (mode.clone(), Arc::clone(&shared));
        async move {
            match mode {
                Mode::Gated => {
                    let permit = shared.gate.acquire().await.expect("the gate is never closed");
                    permit.forget();
                }
                Mode::Slow(pause) => tokio::time::sleep(pause).await,
                Mode::Cut { after } if index >= after => {
                    // Written and flushed first, so that the parts before arrive before the end does.
                    tokio::task::yield_now().await;
                    return Err(io::Error::new(io::ErrorKind::ConnectionReset, "scripted"));
                }
                Mode::Garbage => return Ok("data: {no JSON\n\n".to_owned()),
                _ => {}
            }
            Ok(event)
        }
    })
}

fn last_message(body: &Value) -> String {
    let mut messages = body["messages"].as_array().into_iter().flatten();
    let last = messages.rfind(|message| message["role"] == "user");
    last.and_then(|message| message["content"].as_str()).unwrap_or("Nothing was said.").to_owned()
}

fn usage_of(prompt: &str, text: &str) -> Value {
    let (read, written) = (words(prompt), words(text));
    json!({"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written})
}

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

/// A vector that depends on the text alone.
fn vector_of(text: &str, dimensions: usize) -> Vec<f32> {
    let mut vector = vec![0.0; dimensions];
    for (index, byte) in text.bytes().enumerate() {
        vector[index % dimensions] += f32::from(byte);
    }
    vector
}
