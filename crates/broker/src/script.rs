//! Lua scripts by name.

use redis::aio::ConnectionLike;
use redis::{Cmd, FromRedisValue, RedisResult};

use crate::error;

/// How often a server is given a library that it does not have: somebody may make it forget between the gift and the call.
pub(crate) const LOADS: usize = 5;

/// A script that runs inside Redis, atomically: a text of its own, or a function of a library.
#[derive(Clone, Debug)]
pub struct Script {
    name: &'static str,
    text: Text,
}

#[derive(Clone, Debug)]
enum Text {
    Own { source: &'static str, hash: String },
    Function { library: &'static Library, call: String },
}

/// Functions that a server keeps once it was given them, over restarts and failovers. Redis 7 makes the functions of a script
/// anew in every run, and those of a library once.
#[derive(Debug)]
pub struct Library {
    source: String,
}

impl Library {
    /// Takes the source of a library. Its first line names it; a library of another source must have another name.
    pub fn new(source: String) -> Self {
        Self { source }
    }

    /// Gives it to the server at the end of a connection. Whoever was faster gave it the same.
    pub(crate) async fn load(&self, connection: &mut impl ConnectionLike) -> RedisResult<()> {
        match redis::cmd("FUNCTION").arg("LOAD").arg(&self.source).query_async::<String>(connection).await {
            Err(error) if !error::is_known_library(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

impl Script {
    /// Takes the source of a script; `name` stands in errors and metrics.
    pub fn new(name: &'static str, source: &'static str) -> Self {
        let hash = redis::Script::new(source).get_hash().to_owned();
        Self { name, text: Text::Own { source, hash } }
    }

    /// Takes a function of a library by the name under which it is registered.
    pub fn of_library(name: &'static str, library: &'static Library, call: String) -> Self {
        Self { name, text: Text::Function { library, call } }
    }

    /// Returns its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns its source: the whole library's, if it is a function.
    pub fn source(&self) -> &str {
        match &self.text {
            Text::Own { source, .. } => source,
            Text::Function { library, .. } => &library.source,
        }
    }

    /// Returns the library that it is a function of.
    pub(crate) fn library(&self) -> Option<&'static Library> {
        match self.text {
            Text::Own { .. } => None,
            Text::Function { library, .. } => Some(library),
        }
    }

    /// Returns the call as it is made when the server is known to have it: by its hash, or by the function's name.
    pub(crate) fn call(&self, keys: &[&str], arguments: &[Vec<u8>]) -> Cmd {
        match &self.text {
            Text::Own { hash, .. } => call("EVALSHA", hash, keys, arguments),
            Text::Function { call: function, .. } => call("FCALL", function, keys, arguments),
        }
    }

    /// Runs it, a text of its own whole where it is not known. `EVAL` keeps it as `SCRIPT LOAD` would, and goes where the keys
    /// are even if they have moved between the two attempts.
    pub(crate) async fn run_on<T: FromRedisValue>(
        &self,
        connection: &mut impl ConnectionLike,
        keys: &[&str],
        arguments: &[Vec<u8>],
    ) -> RedisResult<T> {
        match (self.call(keys, arguments).query_async(connection).await, &self.text) {
            (Err(error), Text::Own { source, .. }) if error::is_unknown_script(&error) => {
                call("EVAL", source, keys, arguments).query_async(connection).await
            }
            (answer, _) => answer,
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
