//! A tenant's client: REST and WebSocket.

use std::path::Path;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::Answer;

/// A demo tenant at the edge.
#[derive(Clone, Debug)]
pub struct Client {
    /// For requests of any kind.
    pub http: reqwest::Client,
    /// `host:port` of the edge.
    pub address: String,
    /// The tier.
    pub tier: String,
    /// The tenant, with its key, agent and collection.
    pub tenant: Value,
}

impl Client {
    /// Takes a tenant out of `demo.json`.
    ///
    /// # Panics
    ///
    /// Panics when the folder holds no demo.
    pub fn of_demo(data_dir: &Path, tier: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let text = std::fs::read_to_string(data_dir.join("demo.json")).expect("the demo wrote its file");
        let demo: Value = serde_json::from_str(&text).expect("the file is JSON");
        Self {
            http: reqwest::Client::new(),
            address: demo["http"].as_str().expect("the edge's address").to_owned(),
            tier: tier.to_owned(),
            tenant: demo["tenants"][tier].clone(),
        }
    }

    /// Returns a fact about the tenant: `tenant_id`, `api_key`, `agent_id`, `collection_id`.
    ///
    /// # Panics
    ///
    /// Panics when there is no such fact.
    pub fn fact(&self, name: &str) -> &str {
        self.tenant[name].as_str().expect("demo.json has the contract's fields")
    }

    /// Returns a URL of the edge.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Prepares a message to the tenant's agent, with all required headers.
    pub fn message(&self, session: &str, text: &str) -> RequestBuilder {
        self.http
            .post(self.url("/api/chat/send"))
            .bearer_auth(self.fact("api_key"))
            .header("X-Tenant-ID", self.fact("tenant_id"))
            .header("X-Tenant-Tier", &self.tier)
            .header("X-Agent-ID", self.fact("agent_id"))
            .header("X-Session-ID", session)
            .json(&json!({ "message": text }))
    }

    /// Prepares a message of which one header has another value, or is not there.
    ///
    /// # Panics
    ///
    /// Panics when the value is none of a header.
    pub fn message_with(&self, header: &'static str, value: Option<&str>) -> RequestBuilder {
        let mut request = self.message("session-1", "hello").build().expect("a request");
        request.headers_mut().remove(header);
        if let Some(value) = value {
            request.headers_mut().insert(header, value.parse().expect("a header value"));
        }
        RequestBuilder::from_parts(self.http.clone(), request)
    }

    /// Asks with the tenant's key.
    pub async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.ask_with(self.fact("api_key"), method, path, body).await
    }

    /// Asks with a key.
    pub async fn ask_with(&self, key: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = self.http.request(method, self.url(path)).bearer_auth(key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        Answer::of(request).await
    }

    /// Gets what is at a path, with the tenant's key.
    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, None).await
    }

    /// Sends a message and returns what the edge answered.
    ///
    /// # Panics
    ///
    /// Panics when it was not accepted.
    pub async fn send(&self, session: &str, text: &str) -> Value {
        let response = self.message(session, text).send().await.expect("the edge answers");
        let status = response.status();
        let body: Value = response.json().await.expect("the answer is JSON");
        assert!(status.is_success(), "{status}: {body}");
        body
    }

    /// Returns a task.
    ///
    /// # Panics
    ///
    /// Panics when the edge does not answer in JSON.
    pub async fn task(&self, task_id: &str) -> Value {
        let request = self.http.get(self.url(&format!("/api/v1/tasks/{task_id}"))).bearer_auth(self.fact("api_key"));
        request.send().await.expect("the edge answers").json().await.expect("the answer is JSON")
    }

    /// Opens a session's socket; `resume` is `epoch` and `seq` of the last frame that was seen.
    ///
    /// # Panics
    ///
    /// Panics when the socket is refused.
    pub async fn socket(&self, session: &str, resume: Option<(&str, u64)>) -> Conversation {
        let position = resume.map(|(epoch, seq)| format!("&epoch={epoch}&seq={seq}")).unwrap_or_default();
        let bearer = format!("Bearer {}", self.fact("api_key"));
        let path = format!("{}{position}", self.socket_path(session));
        let opened = self.upgrade(&path, &[("authorization", &bearer)]).await;
        opened.unwrap_or_else(|(status, problem)| panic!("{status}: {problem}"))
    }

    /// Returns the address of a session's socket at the edge.
    pub fn socket_path(&self, session: &str) -> String {
        format!("/ws/{session}?tenant_id={}&tier={}", self.fact("tenant_id"), self.tier)
    }

    /// Asks for a socket with these headers; a refusal is the status and the problem.
    ///
    /// # Panics
    ///
    /// Panics when there is neither a socket nor an answer.
    pub async fn upgrade(&self, path: &str, headers: &[(&'static str, &str)]) -> Result<Conversation, (u16, Value)> {
        let mut request = format!("ws://{}{path}", self.address).into_client_request().expect("the URL is valid");
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a header value"));
        }
        match connect_async(request).await {
            Ok((stream, _)) => Ok(Conversation { stream, seen: Vec::new() }),
            Err(tungstenite::Error::Http(response)) => {
                let body = response.body().clone().unwrap_or_default();
                Err((response.status().as_u16(), serde_json::from_slice(&body).unwrap_or_default()))
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// A session's socket and the frames that came over it.
#[derive(Debug)]
pub struct Conversation {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Every frame so far.
    pub seen: Vec<Value>,
}

impl Conversation {
    /// Returns the next frame, or nothing when none comes in time or the socket ends.
    pub async fn next(&mut self, patience: Duration) -> Option<Value> {
        loop {
            match tokio::time::timeout(patience, self.stream.next()).await.ok()?? {
                Ok(Message::Text(text)) => {
                    let frame: Value = serde_json::from_str(&text).expect("frames are JSON");
                    self.seen.push(frame.clone());
                    return Some(frame);
                }
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(_) | Err(_) => return None,
            }
        }
    }

    /// Returns the first frame of a kind.
    ///
    /// # Panics
    ///
    /// Panics when none comes in time, with what came instead.
    pub async fn until(&mut self, kind: &str, patience: Duration) -> Value {
        let looking = async {
            loop {
                match self.next(patience).await {
                    Some(frame) if frame["type"] == kind => return Some(frame),
                    Some(_) => {}
                    None => return None,
                }
            }
        };
        let found = tokio::time::timeout(patience, looking).await.ok().flatten();
        found.unwrap_or_else(|| panic!("no {kind} came; instead: {:#?}", self.seen))
    }

    /// Waits for the end of the socket and returns the code of its close, if it has one; frames before it are seen.
    ///
    /// # Panics
    ///
    /// Panics when a frame is no JSON.
    pub async fn closed(&mut self, patience: Duration) -> Option<u16> {
        let ending = async {
            loop {
                match self.stream.next().await? {
                    Ok(Message::Text(text)) => self.seen.push(serde_json::from_str(&text).expect("frames are JSON")),
                    Ok(Message::Close(close)) => return close.map(|close| close.code.into()),
                    Ok(_) => {}
                    Err(_) => return None,
                }
            }
        };
        tokio::time::timeout(patience, ending).await.ok().flatten()
    }

    /// Sends a frame.
    ///
    /// # Panics
    ///
    /// Panics when the socket is closed.
    pub async fn send(&mut self, frame: &Value) {
        self.stream.send(Message::text(frame.to_string())).await.expect("the socket is open");
    }
}
