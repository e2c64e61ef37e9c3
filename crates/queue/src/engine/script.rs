//! The scripts, each put together from its own file and what it shares with others.

use std::sync::LazyLock;

use broker::Script;

/// Name and text of a file.
type File = (&'static str, &'static str);

const ENTRY: File = ("entry", include_str!("../lua/entry.lua"));
const DUE: File = ("due", include_str!("../lua/due.lua"));
const SHARE: File = ("share", include_str!("../lua/share.lua"));
const SURVEY: File = ("survey", include_str!("../lua/survey.lua"));

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $file:literal [$($before:expr),*];)*) => {$(
        $(#[$doc])*
        pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| {
            // Once a process, for as long as it lives.
            let own = ($file, include_str!(concat!("../lua/", $file, ".lua")));
            Script::new($file, compose(own, &[$($before),*]).leak())
        });
    )*};
}

scripts! {
    SUBMIT = "submit" [ENTRY];
    CLAIM = "claim" [ENTRY, DUE, SHARE];
    SETTLE = "settle" [ENTRY];
    EXTEND = "extend" [];
    CANCEL = "cancel" [ENTRY];
    TICK = "tick" [ENTRY, DUE];
    SWEEP = "sweep" [];
    NOTE = "note" [];
    CONTROL = "control" [ENTRY];
    PURGE = "purge" [ENTRY];
    REPLAY = "replay" [ENTRY];
    SPREAD = "spread" [];
    REPLY = "reply" [];
    CHECK = "check" [ENTRY, SURVEY];
    REPAIR = "repair" [ENTRY, SURVEY];
}

/// Puts the shared texts behind the first line, which must stay the first: it tells Redis how to run the script.
fn compose((name, own): File, shared: &[File]) -> String {
    let own = text(name, own);
    let (first, rest) = own.split_once('\n').unwrap_or((&own, ""));
    let mut whole = String::from(first);
    for part in shared.iter().map(|(name, part)| text(name, part)).chain([rest.to_owned()]) {
        whole.push('\n');
        whole.push_str(&part);
    }
    whole
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
