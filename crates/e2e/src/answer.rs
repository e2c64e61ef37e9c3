//! What the edge answers.

use reqwest::RequestBuilder;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// An answer of the edge.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; a text where it is no JSON.
    pub body: Value,
}

impl Answer {
    /// Sends a request and reads the answer whole.
    ///
    /// # Panics
    ///
    /// Panics when the edge does not answer.
    pub async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.expect("the edge answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("a body");
        Self { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
    }

    /// Returns a header; an empty text when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Checks that this is a problem of a status and a type that names a field, if one is given, and nothing of the inside.
    ///
    /// # Panics
    ///
    /// Panics when it is anything else.
    #[track_caller]
    pub fn problem(&self, status: u16, slug: &str, field: Option<&str>) {
        let body = &self.body;
        assert_eq!(self.status, status, "{body}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{body}");
        assert_eq!(body["type"], format!("/errors/{slug}"), "{body}");
        assert_eq!(body["status"], status, "{body}");
        if let Some(field) = field {
            assert_eq!(body["field"].as_str().map(str::to_lowercase), Some(field.to_lowercase()), "{body}");
        }
        let text = body.to_string().to_lowercase();
        for inside in ["redis", "sqlite", "127.0.0.1", "panicked", "/src/"] {
            assert!(!text.contains(inside), "it tells of `{inside}`: {body}");
        }
    }
}
