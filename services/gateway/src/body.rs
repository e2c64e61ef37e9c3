//! Reads JSON bodies: bounded in size and time, with mistakes that say where they are.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody as _};
use fault::{Failure, reason};
use futures::StreamExt as _;
use http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Most bytes that are read and thrown away after a refusal, so that the caller gets to see the answer.
const MAX_DISCARDED: usize = 16 * 1024 * 1024;
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// How much is read, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Most bytes of a JSON body.
    pub(crate) bytes: usize,
    /// Longest time from the first to the last byte.
    pub(crate) time: Duration,
}

/// Reads a body that must be one JSON object.
pub(crate) async fn json_object(
    headers: &HeaderMap,
    body: Body,
    bounds: Bounds,
) -> Result<Map<String, Value>, Failure> {
    check_type(headers)?;
    object(headers, &all(headers, body, bounds).await?)
}

fn object(headers: &HeaderMap, bytes: &[u8]) -> Result<Map<String, Value>, Failure> {
    check_type(headers)?;
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(Failure::new(&reason::INVALID_JSON, "the body must be a JSON object, at line 1 column 1")),
        Err(error) => Err(Failure::new(&reason::INVALID_JSON, describe(&error))),
    }
}

/// Reads a body that is a JSON object if it is there at all.
pub(crate) async fn optional_object(
    headers: &HeaderMap,
    body: Body,
    bounds: Bounds,
) -> Result<Map<String, Value>, Failure> {
    // HTTP/2 need not announce a body, and may end one of nothing later than its head.
    if body.is_end_stream() {
        return Ok(Map::new());
    }
    let bytes = all(headers, body, bounds).await?;
    if bytes.is_empty() { Ok(Map::new()) } else { object(headers, &bytes) }
}

/// Reads what is left of a body and throws it away, within bounds: a connection that is closed while the other side still
/// writes is reset, and the answer is lost with it.
pub(crate) async fn discard(stream: &mut BodyDataStream) {
    let drain = async {
        let mut read = 0;
        while let Some(Ok(chunk)) = stream.next().await {
            read += chunk.len();
            if read > MAX_DISCARDED {
                break;
            }
        }
    };
    let _elapsed = tokio::time::timeout(DISCARD_TIME, drain).await;
}

/// Returns the length that the caller announces.
pub(crate) fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn check_type(headers: &HeaderMap) -> Result<(), Failure> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = value.split(';').next().unwrap_or_default().trim();
    if media.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Failure::new(&reason::INVALID_JSON, "send the body with `Content-Type: application/json`")
        .field("Content-Type"))
}

/// Reads a body whole, within bounds.
pub(crate) async fn all(headers: &HeaderMap, body: Body, bounds: Bounds) -> Result<Vec<u8>, Failure> {
    let mut stream = body.into_data_stream();
    if announced(headers).is_some_and(|length| length > bounds.bytes as u64) {
        discard(&mut stream).await;
        return Err(too_large(bounds.bytes));
    }
    let collected = tokio::time::timeout(bounds.time, collect(&mut stream, bounds.bytes)).await;
    match collected {
        Ok(Ok(Some(bytes))) => Ok(bytes),
        Ok(Ok(None)) => {
            discard(&mut stream).await;
            Err(too_large(bounds.bytes))
        }
        Ok(Err(_)) => Err(Failure::new(&reason::INVALID_REQUEST, "the body broke off")),
        Err(_) => Err(Failure::new(
            &reason::INVALID_REQUEST,
            format!("the body did not arrive within {} s", bounds.time.as_secs()),
        )),
    }
}

async fn collect(stream: &mut BodyDataStream, limit: usize) -> Result<Option<Vec<u8>>, axum::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        if bytes.len() + chunk.len() > limit {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

fn too_large(limit: usize) -> Failure {
    Failure::new(&reason::BODY_TOO_LARGE, format!("a JSON body has at most {limit} bytes"))
        .with("limit", limit.to_string())
}

/// Says what is wrong and where; serde_json's text names tokens, never content.
fn describe(error: &serde_json::Error) -> String {
    let kind = match error.classify() {
        serde_json::error::Category::Eof => "the JSON ends too early",
        _ => "the JSON is not well formed",
    };
    format!("{kind}, at line {} column {}", error.line(), error.column())
}

/// Reads the fields of a body into a type; what does not fit is named.
pub(crate) fn typed<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<T, Failure> {
    // Absent and null are the same.
    let given = fields.into_iter().filter(|(_, value)| !value.is_null()).collect();
    serde_path_to_error::deserialize(Value::Object(given)).map_err(|error| {
        // serde names a field that is not there, or should not be, in its text only.
        let text = error.inner().to_string();
        let (field, rule) = if let Some(name) = quoted(&text, "unknown field `") {
            (name, "is no field of this body")
        } else if let Some(name) = quoted(&text, "missing field `") {
            (name, "is required")
        } else {
            (plain(&error.path().to_string()), "is not of the type that the field has")
        };
        Failure::new(&reason::INVALID_FIELD, format!("`{field}` {rule}")).field(field)
    })
}

fn quoted(text: &str, before: &str) -> Option<String> {
    text.strip_prefix(before)?.split('`').next().map(plain)
}

/// Names of fields are the caller's; what is echoed is short and plain.
pub(crate) fn plain(name: &str) -> String {
    name.trim_matches('.').chars().filter(|c| c.is_ascii_alphanumeric() || "_-.[]".contains(*c)).take(64).collect()
}
