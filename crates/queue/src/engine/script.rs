//! The scripts: functions of one library, and a few that stand alone.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::LazyLock;

use broker::{Function, Library, Script};

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

/// The library. Its name has the hash of its text in it, so that processes of different versions can work on the same server.
static LIBRARY: LazyLock<Library> = LazyLock::new(|| {
    let mut body = String::new();
    for (name, built_in) in SHARED.iter().chain(FUNCTIONS) {
        // The first line of a function is about the function alone.
        body.push_str(&text(name, built_in).replacen("#!lua", "-- #!lua", 1));
        body.push('\n');
    }
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    let functions = FUNCTIONS.iter().map(|(name, built_in)| {
        let text = text(name, built_in);
        let flags = text.lines().next().and_then(|first| first.split_once("flags=")).map_or("", |(_, flags)| flags);
        Function::new(name, flags, format!("begin(keys[1]) return {name}(arguments)"))
    });
    Library::new(&format!("nooble_queue_{:016x}", hasher.finish()), body, functions.collect())
});

#[expect(clippy::expect_used, reason = "both lists stand in this file")]
fn function(name: &'static str) -> Script {
    Script::of_library(name, &LIBRARY).expect("the library has it")
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
