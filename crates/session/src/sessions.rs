//! The handle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use action::{Action, TaskId};
use broker::{Redis, Script};
use futures::{Stream, stream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::append::{self, Call};
use crate::follow::Following;
use crate::hub::Hub;
use crate::log::Keys;
use crate::scripts::{Scripts, new_epoch, number};
use crate::{Announcement, Append, Appended, Config, Error, Event, Log, Page, Position, Start, kind_of, read};

/// Reads, writes and follows logs. Cloning is cheap.
///
/// The connection for following is opened by the first [`Sessions::follow`] and ends with the last clone and stream, or
/// by [`Sessions::close`].
#[derive(Clone, Debug)]
pub struct Sessions {
    inner: Arc<Inner>,
}

/// What all clones and streams share.
#[derive(Debug)]
pub(crate) struct Inner {
    redis: Redis,
    scripts: Arc<Scripts>,
    pub(crate) config: Arc<Config>,
    pub(crate) hub: Arc<Hub>,
    listening: AtomicBool,
    tasks: TaskTracker,
    stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

impl Sessions {
    /// Takes the server that holds the logs. It may be away for now.
    #[expect(clippy::unused_async, reason = "starting may come to ask the server, and callers await every start")]
    pub async fn start(redis: Redis, config: Config) -> Result<Self, Error> {
        let (scripts, config) = (Arc::new(Scripts::new()), Arc::new(config));
        let hub = Arc::new(Hub::new(redis.clone(), scripts.clone(), config.clone()));
        let stop = CancellationToken::new();
        let inner = Inner {
            redis,
            scripts,
            config,
            hub,
            listening: AtomicBool::new(false),
            tasks: TaskTracker::new(),
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Returns what was chosen about logs.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Appends a frame.
    ///
    /// A frame of a new attempt that names it (the first delta, a task update) is preceded by word of the restart if an
    /// earlier attempt had written something, as by [`Sessions::restart`].
    pub async fn append(&self, log: &Log, append: Append) -> Result<Appended, Error> {
        let mut appended = self.append_many(log, vec![append]).await?;
        appended.pop().ok_or(Error::Malformed("no position"))
    }

    /// Appends several frames in one round trip: all of them, or none when one is refused.
    pub async fn append_many(&self, log: &Log, appends: Vec<Append>) -> Result<Vec<Appended>, Error> {
        if appends.is_empty() {
            return Ok(Vec::new());
        }
        let call = Call::frames(&Keys::of(log), &self.inner.config, &appends);
        let appended = self.call(call).await?;
        for append in &appends {
            telemetry::metric::session::appended(kind_of(&append.frame));
        }
        Ok(appended)
    }

    /// Tells that an attempt of the action's task begins: from now on earlier attempts are refused, and if one of them
    /// had written something, `task_update {status: running, stage: "restarted", attempt}` is appended.
    pub async fn restart(&self, log: &Log, action: &Action) -> Result<Option<Appended>, Error> {
        let appended = self.call(Call::restart(&Keys::of(log), &self.inner.config, action)).await?;
        Ok(appended.into_iter().next().filter(|appended| appended.seq > 0))
    }

    /// Tells those who follow an agent; costs a look at Redis when nobody does. It is word of what is recorded elsewhere, so one
    /// that is lost is only noted.
    pub async fn announce(&self, announcement: Option<Announcement>) {
        let Some(Announcement { log, append }) = announcement else { return };
        let call = Call::frames(&Keys::of(&log), &self.inner.config, &[append]);
        match self.write(&self.inner.scripts.announce, call).await {
            Ok(_) | Err(Error::Stale | Error::Finished) => {}
            Err(error) => tracing::debug!(%error, "the followers of an agent were not told"),
        }
    }

    /// Reads at most `limit` positions after one. A log that does not exist has an empty epoch and no frames.
    pub async fn read(&self, log: &Log, after: Position, limit: usize) -> Result<Page, Error> {
        self.inner.page(&Keys::of(log), &Start::After(after), limit, "").await
    }

    /// Tells whether a task has said its last in a log: nothing about it follows what is there.
    pub async fn has_final(&self, log: &Log, task: TaskId) -> Result<bool, Error> {
        let mut asking = redis::cmd("HGET");
        asking.arg(Keys::of(log).task(&task)).arg("final");
        Ok(self.inner.redis.query::<Option<u8>>(&asking).await? == Some(1))
    }

    /// Remembers that the client has dealt with everything up to a position. It never goes back; a position of an
    /// unknown epoch changes nothing.
    pub async fn acknowledge(&self, log: &Log, epoch: &str, seq: u64) -> Result<(), Error> {
        let keys = Keys::of(log);
        let arguments = [new_epoch(), epoch.as_bytes().to_vec(), number(seq)];
        let script = &self.inner.scripts.acknowledge;
        self.inner.redis.run::<u64>(script, &[&keys.meta, &keys.log], &arguments).await?;
        Ok(())
    }

    /// Follows a log: [`Event::Attached`], what was missed, [`Event::Resumed`], then what happens.
    ///
    /// The stream never ends by itself. While Redis is away it waits, and then goes on where it was.
    #[expect(clippy::needless_pass_by_value, reason = "a stream owns what it follows")]
    pub fn follow(&self, log: Log, from: Start) -> impl Stream<Item = Result<Event, Error>> + Send + Unpin + use<> {
        self.listen();
        let following = Following::new(self.inner.clone(), Keys::of(&log), from);
        Box::pin(stream::unfold(following, |mut following| async move {
            let event = following.next().await;
            Some((Ok(event), following))
        }))
    }

    /// Stops receiving hints and waits until the connection for it is closed. Streams that are still held get nothing
    /// more.
    pub async fn close(&self) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    async fn call(&self, call: Call) -> Result<Vec<Appended>, Error> {
        self.write(&self.inner.scripts.append, call).await
    }

    async fn write(&self, script: &Script, call: Call) -> Result<Vec<Appended>, Error> {
        let keys: Vec<&str> = call.keys.iter().map(String::as_str).collect();
        append::answer(self.inner.redis.run(script, &keys, &call.arguments).await?)
    }

    fn listen(&self) {
        if !self.inner.listening.swap(true, Ordering::SeqCst) {
            let running = self.inner.hub.clone().run();
            let stop = self.inner.stop.clone();
            self.inner.tasks.spawn(async move { stop.run_until_cancelled(running).await });
        }
    }
}

impl Inner {
    pub(crate) async fn page(&self, keys: &Keys, from: &Start, limit: usize, node: &str) -> Result<Page, Error> {
        read::page(&self.redis, &self.scripts, &self.config, keys, from, limit, node).await
    }
}
