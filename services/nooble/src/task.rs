//! `nooble task`: shows, follows and cancels tasks.

mod show;

use anyhow::{Context as _, Result};
use proto::action::v1::Status;
use proto::task::v1::task_service_client::TaskServiceClient;
use proto::task::v1::{CancelTaskRequest, GetTaskRequest, ListTasksRequest, WatchTaskRequest};

use crate::mesh::{Access, Keyed, print_json, refused};

/// Shows, follows or cancels a tenant's tasks.
#[derive(clap::Args, Debug)]
pub(crate) struct Task {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// A task as it is now, with its timeline.
    Get {
        /// The task.
        task_id: String,
        #[command(flatten)]
        access: Access,
    },
    /// What happens to a task, until it has ended; in JSON one object a line.
    Watch {
        /// The task.
        task_id: String,
        #[command(flatten)]
        access: Access,
    },
    /// Cancels a task.
    Cancel {
        /// The task.
        task_id: String,
        /// Why, for the record.
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        access: Access,
    },
    /// The tenant's newest tasks.
    List {
        /// Most tasks to show.
        #[arg(long, default_value_t = 20)]
        limit: i32,
        /// Only those with this status: pending, running, completed, failed, timeout or cancelled.
        #[arg(long, value_parser = show::status)]
        status: Option<Status>,
        #[command(flatten)]
        access: Access,
    },
}

impl Task {
    /// Runs the command.
    pub(crate) async fn run(self) -> Result<()> {
        match self.command {
            Command::Get { task_id, access } => get(task_id, &access).await,
            Command::Watch { task_id, access } => watch(task_id, &access).await,
            Command::Cancel { task_id, reason, access } => cancel(task_id, reason, &access).await,
            Command::List { limit, status, access } => list(limit, status, &access).await,
        }
    }
}

async fn client(access: &Access) -> Result<TaskServiceClient<Keyed>> {
    Ok(TaskServiceClient::new(access.connect().await?))
}

async fn get(task_id: String, access: &Access) -> Result<()> {
    let answer = client(access).await?.get_task(GetTaskRequest { task_id }).await.map_err(|status| refused(&status))?;
    show::task(&answer.into_inner().task.context("the answer holds a task")?, access.json())
}

async fn watch(task_id: String, access: &Access) -> Result<()> {
    let mut client = client(access).await?;
    let request = WatchTaskRequest { task_id, ..WatchTaskRequest::default() };
    let mut stream = client.watch_task(request).await.map_err(|status| refused(&status))?.into_inner();
    let mut last = None;
    while let Some(message) = stream.message().await.map_err(|status| refused(&status))? {
        if access.json() {
            show::message(&message)?;
        } else if let Some(frame) = &message.frame {
            show::frame(frame)?;
        }
        last = message.task.or(last);
    }
    let last = last.context("the stream told of the task")?;
    // In JSON the last line has told of it already.
    if access.json() { Ok(()) } else { show::task(&last, false) }
}

async fn cancel(task_id: String, reason: String, access: &Access) -> Result<()> {
    let request = CancelTaskRequest { task_id, reason };
    let answer = client(access).await?.cancel_task(request).await.map_err(|status| refused(&status))?;
    show::task(&answer.into_inner().task.context("the answer holds a task")?, access.json())
}

async fn list(limit: i32, status: Option<Status>, access: &Access) -> Result<()> {
    let status = status.unwrap_or_default().into();
    let request = ListTasksRequest { page_size: limit, status, ..Default::default() };
    let tasks = client(access).await?.list_tasks(request).await.map_err(|status| refused(&status))?.into_inner().tasks;
    if access.json() {
        return print_json(&tasks.iter().map(show::task_json).collect());
    }
    tasks.iter().try_for_each(show::line)
}
