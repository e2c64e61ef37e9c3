//! The WebSocket side of the edge.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::DemoTenant;

/// The socket of a session.
pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    /// Opens the socket and waits for its acknowledgement.
    pub(crate) async fn open(address: &str, session: &str, tier: &str, tenant: &DemoTenant) -> Result<Self> {
        let url = format!("ws://{address}/ws/{session}?tenant_id={}&tier={tier}", tenant.tenant_id);
        let mut request = url.into_client_request()?;
        let bearer = format!("Bearer {}", tenant.api_key);
        request.headers_mut().insert("authorization", bearer.parse().context("a key is plain text")?);
        let (stream, _) = connect_async(request).await.context("open the socket")?;
        let mut socket = Self { stream };
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
