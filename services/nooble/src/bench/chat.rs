//! The time of one chat, hop by hop, from the timeline that every task carries.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bench::Table;
use serde_json::{Value, json};

use crate::client::{DemoFile, Edge, Socket, Way};
use crate::up::Scratch;

/// One chat after the other: from POST to the final frame, and where the time goes.
#[derive(clap::Args, Debug)]
pub(crate) struct Chat {
    /// Chats to measure.
    #[arg(long, default_value_t = 200)]
    chats: u32,
    /// Chats before the measuring begins.
    #[arg(long, default_value_t = 20)]
    warm_up: u32,
    /// A demo that runs already; without it one is started on a scratch directory and ended afterwards.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    way: Way,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

const PATIENCE: Duration = Duration::from_secs(30);
const TOTAL: &str = "POST to final frame";
const MODELS: &str = "of which models";
const MESH: &str = "of which the mesh";

/// Questions whose answers stand in the guide.
const QUESTIONS: [&str; 4] = [
    "How many requests per minute may a free tenant make?",
    "What happens when a worker is killed?",
    "How long may an enterprise run take?",
    "Which headers are required to send a message?",
];

impl Chat {
    /// Runs the command.
    pub(crate) async fn run(self) -> Result<()> {
        let scratch = match &self.data_dir {
            Some(_) => None,
            None => Some(Scratch::demo().await?),
        };
        let data_dir = match (&self.data_dir, &scratch) {
            (Some(data_dir), _) => data_dir.clone(),
            (None, Some(scratch)) => scratch.data_dir().to_owned(),
            (None, None) => bail!("neither a running demo nor a scratch one"),
        };
        let measured = self.measure(&DemoFile::read(&data_dir)?).await;
        if let Some(scratch) = scratch {
            scratch.stop().await?;
        }
        self.print(&measured?)
    }

    async fn measure(&self, demo: &DemoFile) -> Result<Table> {
        let edge = Edge::new(self.way.open(demo)?, "enterprise", demo.tenant("enterprise")?);
        let mut table = Table::default();
        for number in 0..self.warm_up + self.chats {
            // A session of its own, so that no chat drags the history of those before.
            let session = format!("bench-{}", uuid::Uuid::now_v7());
            let mut socket = edge.socket(&session).await?;
            let question = QUESTIONS[number as usize % QUESTIONS.len()];
            let (task, total_ms) = one(&edge, &mut socket, &session, question).await?;
            if number >= self.warm_up {
                add(&mut table, &task, total_ms);
            }
        }
        Ok(table)
    }

    fn print(&self, table: &Table) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if self.json {
            let report = json!({ "bench": "chat", "chats": self.chats, "rows": table.json() });
            writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
            return Ok(());
        }
        writeln!(out, "one client, one chat after the other, milliseconds\n")?;
        writeln!(out, "{}", table.markdown())?;
        Ok(())
    }
}

/// Asks one question and returns the ended task and the time from POST to the final frame.
async fn one(edge: &Edge, socket: &mut Socket, session: &str, question: &str) -> Result<(Value, f64)> {
    let started = Instant::now();
    let sent = edge.send(session, question).await?;
    loop {
        let frame = socket.next(PATIENCE).await?;
        match frame["type"].as_str() {
            Some("agent_response") => break,
            Some("error") => bail!("a chat failed: {frame}"),
            _ => {}
        }
    }
    let total_ms = started.elapsed().as_secs_f64() * 1_000.0;
    Ok((edge.task(&sent.task_id).await.context("read the task's timeline")?, total_ms))
}

/// Adds a chat: its total, the share of the models, and each step of its timeline.
fn add(table: &mut Table, task: &Value, total_ms: f64) {
    let events = task["events"].as_array().map(Vec::as_slice).unwrap_or_default();
    let at = |event: &Value| event["offset_ms"].as_f64().unwrap_or_default();
    let label = |event: &Value| {
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        format!("{} ({})", text("name"), text("domain"))
    };
    let mut models_ms = 0.0;
    let mut steps = Vec::new();
    for pair in events.windows(2) {
        let ms = at(&pair[1]) - at(&pair[0]);
        if is_model(&pair[1]) {
            models_ms += ms;
        }
        steps.push((format!("{} → {}", label(&pair[0]), label(&pair[1])), ms));
    }
    table.add(TOTAL, total_ms);
    table.add(MODELS, models_ms);
    table.add(MESH, total_ms - models_ms);
    for (step, ms) in steps {
        table.add(&step, ms);
    }
}

/// The step that ends with these events is a model at work.
fn is_model(event: &Value) -> bool {
    matches!(
        (event["domain"].as_str(), event["name"].as_str()),
        (Some("embedding"), Some("settled")) | (Some("query"), Some("answered"))
    )
}
