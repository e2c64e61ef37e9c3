//! The `TaskService`: answers for every task of the caller's tenant, in whatever domain it runs. A credential that is limited to
//! some agents, or is one person's, does not get at what is another agent's or another person's: that looks like what does not
//! exist.

mod watch;

use std::time::{Duration, Instant};

use action::{Status as TaskStatus, TaskId, TenantId};
use fault::{Failure, reason};
use futures::stream::BoxStream;
use proto::task::v1 as wire;
use proto::task::v1::task_service_server::{TaskService, TaskServiceServer};
use queue::Queue;
use session::{Position, Sessions, Start};
use tonic::{Request, Response, Status};

use crate::identity::{Standing, while_proved};
use crate::{Caller, Kit};

/// Wait of `WaitTask` when none is asked for, and the longest.
const WAIT: Duration = Duration::from_secs(30);
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// First and longest pause between two looks at a task that is waited for.
const LOOK: Duration = Duration::from_millis(20);
const LONGEST_LOOK: Duration = Duration::from_millis(500);

/// Most characters of a reason for a cancellation.
const REASON: usize = 200;

/// The façade.
#[derive(Clone, Debug)]
pub(crate) struct TaskFacade {
    queue: Queue,
    sessions: Sessions,
    proof: Duration,
}

impl TaskFacade {
    /// Makes the server.
    pub(crate) fn server(kit: &Kit) -> TaskServiceServer<Self> {
        TaskServiceServer::new(Self { queue: kit.queue.clone(), sessions: kit.sessions.clone(), proof: kit.proof })
            .max_encoding_message_size(crate::service::MOST_MESSAGE)
    }

    async fn find(&self, caller: &Caller, task: &str) -> Result<(TenantId, TaskId, wire::Task), Status> {
        let (tenant, _) = caller.tenant()?;
        let id: TaskId = task.parse()?;
        let found = self.queue.task(&tenant, id).await?.filter(|task| caller.may_see(task)).ok_or_else(not_found)?;
        Ok((tenant, id, found))
    }

    /// Looks at the task, less and less often, until it has ended or the time is up.
    async fn wait(&self, caller: &Caller, task: &str, patience: Duration) -> Result<wire::Task, Status> {
        let end = Instant::now() + patience;
        let mut pause = LOOK;
        loop {
            let (_, _, found) = self.find(caller, task).await?;
            let left = end.saturating_duration_since(Instant::now());
            if has_ended(&found) || left.is_zero() {
                return Ok(found);
            }
            tokio::time::sleep(pause.min(left)).await;
            pause = (pause * 2).min(LONGEST_LOOK);
        }
    }
}

#[tonic::async_trait]
impl TaskService for TaskFacade {
    async fn get_task(
        &self,
        request: Request<wire::GetTaskRequest>,
    ) -> Result<Response<wire::GetTaskResponse>, Status> {
        let (_, _, task) = self.find(Caller::of(&request)?, &request.get_ref().task_id).await?;
        Ok(Response::new(wire::GetTaskResponse { task: Some(task) }))
    }

    async fn wait_task(
        &self,
        request: Request<wire::WaitTaskRequest>,
    ) -> Result<Response<wire::WaitTaskResponse>, Status> {
        let caller = Caller::of(&request)?.clone();
        let request = request.into_inner();
        let patience = request.timeout.as_ref().and_then(action::time::duration_from_proto).unwrap_or(WAIT);
        if patience > LONGEST_WAIT {
            return Err(Failure::new(&reason::INVALID_FIELD, "`timeout` is at most 5 minutes").field("timeout").into());
        }
        let task = self.wait(&caller, &request.task_id, patience).await?;
        Ok(Response::new(wire::WaitTaskResponse { task: Some(task) }))
    }

    type WatchTaskStream = BoxStream<'static, Result<wire::WatchTaskResponse, Status>>;

    async fn watch_task(
        &self,
        request: Request<wire::WatchTaskRequest>,
    ) -> Result<Response<Self::WatchTaskStream>, Status> {
        let standing = Standing::of(&request)?;
        let (tenant, _, task) = self.find(standing.caller(), &request.get_ref().task_id).await?;
        let wire::WatchTaskRequest { epoch, after, .. } = request.into_inner();
        let from = match epoch {
            epoch if epoch.is_empty() => Start::Beginning,
            epoch => Start::After(Position { epoch, seq: after }),
        };
        let answers = watch::stream(self.queue.clone(), &self.sessions, &tenant, &task, from).await?;
        Ok(Response::new(while_proved(standing, self.proof, answers)))
    }

    async fn cancel_task(
        &self,
        request: Request<wire::CancelTaskRequest>,
    ) -> Result<Response<wire::CancelTaskResponse>, Status> {
        let caller = Caller::of(&request)?.clone();
        let request = request.into_inner();
        if request.reason.chars().count() > REASON {
            return Err(Failure::new(&reason::INVALID_FIELD, "`reason` has at most 200 characters")
                .field("reason")
                .into());
        }
        let (tenant, task, _) = self.find(&caller, &request.task_id).await?;
        let cancelled = self.queue.cancel(&tenant, task, &request.reason).await?;
        Ok(Response::new(wire::CancelTaskResponse { task: Some(cancelled.ok_or_else(not_found)?) }))
    }

    async fn list_tasks(
        &self,
        request: Request<wire::ListTasksRequest>,
    ) -> Result<Response<wire::ListTasksResponse>, Status> {
        let caller = Caller::of(&request)?.clone();
        let (tenant, _) = caller.tenant()?;
        let request = request.into_inner();
        let status = match TaskStatus::try_from(request.status) {
            Ok(TaskStatus::Unspecified) => None,
            Ok(status) => Some(status),
            Err(_) => {
                return Err(Failure::new(&reason::INVALID_FIELD, "`status` is none of the six").field("status").into());
            }
        };
        let size = page_size(request.page_size)?;
        let has_status = |task: &wire::Task| status.is_none_or(|status| task.status == i32::from(status));
        let wanted = |task: &wire::Task| has_status(task) && caller.may_see(task);
        let (tasks, next_page_token) = self.queue.tasks(&tenant, wanted, size, &request.page_token).await?;
        Ok(Response::new(wire::ListTasksResponse { tasks, next_page_token }))
    }
}

/// Reads the size of a page: 20 when 0, larger ones than 100 become 100.
pub(crate) fn page_size(asked: i32) -> Result<usize, Failure> {
    match usize::try_from(asked) {
        Ok(0) => Ok(20),
        Ok(size) => Ok(size.min(100)),
        Err(_) => Err(Failure::new(&reason::INVALID_FIELD, "`page_size` must not be negative").field("page_size")),
    }
}

fn not_found() -> Failure {
    Failure::new(&reason::TASK_NOT_FOUND, "there is no such task").field("task_id")
}

/// Tells whether a status is final.
fn is_final(status: i32) -> bool {
    matches!(
        TaskStatus::try_from(status),
        Ok(TaskStatus::Completed | TaskStatus::Failed | TaskStatus::Timeout | TaskStatus::Cancelled)
    )
}

fn has_ended(task: &wire::Task) -> bool {
    is_final(task.status)
}
