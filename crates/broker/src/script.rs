//! Lua scripts by name.

use redis::aio::ConnectionLike;
use redis::{Cmd, FromRedisValue, RedisResult};

use crate::error;

/// How often a server is given a library that it does not have: somebody may make it forget between the gift and the call.
pub(crate) const LOADS: usize = 5;

/// For a script that takes none.
pub const NO_ARGUMENTS: &[&[u8]] = &[];

/// A script that runs inside Redis, atomically: a text of its own, or a function of a library.
#[derive(Clone, Debug)]
pub struct Script {
    name: &'static str,
    text: Text,
}

#[derive(Clone, Debug)]
enum Text {
    Own { source: &'static str, hash: String },
    Function { library: &'static Library, function: &'static Function },
}

/// Functions that a server keeps once it was given them, over restarts and failovers. Redis 7 makes the functions of a script
/// anew in every run, and those of a library once.
#[derive(Debug)]
pub struct Library {
    /// What the functions call.
    body: String,
    functions: Vec<Function>,
    /// All of it as a server is given it.
    source: String,
}

/// What can be called of a library.
#[derive(Debug)]
pub struct Function {
    /// Among those of the library.
    name: &'static str,
    /// May be empty.
    flags: String,
    run: String,
    /// Name that it is registered under.
    registered: String,
}

impl Function {
    /// Describes a function. `flags` says how Redis is to run it, e.g. `allow-oom`; `run` what is done, in terms of `keys`,
    /// `arguments` and the library, and ends with a return.
    pub fn new(name: &'static str, flags: &str, run: String) -> Self {
        Self { name, flags: flags.to_owned(), run, registered: String::new() }
    }
}

impl Library {
    /// Puts a library together. A library of another text must have another name, which its functions begin with as well, so
    /// that several can lie on one server.
    pub fn new(name: &str, body: String, mut functions: Vec<Function>) -> Self {
        let mut source = format!("#!lua name={name}\n{body}\n");
        for function in &mut functions {
            function.registered = format!("{name}_{}", function.name);
            let flags = if function.flags.is_empty() { String::new() } else { format!("'{}'", function.flags) };
            let (registered, run) = (&function.registered, &function.run);
            let registration = [
                "redis.register_function{function_name = '",
                registered,
                "', flags = {",
                &flags,
                "}, callback = function(keys, arguments) ",
                run,
                " end}\n",
            ];
            source.extend(registration);
        }
        Self { body, functions, source }
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

    /// Takes a function of a library by its name; none when there is no such function.
    pub fn of_library(name: &str, library: &'static Library) -> Option<Self> {
        let function = library.functions.iter().find(|function| function.name == name)?;
        Some(Self { name: function.name, text: Text::Function { library, function } })
    }

    /// Returns its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the library that it is a function of.
    pub(crate) fn library(&self) -> Option<&'static Library> {
        match self.text {
            Text::Own { .. } => None,
            Text::Function { library, .. } => Some(library),
        }
    }

    /// Returns the call as it is made when the server is known to have it: by its hash, or by the function's name.
    pub(crate) fn call(&self, keys: &[&str], arguments: &[impl AsRef<[u8]>]) -> Cmd {
        match &self.text {
            Text::Own { hash, .. } => call("EVALSHA", hash, keys, arguments),
            Text::Function { function, .. } => call("FCALL", &function.registered, keys, arguments),
        }
    }

    /// Returns the call that brings everything along, for who cannot ask twice: a server that is full takes no library, and still
    /// has to settle.
    pub fn whole(&self, keys: &[&str], arguments: &[impl AsRef<[u8]>]) -> Cmd {
        match &self.text {
            Text::Own { source, .. } => call("EVAL", source, keys, arguments),
            Text::Function { library, function } => {
                let flags =
                    if function.flags.is_empty() { String::new() } else { format!(" flags={}", function.flags) };
                let (body, run) = (&library.body, &function.run);
                let source = format!("#!lua{flags}\n{body}\nlocal keys, arguments = KEYS, ARGV\n{run}");
                call("EVAL", &source, keys, arguments)
            }
        }
    }

    /// Runs it, a text of its own whole where it is not known. `EVAL` keeps it as `SCRIPT LOAD` would, and goes where the keys
    /// are even if they have moved between the two attempts.
    pub(crate) async fn run_on<T: FromRedisValue>(
        &self,
        connection: &mut impl ConnectionLike,
        keys: &[&str],
        arguments: &[impl AsRef<[u8]>],
    ) -> RedisResult<T> {
        match self.call(keys, arguments).query_async(connection).await {
            Err(error) if error::is_unknown_script(&error) => {
                Box::pin(self.whole(keys, arguments).query_async(connection)).await
            }
            answer => answer,
        }
    }
}

/// Digits of a number of keys.
const LONGEST_NUMBER: usize = 20;

fn call(command: &str, script: &str, keys: &[&str], arguments: &[impl AsRef<[u8]>]) -> Cmd {
    let bytes = keys.iter().map(|key| key.len()).chain(arguments.iter().map(|argument| argument.as_ref().len()));
    let bytes = bytes.sum::<usize>() + command.len() + script.len() + LONGEST_NUMBER;
    let mut call = Cmd::with_capacity(3 + keys.len() + arguments.len(), bytes);
    call.arg(command).arg(script).arg(keys.len());
    for key in keys {
        call.arg(*key);
    }
    for argument in arguments {
        call.arg(argument.as_ref());
    }
    call
}
