//! The gRPC hop of a push alone: follows sessions over one stream and drops what comes.

use anyhow::{Context as _, Result};
use proto::orchestrator::v1::connect_request::Command;
use proto::orchestrator::v1::connect_response::Event;
use proto::orchestrator::v1::orchestrator_service_client::OrchestratorServiceClient;
use proto::orchestrator::v1::{Attach, ConnectRequest};
use serde_json::json;
use tonic::transport::Endpoint;

use super::commands::Commands;
use super::say;

/// Follows until standard input is closed; answers `take <messages>` with `taken` when so many frames have come.
pub(super) async fn run(upstream: &str, sessions: usize) -> Result<()> {
    let channel = Endpoint::from_shared(upstream.to_owned())?.connect().await.context("reach the upstream")?;
    let attach = |number: usize| ConnectRequest {
        channel: number as u64,
        command: Some(Command::Attach(Attach {
            tenant_id: "bench".to_owned(),
            session_id: format!("session-{number}"),
            ..Attach::default()
        })),
    };
    // The stream of requests stays open as long as that of answers.
    let requests =
        futures::StreamExt::chain(futures::stream::iter((0..sessions).map(attach)), futures::stream::pending());
    let mut events = OrchestratorServiceClient::new(channel).connect(requests).await?.into_inner();
    let mut attached = 0;
    while attached < sessions {
        let event = events.message().await?.context("the stream goes on")?;
        attached += usize::from(matches!(event.event, Some(Event::Attached(_))));
    }
    say("ready", &json!({}))?;
    let mut commands = Commands::open()?;
    while let Some((_, messages)) = commands.next().await? {
        let (messages, mut taken): (usize, _) = (messages.parse()?, 0);
        while taken < messages {
            let event = events.message().await?.context("the stream goes on")?;
            taken += usize::from(matches!(event.event, Some(Event::Frame(_))));
        }
        say("taken", &json!({ "messages": taken }))?;
    }
    Ok(())
}
