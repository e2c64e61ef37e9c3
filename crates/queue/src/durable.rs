//! When a submit counts as done, where that is later than when Redis has it in memory.

use std::time::Duration;

use broker::{Blocking, Redis, ServerInfo};
use tokio::sync::Mutex;

use crate::engine::{Engine, Entry, Placed};
use crate::{Durability, Error};

/// How long one confirmation is waited for; the submit is tried again as long as its patience lasts.
const PATIENCE: Duration = Duration::from_secs(1);

/// What has to be waited for after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Confirm {
    /// Nothing: the answer to the write says it all.
    Nothing,
    /// A replica has it.
    Replica,
    /// The disk of the server has it.
    Disk,
}

impl Confirm {
    /// Returns what a mode needs on this server; an error when the server cannot give it.
    pub(crate) fn needed(durability: Durability, server: &ServerInfo) -> Result<Self, Error> {
        match durability {
            Durability::Fast => Ok(Self::Nothing),
            Durability::Replicated => {
                if server.replicas == 0 {
                    tracing::warn!("durability is `replicated` and no replica is connected: submits fail until one is");
                }
                Ok(Self::Replica)
            }
            Durability::Fsync if !server.aof => {
                Err(Error::Server("durability `fsync` needs an append-only file; set appendonly yes".to_owned()))
            }
            // Then a write is answered when it is on the disk.
            Durability::Fsync if server.aof_always => Ok(Self::Nothing),
            Durability::Fsync if server.waitaof => Ok(Self::Disk),
            Durability::Fsync => Err(Error::Server(
                "durability `fsync` needs a server with WAITAOF (Redis 7.2, Valkey) or appendfsync always".to_owned(),
            )),
        }
    }
}

/// Writes and waits for the confirmation on one connection of its own: a confirmation is about what its connection wrote, and
/// whatever is sent behind it waits.
#[derive(Debug)]
pub(crate) struct Durable {
    redis: Redis,
    confirm: Confirm,
    connection: Mutex<Option<Blocking>>,
}

impl Durable {
    pub(crate) fn new(redis: Redis, confirm: Confirm) -> Self {
        Self { redis, confirm, connection: Mutex::default() }
    }

    /// Submits a batch. What is answered has been confirmed.
    pub(crate) async fn submit(&self, engine: &Engine, batch: &[Entry]) -> Result<Vec<Result<Placed, Error>>, Error> {
        if self.confirm == Confirm::Nothing {
            return engine.submit(0, batch).await;
        }
        let mut kept = self.connection.lock().await;
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => self.redis.blocking(engine.tag()).await?,
        };
        // A connection that failed is not used again: it is put back only after all went well.
        let placed = engine.submit_on(&mut connection, batch).await?;
        self.wait(&mut connection, engine.tag()).await?;
        *kept = Some(connection);
        Ok(placed)
    }

    async fn wait(&self, connection: &mut Blocking, tag: &str) -> Result<(), Error> {
        // A batch that was known already wrote nothing on this connection, and its first try may have been on another. This
        // write comes after both, so that its confirmation covers them.
        let touch = redis::Cmd::hincr(format!("{tag}n"), "confirmed", 1);
        connection.query::<i64>(&touch).await?;
        let ms = u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX);
        let confirmed: u64 = if self.confirm == Confirm::Disk {
            let mut wait = redis::cmd("WAITAOF");
            wait.arg(1).arg(0).arg(ms);
            connection.query::<(u64, u64)>(&wait).await?.0
        } else {
            let mut wait = redis::cmd("WAIT");
            wait.arg(1).arg(ms);
            connection.query(&wait).await?
        };
        if confirmed > 0 {
            return Ok(());
        }
        let error = redis::RedisError::from((redis::ErrorKind::Io, "the write was not confirmed in time"));
        Err(Error::Broker(broker::Error::Unavailable(error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(aof: bool, aof_always: bool, waitaof: bool) -> ServerInfo {
        ServerInfo {
            version: "7.2.0".to_owned(),
            run_id: String::new(),
            aof,
            aof_always,
            eviction: "noeviction".to_owned(),
            waitaof,
            replicas: 0,
        }
    }

    #[test]
    fn what_has_to_be_confirmed_follows_from_mode_and_server() {
        let needed = |mode, aof, always, waitaof| Confirm::needed(mode, &server(aof, always, waitaof)).ok();
        assert_eq!(needed(Durability::Fast, false, false, false), Some(Confirm::Nothing));
        assert_eq!(needed(Durability::Replicated, false, false, false), Some(Confirm::Replica));
        assert_eq!(needed(Durability::Fsync, false, false, true), None, "without an append-only file");
        assert_eq!(needed(Durability::Fsync, true, true, false), Some(Confirm::Nothing));
        assert_eq!(needed(Durability::Fsync, true, false, true), Some(Confirm::Disk));
        assert_eq!(needed(Durability::Fsync, true, false, false), None, "a server that cannot wait for its disk");
    }
}
