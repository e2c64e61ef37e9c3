//! A connection of its own for commands that wait.

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, Pipeline, RedisResult, Value};

use crate::cluster::View;
use crate::script::LOADS;
use crate::{Error, Library, Script, error};

/// A connection to one server that one owner uses, so that a command may wait, and so that `WAIT` and `WAITAOF` speak of
/// what was written on it. It does not come back by itself: after an error, ask [`crate::Redis::blocking`] for another.
#[derive(Clone)]
pub struct Blocking {
    connection: MultiplexedConnection,
    /// By what the server was found, in a cluster.
    view: Option<View>,
}

impl Blocking {
    pub(crate) fn new(connection: MultiplexedConnection, view: Option<View>) -> Self {
        Self { connection, view }
    }

    /// Runs a command and waits for its answer as long as the command itself says.
    pub async fn query<T: FromRedisValue>(&mut self, command: &redis::Cmd) -> Result<T, Error> {
        let answer = command.query_async(&mut self.connection).await;
        self.settle(answer)
    }

    /// Runs several commands in one round trip. All their keys must be here.
    pub async fn pipeline<T: FromRedisValue>(&mut self, pipeline: &Pipeline) -> Result<T, Error> {
        let answer = pipeline.query_async(&mut self.connection).await;
        self.settle(answer)
    }

    /// Runs a script, as [`crate::Redis::run`] does. All its keys must be here.
    pub async fn run<T: FromRedisValue>(
        &mut self,
        script: &Script,
        keys: &[&str],
        arguments: &[impl AsRef<[u8]>],
    ) -> Result<T, Error> {
        let mut answer = script.run_on(&mut self.connection, keys, arguments).await;
        for _ in 0..LOADS {
            match (&answer, script.library()) {
                (Err(error), Some(library)) if error::is_unknown_function(error) => {
                    answer = self.give(library, script, keys, arguments).await;
                }
                _ => break,
            }
        }
        self.settle(answer)
    }

    /// Gives the server a library and runs a function of it; brings it along where there is no memory for it.
    async fn give<T: FromRedisValue>(
        &mut self,
        library: &Library,
        script: &Script,
        keys: &[&str],
        arguments: &[impl AsRef<[u8]>],
    ) -> RedisResult<T> {
        match library.load(&mut self.connection).await {
            Ok(()) => script.run_on(&mut self.connection, keys, arguments).await,
            Err(error) if error::is_full(&error) => {
                script.whole(keys, arguments).query_async(&mut self.connection).await
            }
            Err(error) => Err(error),
        }
    }

    /// Runs a command that waits, and a script right behind it: the server begins with the script as soon as the command is
    /// over, without a round trip in between. All keys must be here. Returns the script's answer, and whether the command did
    /// well: what it says is of no interest, and when it fails the script has run all the same.
    pub async fn run_after<T: FromRedisValue>(
        &mut self,
        wait: &redis::Cmd,
        script: &Script,
        keys: &[&str],
        arguments: &[impl AsRef<[u8]>],
    ) -> Result<(T, bool), Error> {
        let mut both = redis::pipe();
        both.ignore_errors().add_command(wait.clone()).add_command(script.call(keys, arguments));
        let (waited, answer) = match both.query_async::<(Value, Value)>(&mut self.connection).await {
            Ok(answers) => answers,
            Err(error) => return self.settle(Err(error)),
        };
        let did_well = error::refusal(&waited).is_none();
        match error::refusal(&answer) {
            Some(error) if error::is_unknown_script(&error) || error::is_unknown_function(&error) => {
                Ok((self.run(script, keys, arguments).await?, did_well))
            }
            Some(error) => self.settle(Err(error)),
            None => Ok((T::from_redis_value(answer).map_err(redis::RedisError::from)?, did_well)),
        }
    }

    /// Passes an answer on. If the keys went elsewhere, the cluster is looked at before the next connection is opened.
    fn settle<T>(&self, answer: RedisResult<T>) -> Result<T, Error> {
        if let (Err(error), Some(view)) = (&answer, &self.view)
            && error::is_passing(error)
        {
            view.doubt();
        }
        Ok(answer?)
    }
}

impl std::fmt::Debug for Blocking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocking").finish_non_exhaustive()
    }
}
