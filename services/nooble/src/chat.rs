//! `nooble chat`: asks one question as a user would, and shows how the answer comes about.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::Value;

use crate::client::{DemoFile, Edge, Way};

/// Asks a question over REST and shows the answer from the WebSocket.
#[derive(clap::Args, Debug)]
pub(crate) struct Chat {
    /// What to ask.
    question: String,
    /// Demo tenant to ask as: free, advance, professional or enterprise.
    #[arg(long, default_value = "enterprise")]
    tier: String,
    /// Session to use; a new one when absent.
    #[arg(long)]
    session: Option<String>,
    /// Where `nooble up --demo` keeps its data.
    #[arg(long, default_value = ".nooble")]
    data_dir: PathBuf,
    #[command(flatten)]
    way: Way,
    /// Fail unless the answer names at least one source.
    #[arg(long)]
    require_sources: bool,
}

const PATIENCE: Duration = Duration::from_mins(1);

impl Chat {
    /// Runs the command.
    pub(crate) async fn run(self) -> Result<()> {
        let demo = DemoFile::read(&self.data_dir)?;
        let edge = Edge::new(self.way.open(&demo)?, &self.tier, demo.tenant(&self.tier)?);
        let session = self.session.unwrap_or_else(|| format!("cli-{}", uuid::Uuid::now_v7()));
        let mut socket = edge.socket(&session).await?;
        let sent = edge.send(&session, &self.question).await?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "question  {}", self.question)?;
        writeln!(out, "task      {}  ({}, about {} s)", sent.task_id, sent.queue_name, sent.estimated_time)?;
        write!(out, "answer    ")?;
        let answer = loop {
            let frame = socket.next(PATIENCE).await?;
            let data = &frame["data"];
            if frame["task_id"] != sent.task_id.as_str() {
                continue;
            }
            match frame["type"].as_str() {
                Some("agent_delta") => {
                    write!(out, "{}", data["text"].as_str().unwrap_or_default())?;
                    out.flush()?;
                }
                Some("task_update") if data["stage"] == "restarted" => write!(out, "\n(restarted)\n          ")?,
                Some("agent_response") => {
                    socket.acknowledge(&frame).await?;
                    break data.clone();
                }
                Some("error") => bail!("{}", data["error"].as_str().unwrap_or("the agent failed")),
                _ => {}
            }
        };
        writeln!(out)?;
        show_sources(&mut out, &answer)?;
        show_timeline(&mut out, &delivered(&edge, &sent.task_id).await?)?;
        if self.require_sources && sources(&answer).is_empty() {
            bail!("the answer names no source");
        }
        Ok(())
    }
}

/// The step `delivered` is noted just after the frame was written, so the task may lack it for a moment.
async fn delivered(edge: &Edge, task_id: &str) -> Result<Value> {
    let mut task = edge.task(task_id).await?;
    for _ in 0..20 {
        if events(&task).iter().any(|event| event["name"] == "delivered") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
        task = edge.task(task_id).await?;
    }
    Ok(task)
}

fn sources(answer: &Value) -> &[Value] {
    answer["sources"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn events(task: &Value) -> &[Value] {
    task["events"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn show_sources(out: &mut impl std::io::Write, answer: &Value) -> Result<()> {
    writeln!(out, "\nsources")?;
    for source in sources(answer) {
        let title = source["title"].as_str().unwrap_or_default();
        let similarity = source["similarity"].as_f64().unwrap_or_default();
        let passage = source["passage"].as_str().unwrap_or_default().replace('\n', " ");
        let short: String = passage.chars().take(100).collect();
        writeln!(out, "  [{}] {title} ({similarity:.2}): {short}…", source["index"])?;
    }
    Ok(())
}

fn show_timeline(out: &mut impl std::io::Write, task: &Value) -> Result<()> {
    writeln!(out, "\ntimeline (ms since the message was accepted)")?;
    for event in events(task) {
        let at = event["offset_ms"].as_f64().unwrap_or_default();
        let name = event["name"].as_str().unwrap_or_default();
        writeln!(out, "  {at:>8.1}  {name:<12} {}", event["domain"].as_str().unwrap_or_default())?;
    }
    Ok(())
}
