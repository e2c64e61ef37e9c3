//! What the gateway is compared with: axum that echoes JSON, axum that calls tonic, axum that writes to sockets, and nothing
//! around them.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use proto::execution::v1::AgentRun;
use proto::orchestrator::v1::SendMessageRequest;
use proto::orchestrator::v1::orchestrator_service_client::OrchestratorServiceClient;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::transport::{Channel, Endpoint};

use super::{pusher, say};
use crate::edge::beside;

/// As the gateway's, so that both are compared with what the library costs at its best.
const READ_BUFFER: usize = 1024;
/// As long as a frame of the gateway that carries 64 bytes of an answer.
const FRAME: usize = 340;

#[derive(Clone)]
struct Bare {
    orchestrator: OrchestratorServiceClient<Channel>,
    sockets: Arc<Mutex<Vec<mpsc::UnboundedSender<Utf8Bytes>>>>,
}

/// Serves until standard input is closed.
pub(super) async fn run(upstream: &str) -> Result<()> {
    let channel = Endpoint::from_shared(upstream.to_owned())?.connect().await.context("reach the upstream")?;
    let bare = Bare { orchestrator: OrchestratorServiceClient::new(channel), sockets: Arc::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let router = Router::new()
        .route("/echo", post(echo))
        .route("/hop", post(hop))
        .route("/ws", get(socket))
        .with_state(bare.clone());
    let serving = beside(async move { axum::serve(listener, router).await });
    say("ready", &json!({ "http": address }))?;
    let text = Utf8Bytes::from("x".repeat(FRAME));
    let push = |number: usize| {
        let sockets = bare.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let _gone = sockets[number % sockets.len()].send(text.clone());
    };
    pusher::obey(push, || bare.sockets.lock().unwrap_or_else(PoisonError::into_inner).len()).await?;
    serving.abort();
    Ok(())
}

async fn echo(Json(body): Json<Value>) -> Json<Value> {
    Json(body)
}

#[derive(Deserialize)]
struct Chat {
    message: String,
}

async fn hop(State(mut bare): State<Bare>, Json(body): Json<Chat>) -> Result<Json<Value>, StatusCode> {
    let request = SendMessageRequest {
        agent_id: "agent".to_owned(),
        session_id: "session".to_owned(),
        run: Some(AgentRun { message: body.message, ..AgentRun::default() }),
        ..SendMessageRequest::default()
    };
    let answer = bare.orchestrator.send_message(request).await.map_err(|_| StatusCode::BAD_GATEWAY)?.into_inner();
    Ok(Json(json!({
        "success": true,
        "task_id": answer.task.unwrap_or_default().task_id,
        "message": "message accepted",
        "queue_name": answer.queue_name,
        "estimated_time": answer.estimated_time.map_or(0, |time| time.seconds),
    })))
}

async fn socket(State(bare): State<Bare>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.read_buffer_size(READ_BUFFER).write_buffer_size(0).on_upgrade(move |socket| write(bare, socket))
}

async fn write(bare: Bare, mut socket: WebSocket) {
    let (sender, mut texts) = mpsc::unbounded_channel();
    bare.sockets.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
    loop {
        tokio::select! {
            Some(text) = texts.recv() => {
                if socket.send(Message::Text(text)).await.is_err() {
                    return;
                }
            }
            heard = socket.recv() => if !matches!(heard, Some(Ok(_))) { return },
        }
    }
}
