//! The WebSocket side of the edge.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures::{SinkExt as _, StreamExt as _};
use reqwest::{StatusCode, Upgraded, header};
use serde_json::{Value, json};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{DemoTenant, Door, edge};

/// The socket of a session.
pub(crate) struct Socket {
    stream: WebSocketStream<Upgraded>,
}

impl Socket {
    /// Opens the socket and waits for its acknowledgement.
    pub(crate) async fn open(door: &Door, session: &str, tier: &str, tenant: &DemoTenant) -> Result<Self> {
        let url = door.url(&format!("/ws/{session}?tenant_id={}&tier={tier}", tenant.tenant_id));
        let key = generate_key();
        let request = door
            .client
            .get(url)
            .bearer_auth(&tenant.api_key)
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, &key);
        let response = request.send().await.context("open the socket")?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            edge::read(response).await.context("open the socket")?;
            bail!("the edge answered a request for a socket with something else");
        }
        let accepted = response.headers().get(header::SEC_WEBSOCKET_ACCEPT).map(header::HeaderValue::as_bytes);
        if accepted != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
            bail!("the edge accepted another socket than the one that was asked for");
        }
        let upgraded = response.upgrade().await.context("open the socket")?;
        let mut socket = Self { stream: WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await };
        let first = socket.next(Duration::from_secs(10)).await?;
        if first["type"] != "connection_ack" {
            bail!("the socket opened with {first} instead of connection_ack");
        }
        Ok(socket)
    }

    /// Returns the next frame.
    pub(crate) async fn next(&mut self, patience: Duration) -> Result<Value> {
        loop {
            let message = tokio::time::timeout(patience, self.stream.next())
                .await
                .with_context(|| format!("no frame came within {} s", patience.as_secs()))?;
            match message {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text)?),
                Some(Ok(Message::Close(frame))) => bail!("the socket was closed: {frame:?}"),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error).context("read the socket"),
                None => bail!("the socket ended"),
            }
        }
    }

    /// Acknowledges a frame, so that a later connection does not get it again.
    pub(crate) async fn acknowledge(&mut self, frame: &Value) -> Result<()> {
        let ack = json!({ "type": "ack", "epoch": frame["epoch"], "seq": frame["seq"] });
        Ok(self.stream.send(Message::text(ack.to_string())).await?)
    }
}
