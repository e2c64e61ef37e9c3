//! `nooble dlq`: the dead letters of a domain, and what is done about them.

use std::io::Write as _;
use std::time::Duration;

use action::time;
use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;
use proto::action::v1::DomainAction;
use proto::queue::v1::{
    DeadLetter, DeadLetterChoice, DeleteDeadLettersRequest, GetDeadLetterRequest, ListDeadLettersRequest,
    ReplayDeadLettersRequest,
};
use serde_json::{Value, json};

use crate::mesh::{Operator, print_json, refused};
use crate::{contract_json, span};

/// Shows, replays or deletes dead letters.
#[derive(clap::Args, Debug)]
pub(crate) struct Dlq {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Actions of a domain that were given up, oldest first.
    List {
        /// Domain, e.g. `execution`.
        domain: String,
        /// Only those given up for this reason: exhausted, rejected, poison, expired or malformed.
        #[arg(long, default_value = "")]
        why: String,
        /// Only those of this tenant.
        #[arg(long, default_value = "")]
        tenant: String,
        /// Most to show.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        operator: Operator,
    },
    /// One of them, with its action.
    Show {
        /// Domain, e.g. `execution`.
        domain: String,
        /// Entry as the list shows it.
        entry: String,
        #[command(flatten)]
        operator: Operator,
    },
    /// Submit them again, with fresh counters.
    Replay {
        #[command(flatten)]
        choice: Choice,
        #[command(flatten)]
        operator: Operator,
    },
    /// Throw them away.
    Delete {
        #[command(flatten)]
        choice: Choice,
        /// Say that it is meant: what is deleted is gone.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        operator: Operator,
    },
}

/// Which dead letters are meant: entries, or what matches.
#[derive(clap::Args, Debug)]
struct Choice {
    /// Domain, e.g. `execution`.
    domain: String,
    /// Entries as the list shows them.
    #[arg(conflicts_with_all = ["all", "why", "tenant", "older_than"])]
    entries: Vec<String>,
    /// All of the domain.
    #[arg(long, conflicts_with_all = ["why", "tenant", "older_than"])]
    all: bool,
    /// Those given up for this reason: exhausted, rejected, poison, expired or malformed.
    #[arg(long)]
    why: Option<String>,
    /// Those of this tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// Those at least this old, e.g. `7d`.
    #[arg(long, value_parser = span::parse)]
    older_than: Option<Duration>,
}

impl From<Choice> for DeadLetterChoice {
    fn from(choice: Choice) -> Self {
        Self {
            domain: choice.domain,
            entry_ids: choice.entries,
            why: choice.why.unwrap_or_default(),
            tenant_id: choice.tenant.unwrap_or_default(),
            older_than: choice.older_than.map(time::duration_to_proto),
            all: choice.all,
        }
    }
}

impl Dlq {
    /// Runs the command.
    pub(crate) async fn run(self) -> Result<()> {
        match self.command {
            Command::List { domain, why, tenant, limit, operator } => {
                let first = ListDeadLettersRequest { domain, why, tenant_id: tenant, ..Default::default() };
                list(first, limit, &operator).await
            }
            Command::Show { domain, entry, operator } => show(domain, entry, &operator).await,
            Command::Replay { choice, operator } => replay(choice.into(), &operator).await,
            Command::Delete { yes: false, .. } => bail!("what is deleted is gone: add --yes when it is meant"),
            Command::Delete { choice, operator, .. } => delete(choice.into(), &operator).await,
        }
    }
}

async fn list(mut request: ListDeadLettersRequest, limit: usize, operator: &Operator) -> Result<()> {
    let mut client = operator.queues().await?;
    let mut letters = Vec::new();
    while letters.len() < limit {
        request.page_size = i32::try_from(limit - letters.len()).unwrap_or(i32::MAX).min(100);
        let page = client.list_dead_letters(request.clone()).await.map_err(|status| refused(&status))?.into_inner();
        letters.extend(page.dead_letters);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    if operator.json {
        return print_json(&letters.iter().map(letter_json).collect());
    }
    let mut out = std::io::stdout().lock();
    for letter in letters {
        let DeadLetter { entry_id, why, queue_name, tenant_id, error, .. } = letter;
        writeln!(out, "{entry_id:<20} {why:<10} {tenant_id:<20} {queue_name}: {error}")?;
    }
    Ok(())
}

async fn show(domain: String, entry_id: String, operator: &Operator) -> Result<()> {
    let request = GetDeadLetterRequest { domain, entry_id };
    let answer = operator.queues().await?.get_dead_letter(request).await.map_err(|status| refused(&status))?;
    let letter = answer.into_inner().dead_letter.context("the answer holds a dead letter")?;
    let action = letter.action.as_ref().and_then(|any| DomainAction::decode(any.value.as_slice()).ok());
    let payload = action.as_ref().and_then(payload_of);
    if operator.json {
        let mut shown = letter_json(&letter);
        shown["payload"] = payload.unwrap_or_default();
        shown["body_base64"] = STANDARD.encode(&letter.body).into();
        return print_json(&shown);
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "entry     {}", letter.entry_id)?;
    writeln!(out, "action    {} of {} in {}", letter.action_id, letter.tenant_id, letter.queue_name)?;
    writeln!(out, "given up  {} after {} attempts", letter.why, letter.attempts)?;
    if let Some(at) = &letter.at {
        writeln!(out, "at        {at}")?;
    }
    if !letter.error.is_empty() {
        writeln!(out, "error     {}", letter.error)?;
    }
    if let Some(action) = action {
        writeln!(out, "type      {}, task {}", action.action_type, action.task_id)?;
    }
    match payload {
        Some(payload) => writeln!(out, "payload   {payload}")?,
        None => writeln!(out, "body      {} bytes; --json shows them", letter.body.len())?,
    }
    Ok(())
}

async fn replay(choice: DeadLetterChoice, operator: &Operator) -> Result<()> {
    let request = ReplayDeadLettersRequest { choice: Some(choice) };
    let answer = operator.queues().await?.replay_dead_letters(request).await.map_err(|status| refused(&status))?;
    let done = answer.into_inner();
    if operator.json {
        return print_json(&json!({ "replayed": done.replayed, "left": done.left }));
    }
    writeln!(std::io::stdout(), "{} submitted again, {} left where they are", done.replayed, done.left)?;
    Ok(())
}

async fn delete(choice: DeadLetterChoice, operator: &Operator) -> Result<()> {
    let request = DeleteDeadLettersRequest { choice: Some(choice) };
    let answer = operator.queues().await?.delete_dead_letters(request).await.map_err(|status| refused(&status))?;
    let deleted = answer.into_inner().deleted;
    if operator.json {
        return print_json(&json!({ "deleted": deleted }));
    }
    writeln!(std::io::stdout(), "{deleted} deleted")?;
    Ok(())
}

fn letter_json(letter: &DeadLetter) -> Value {
    json!({
        "entry_id": letter.entry_id, "action_id": letter.action_id, "tenant_id": letter.tenant_id,
        "queue_name": letter.queue_name, "why": letter.why, "error": letter.error, "attempts": letter.attempts,
        "at": letter.at.as_ref().map(ToString::to_string),
    })
}

/// Returns the payload as JSON, when the contract knows its type.
fn payload_of(action: &DomainAction) -> Option<Value> {
    let payload = action.payload.as_ref()?;
    contract_json::decode(&payload.type_url, &payload.value).ok()
}

#[cfg(test)]
mod tests;
