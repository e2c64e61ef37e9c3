//! A client as a frontend has one.

use std::net::SocketAddr;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::mesh::Mesh;

const PATIENCE: Duration = Duration::from_secs(10);

/// An answer: status, headers, JSON (null when it is none).
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// Checks that this is a problem with a status, a reason and a field.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, reason: &str, field: Option<&str>) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.body);
        let found = (self.status, self.body["reason"].as_str(), self.body["field"].as_str());
        assert_eq!(found, (status, Some(reason), field), "{}", self.body);
        assert_eq!(self.body["status"], status);
        assert!(self.body["type"].as_str().unwrap().starts_with("/errors/"), "{}", self.body);
    }
}

impl Mesh {
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        // It wants to know who does its cryptography even where there is none.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::new().request(method, format!("http://{}{path}", self.http))
    }

    /// A chat request of a tenant, with everything that is required.
    pub(crate) fn chat(&self, tenant: &str, tier: &str) -> RequestBuilder {
        self.request(Method::POST, "/api/chat/send")
            .header("authorization", format!("Bearer nbl_{tenant}_key"))
            .header("x-tenant-id", tenant)
            .header("x-tenant-tier", tier)
            .header("x-agent-id", format!("agent-{tenant}"))
            .header("x-session-id", "session-1")
    }

    pub(crate) async fn send(&self, tenant: &str, tier: &str) -> Answer {
        answer(self.chat(tenant, tier).json(&json!({ "message": "hello" }))).await
    }

    pub(crate) async fn get(&self, path: &str, tenant: &str) -> Answer {
        answer(self.request(Method::GET, path).header("x-api-key", format!("nbl_{tenant}_key"))).await
    }
}

pub(crate) async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.text().await.unwrap();
    Answer { status, headers, body: serde_json::from_str(&body).unwrap_or(Value::Null) }
}

/// An open socket.
pub(crate) struct Socket(pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Opens a socket of a tenant.
    pub(crate) async fn open(mesh: &Mesh, tenant: &str, more: &str) -> Self {
        let path = format!("/ws/session-1?tenant_id={tenant}&tier={}{more}", tier(tenant));
        let key = format!("nbl_{tenant}_key");
        Self::upgrade(mesh, &path, &[("x-api-key", &key)]).await.expect("accepted")
    }

    /// Tries to open one; a refusal is the status and the problem.
    pub(crate) async fn upgrade(
        mesh: &Mesh,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, (u16, Value)> {
        Self::upgrade_at(mesh.http, path, headers).await
    }

    /// The same at another process of the gateway.
    pub(crate) async fn upgrade_at(
        http: SocketAddr,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, (u16, Value)> {
        let mut request = format!("ws://{http}{path}").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        match tokio_tungstenite::connect_async(request).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(tungstenite::Error::Http(response)) => {
                let body = response.body().clone().unwrap_or_default();
                Err((response.status().as_u16(), serde_json::from_slice(&body).unwrap_or_default()))
            }
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn say(&mut self, frame: Value) {
        self.0.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// Returns the next frame, or the code of the close.
    pub(crate) async fn hear(&mut self) -> Result<Value, u16> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("something in time");
            match message {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => return Err(frame.map_or(0, |frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(0),
            }
        }
    }

    /// Returns the next frame, which must be of a type.
    #[track_caller]
    pub(crate) fn expect(&mut self, kind: &'static str) -> impl Future<Output = Value> + '_ {
        let place = std::panic::Location::caller();
        async move {
            let frame = self.hear().await.unwrap_or_else(|code| panic!("{place}: closed with {code}, not {kind}"));
            assert_eq!(frame["type"], kind, "{place}: {frame}");
            frame
        }
    }

    /// Returns the code of the close, passing over frames before it.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            if let Err(code) = self.hear().await {
                return code;
            }
        }
    }
}

/// A socket that answers nothing by itself.
pub(crate) struct Raw(TcpStream);

impl Raw {
    pub(crate) async fn open(mesh: &Mesh, tenant: &str) -> Self {
        Self::open_with(mesh, tenant, "").await
    }

    /// The same with more lines in the head.
    pub(crate) async fn open_with(mesh: &Mesh, tenant: &str, more: &str) -> Self {
        let mut stream = TcpStream::connect(mesh.http).await.unwrap();
        let tier = tier(tenant);
        let request = format!(
            "GET /ws/session-1?tenant_id={tenant}&tier={tier} HTTP/1.1\r\nhost: localhost\r\nx-api-key: nbl_{tenant}_key\r\n\
             connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        Self(stream)
    }

    /// Reads the head of the answer.
    pub(crate) async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = tokio::time::timeout(PATIENCE, self.0.read_u8()).await.expect("something in time");
            head.push(byte.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    /// Writes bytes as they are.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        // The other side may have had enough already.
        let _cut = self.0.write_all(bytes).await;
    }

    /// Reads up to the close frame, which is the last one, and returns its code; none when the connection ends without.
    pub(crate) async fn closed(mut self) -> Option<u16> {
        let mut all = Vec::new();
        loop {
            let mut piece = vec![0; 64 * 1024];
            let reading = tokio::time::timeout(PATIENCE, self.0.read(&mut piece));
            let read = reading.await.expect("something in time").ok().filter(|read| *read > 0)?;
            all.extend_from_slice(&piece[..read]);
            // A close frame: final, opcode 8, unmasked, shorter than 126 bytes, and nothing after it.
            let tail = &all[all.len().saturating_sub(64)..];
            let frames = tail.windows(4).enumerate();
            let mut closes =
                frames.filter(|(at, bytes)| bytes[0] == 0x88 && at + 2 + usize::from(bytes[1]) == tail.len());
            if let Some((_, bytes)) = closes.next() {
                return Some(u16::from_be_bytes([bytes[2], bytes[3]]));
            }
        }
    }
}

pub(crate) fn tier(tenant: &str) -> &'static str {
    match tenant {
        "free-1" => "free",
        "ent-1" => "enterprise",
        _ => "professional",
    }
}
