//! Lua scripts by name.

use redis::aio::ConnectionLike;
use redis::{Cmd, FromRedisValue, RedisResult};

use crate::error;

/// A script that runs inside Redis, atomically.
#[derive(Clone, Debug)]
pub struct Script {
    name: &'static str,
    source: &'static str,
    hash: String,
}

impl Script {
    /// Takes the source of a script; `name` stands in errors and metrics.
    pub fn new(name: &'static str, source: &'static str) -> Self {
        let hash = redis::Script::new(source).get_hash().to_owned();
        Self { name, source, hash }
    }

    /// Returns its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns its source.
    pub fn source(&self) -> &'static str {
        self.source
    }

    /// Returns the SHA-1 of the source, by which `EVALSHA` names it.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Runs it by its hash, and whole where it is not known. `EVAL` keeps it as `SCRIPT LOAD` would, and goes where the keys
    /// are even if they have moved between the two attempts.
    pub(crate) async fn run_on<T: FromRedisValue>(
        &self,
        connection: &mut impl ConnectionLike,
        keys: &[&str],
        arguments: &[Vec<u8>],
    ) -> RedisResult<T> {
        match call("EVALSHA", &self.hash, keys, arguments).query_async(connection).await {
            Err(error) if error::is_unknown_script(&error) => {
                call("EVAL", self.source, keys, arguments).query_async(connection).await
            }
            answer => answer,
        }
    }
}

fn call(command: &str, script: &str, keys: &[&str], arguments: &[Vec<u8>]) -> Cmd {
    let mut call = redis::cmd(command);
    call.arg(script).arg(keys.len());
    for key in keys {
        call.arg(*key);
    }
    for argument in arguments {
        call.arg(argument.as_slice());
    }
    call
}
