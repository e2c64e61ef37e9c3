//! The scripts: functions of one library, and a few that stand alone.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::LazyLock;

use broker::{Library, Script};

/// Name and text of a file.
type File = (&'static str, &'static str);

macro_rules! files {
    ($($name:literal),*) => { &[$(($name, include_str!(concat!("../lua/", $name, ".lua")))),*] };
}

/// What the functions share; what stands in a file is known to those behind it.
const SHARED: &[File] = files!["entry", "record", "ends", "due", "share", "survey"];
/// The functions, each in a file of its name whose first line tells how Redis is to run it.
const FUNCTIONS: &[File] =
    files!["submit", "settle", "claim", "cancel", "tick", "control", "purge", "replay", "check", "repair"];

macro_rules! functions {
    ($($name:ident = $file:literal;)*) => {
        $(pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| function($file));)*
    };
}

functions! {
    SUBMIT = "submit";
    CLAIM = "claim";
    SETTLE = "settle";
    CANCEL = "cancel";
    TICK = "tick";
    CONTROL = "control";
    PURGE = "purge";
    REPLAY = "replay";
    CHECK = "check";
    REPAIR = "repair";
}

macro_rules! scripts {
    ($($name:ident = $file:literal;)*) => {
        $(pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| {
            // Once a process, for as long as it lives.
            Script::new($file, text($file, include_str!(concat!("../lua/", $file, ".lua"))).leak())
        });)*
    };
}

scripts! {
    EXTEND = "extend";
    SWEEP = "sweep";
    NOTE = "note";
    SPREAD = "spread";
    REPLY = "reply";
}

/// The library under the name that its functions begin with as well. It has the hash of its text in it, so that processes of
/// different versions can work on the same server.
static LIBRARY: LazyLock<(String, Library)> = LazyLock::new(|| {
    let mut whole = String::new();
    for (name, built_in) in SHARED.iter().chain(FUNCTIONS) {
        // The first line of a function is for Redis; in a library it says so when it is registered.
        whole.push_str(&text(name, built_in).replacen("#!lua", "-- #!lua", 1));
        whole.push('\n');
    }
    let mut hasher = DefaultHasher::new();
    whole.hash(&mut hasher);
    let prefix = format!("nooble_queue_{:016x}", hasher.finish());
    for (name, built_in) in FUNCTIONS {
        whole.push_str(&registration(&prefix, name, &text(name, built_in)));
    }
    (prefix.clone(), Library::new(format!("#!lua name={prefix}\n{whole}")))
});

/// Returns what makes a function known to Redis. Every run begins with `begin`.
fn registration(prefix: &str, name: &str, text: &str) -> String {
    let first = text.lines().next().unwrap_or_default();
    let flags = first.split_once("flags=").map(|(_, flags)| format!("'{flags}'")).unwrap_or_default();
    let run = format!("function(keys, arguments) begin(keys[1]) return {name}(arguments) end");
    format!("redis.register_function{{function_name = '{prefix}_{name}', flags = {{{flags}}}, callback = {run}}}\n")
}

fn function(name: &'static str) -> Script {
    let (prefix, library) = &*LIBRARY;
    Script::of_library(name, library, format!("{prefix}_{name}"))
}

/// Returns the text of a file. `cargo xtask mutate` breaks scripts without building anything again: it names a folder whose
/// files stand in for those that were built in.
#[cfg(debug_assertions)]
#[expect(clippy::disallowed_methods, reason = "no setting: release builds do not know it")]
fn text(name: &str, built_in: &str) -> String {
    let folder = std::env::var("NOOBLE_QUEUE_LUA").ok();
    let other = folder.and_then(|folder| std::fs::read_to_string(format!("{folder}/{name}.lua")).ok());
    other.unwrap_or_else(|| built_in.to_owned())
}

#[cfg(not(debug_assertions))]
fn text(_: &str, built_in: &str) -> String {
    built_in.to_owned()
}
