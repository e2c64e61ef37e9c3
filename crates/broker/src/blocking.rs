//! A connection of its own for commands that wait.

use redis::FromRedisValue;
use redis::aio::MultiplexedConnection;

use crate::Error;

/// A connection that one waiting command at a time uses. It does not come back by itself: after an error, ask
/// [`crate::Redis::blocking`] for another.
#[derive(Clone)]
pub struct Blocking {
    connection: MultiplexedConnection,
}

impl Blocking {
    pub(crate) fn new(connection: MultiplexedConnection) -> Self {
        Self { connection }
    }

    /// Runs a command and waits for its answer as long as the command itself says.
    pub async fn query<T: FromRedisValue>(&mut self, command: &redis::Cmd) -> Result<T, Error> {
        Ok(command.query_async(&mut self.connection).await?)
    }
}

impl std::fmt::Debug for Blocking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocking").finish_non_exhaustive()
    }
}
