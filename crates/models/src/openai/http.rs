//! Requests to a provider, with patience, retries, and errors told apart.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryFutureExt as _};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{StatusCode, Url, redirect};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::retry::{Policy, left};
use crate::{Endpoint, Error, Timeouts};

/// The most of an error's body that is read.
const ERROR_BODY: usize = 16 << 10;

/// A client of one provider; clones share its connections.
#[derive(Clone, Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    base_url: String,
    is_openai: bool,
    timeouts: Timeouts,
    retries: Policy,
}

impl Client {
    /// Makes a client; connects only when it is used.
    pub(super) fn new(endpoint: &Endpoint) -> Result<Self, Error> {
        if endpoint.model.trim().is_empty() {
            return Err(Error::Setup("the model's name is empty".to_owned()));
        }
        let base_url = endpoint.base_url.trim().trim_end_matches('/').to_owned();
        let url = Url::parse(&base_url).map_err(|error| Error::Setup(format!("the base URL is none: {error}")))?;
        let host = url.host_str().unwrap_or_default();
        if !matches!(url.scheme(), "http" | "https") || host.is_empty() {
            return Err(Error::Setup("the base URL must begin with http:// or https:// and name a host".to_owned()));
        }
        let http = connector(endpoint, &url)?;
        let is_openai = host == "api.openai.com";
        let retries = Policy::new(endpoint.max_retries, &endpoint.timeouts);
        Ok(Self { http, base_url, is_openai, timeouts: endpoint.timeouts, retries })
    }

    /// Tells whether the provider is OpenAI itself, whose newest models have dropped fields that all others know.
    pub(super) fn is_openai(&self) -> bool {
        self.is_openai
    }

    /// Sends a request until it is accepted, and returns the body of the answer.
    pub(super) async fn post(
        &self,
        path: &str,
        request: &impl Serialize,
        deadline: Option<Instant>,
    ) -> Result<Body, Error> {
        let request = serde_json::to_vec(request).map_err(|error| Error::Internal(error.to_string()))?;
        let request = Bytes::from(request);
        let mut made = 0;
        loop {
            let failed = match self.attempt(path, request.clone(), deadline).await {
                Ok(body) => return Ok(body),
                Err(failed) => failed,
            };
            let again = if failed.is_worth_retrying {
                self.retries.pause(made, failed.error.retry_after(), left(deadline), rand::random())
            } else {
                None
            };
            let Some(pause) = again else { return Err(failed.error) };
            made += 1;
            tracing::info!(retry = made, ?pause, error = %failed.error, "asking the model provider again");
            tokio::time::sleep(pause).await;
        }
    }

    async fn attempt(&self, path: &str, request: Bytes, deadline: Option<Instant>) -> Result<Body, Failed> {
        let url = format!("{}/{path}", self.base_url);
        let sending = self.http.post(url).body(request).send().map_err(unsent);
        let patience = Patience { at_most: self.timeouts.first_byte, deadline };
        let response = match patience.wait(sending).await {
            Ok(response) => response?,
            // Asked again, a provider this slow would only be slower.
            Err(error) => return Err(Failed { error, is_worth_retrying: false }),
        };
        let status = response.status();
        let retry_after = retry_after_of(response.headers());
        let patience = Patience { at_most: self.timeouts.idle, deadline };
        let body = Body { stream: response.bytes_stream().boxed(), patience };
        if status.is_success() {
            return Ok(body);
        }
        let code = body.read(ERROR_BODY).await.ok().and_then(|bytes| code_of(&bytes));
        Err(refused(status, code.as_deref(), retry_after))
    }
}

fn connector(endpoint: &Endpoint, url: &Url) -> Result<reqwest::Client, Error> {
    // Fails only if another part of the process has installed a provider already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut headers = HeaderMap::new();
    headers.insert(reqwest::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if !endpoint.api_key.is_empty() {
        let value = HeaderValue::from_str(&format!("Bearer {}", endpoint.api_key.expose().trim()));
        let mut value = value.map_err(|_| Error::Setup("the key has characters that no key has".to_owned()))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    let mut builder = reqwest::Client::builder()
        .default_headers(headers)
        .connect_timeout(endpoint.timeouts.connect)
        .redirect(redirect::Policy::none())
        .user_agent(concat!("nooble/", env!("CARGO_PKG_VERSION")));
    if url.scheme() == "http" {
        // A server without TLS must work on a machine without certificates.
        builder = builder.tls_certs_only([]);
    }
    if matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| Error::Setup(format!("no HTTP client can be made: {error}")))
}

/// How long to wait for one thing.
#[derive(Clone, Copy, Debug)]
struct Patience {
    at_most: Duration,
    deadline: Option<Instant>,
}

impl Patience {
    async fn wait<T>(&self, future: impl Future<Output = T>) -> Result<T, Error> {
        let left = left(self.deadline);
        let patience = left.map_or(self.at_most, |left| left.min(self.at_most));
        match timeout(patience, future).await {
            Ok(value) => Ok(value),
            Err(_) if left.is_some_and(|left| left <= self.at_most) => Err(Error::DeadlineExceeded),
            Err(_) => Err(Error::unavailable("no answer in time")),
        }
    }
}

/// The body of an answer.
pub(super) struct Body {
    stream: BoxStream<'static, reqwest::Result<Bytes>>,
    patience: Patience,
}

impl Body {
    /// Returns the next bytes, or `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        match self.patience.wait(self.stream.next()).await? {
            Some(Ok(bytes)) => Ok(Some(bytes)),
            Some(Err(_)) => Err(Error::broken("the connection broke off")),
            None => Ok(None),
        }
    }

    /// Reads to the end, at most so many bytes.
    pub(super) async fn read(mut self, at_most: usize) -> Result<Bytes, Error> {
        let mut whole = BytesMut::new();
        while let Some(bytes) = self.next().await? {
            if whole.len() + bytes.len() > at_most {
                return Err(Error::broken("the answer is too long"));
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(whole.freeze())
    }
}

/// An attempt that failed.
struct Failed {
    error: Error,
    is_worth_retrying: bool,
}

fn unsent(error: reqwest::Error) -> Failed {
    let what = if error.is_timeout() {
        "connecting took too long"
    } else if error.is_connect() {
        "connection failed"
    } else {
        "the connection broke off before the answer"
    };
    // The cause names hosts and addresses: for the log of the operator, not for the caller.
    tracing::debug!(cause = ?error.without_url(), what, "the model provider was not reached");
    Failed { error: Error::unavailable(what), is_worth_retrying: true }
}

fn refused(status: StatusCode, code: Option<&str>, retry_after: Option<Duration>) -> Failed {
    let what = match code {
        Some(code) => format!("status {}, {code}", status.as_u16()),
        None => format!("status {}", status.as_u16()),
    };
    // An account without money answers 429 as well, and no waiting helps.
    let passes = status.is_server_error() || matches!(status.as_u16(), 408 | 409 | 425 | 429);
    if passes && code != Some("insufficient_quota") && status != StatusCode::NOT_IMPLEMENTED {
        return Failed { error: Error::Unavailable { what, retry_after }, is_worth_retrying: true };
    }
    Failed { error: Error::Rejected { what }, is_worth_retrying: false }
}

/// Reads when to come back: OpenAI's milliseconds, or the standard's seconds. Its form as a date is not used by any
/// provider known, and is passed over.
fn retry_after_of(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: HeaderName| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let ms = number(HeaderName::from_static("retry-after-ms")).map(|ms| ms / 1000.0);
    let seconds = ms.or_else(|| number(reqwest::header::RETRY_AFTER))?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Reads the provider's word for what is wrong, if it is one: its sentences may repeat the prompt or the key.
fn code_of(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Answer {
        error: Details,
    }
    #[derive(Deserialize)]
    struct Details {
        code: Option<serde_json::Value>,
        r#type: Option<serde_json::Value>,
    }
    let details = serde_json::from_slice::<Answer>(body).ok()?.error;
    let is_word = |word: &&str| {
        (1..=64).contains(&word.len())
            && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let mut words = [details.code, details.r#type].into_iter().flatten();
    words.find_map(|value| value.as_str().filter(is_word).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::StatusCode;
    use reqwest::header::{HeaderMap, HeaderValue};

    use super::{Client, code_of, refused, retry_after_of};
    use crate::{Endpoint, Error};

    #[test]
    fn statuses_are_told_apart_by_whether_waiting_helps() {
        for status in [408, 409, 429, 500, 502, 503, 504, 529] {
            let failed = refused(StatusCode::from_u16(status).expect("a status"), None, None);
            assert!(failed.is_worth_retrying && failed.error.is_transient(), "{status}");
        }
        for status in [301, 400, 401, 403, 404, 413, 422, 501] {
            let failed = refused(StatusCode::from_u16(status).expect("a status"), None, None);
            assert!(!failed.is_worth_retrying && !failed.error.is_transient(), "{status}");
        }
        let broke = refused(StatusCode::TOO_MANY_REQUESTS, Some("insufficient_quota"), None);
        assert_eq!(broke.error, Error::rejected("status 429, insufficient_quota"));
    }

    #[test]
    fn the_time_to_come_back_is_read_in_both_units() {
        let table = [
            ("2", None, Some(2000)),
            ("1.5", None, Some(1500)),
            ("9", Some("250"), Some(250)),
            ("Wed", None, None),
            ("-1", None, None),
        ];
        for (seconds, ms, expected) in table {
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", HeaderValue::from_static(seconds));
            if let Some(ms) = ms {
                headers.insert("retry-after-ms", HeaderValue::from_static(ms));
            }
            assert_eq!(retry_after_of(&headers), expected.map(Duration::from_millis), "{seconds} {ms:?}");
        }
    }

    #[test]
    fn only_words_are_taken_from_a_providers_error() {
        let table = [
            (r#"{"error":{"code":"model_not_found","type":"invalid_request_error"}}"#, Some("model_not_found")),
            (r#"{"error":{"code":null,"type":"server_error","message":"x"}}"#, Some("server_error")),
            (r#"{"error":{"code":404,"type":"not_found"}}"#, Some("not_found")),
            (r#"{"error":{"code":"Key sk-123 is wrong"}}"#, None),
            (r#"{"error":"text"}"#, None),
            ("<html>", None),
        ];
        for (body, expected) in table {
            assert_eq!(code_of(body.as_bytes()).as_deref(), expected, "{body}");
        }
    }

    #[test]
    fn what_cannot_work_is_said_at_once() {
        let table = [
            ("ftp://host/v1", "key", "model"),
            ("no url", "key", "model"),
            ("https://host/v1", "bad\nkey", "model"),
            ("https://host/v1", "key", " "),
        ];
        for (base_url, key, model) in table {
            let error = Client::new(&Endpoint::new(base_url, key, model)).expect_err(base_url);
            assert!(matches!(error, Error::Setup(_)), "{error}");
        }
    }
}
