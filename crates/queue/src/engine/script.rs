//! The scripts, each put together from its own file and what it shares with others.

use std::sync::LazyLock;

use broker::Script;

const ENTRY: &str = include_str!("../lua/entry.lua");
const DUE: &str = include_str!("../lua/due.lua");

/// A script that keeps the leases of this process; the heartbeat sends it whole, on a connection of its own.
pub(crate) const EXTEND: &str = include_str!("../lua/extend.lua");

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $file:literal [$($before:expr),*];)*) => {$(
        $(#[$doc])*
        pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| {
            // Once a process, for as long as it lives.
            let text = compose(include_str!(concat!("../lua/", $file, ".lua")), &[$($before),*]);
            Script::new($file, text.leak())
        });
    )*};
}

scripts! {
    SUBMIT = "submit" [ENTRY];
    CLAIM = "claim" [ENTRY, DUE];
    SETTLE = "settle" [ENTRY];
    CANCEL = "cancel" [ENTRY];
    TICK = "tick" [ENTRY, DUE];
    SWEEP = "sweep" [];
    NOTE = "note" [];
    CHECK = "check" [];
}

/// Puts the shared texts behind the first line, which must stay the first: it tells Redis how to run the script.
fn compose(own: &str, shared: &[&str]) -> String {
    let (first, rest) = own.split_once('\n').unwrap_or((own, ""));
    let mut whole = String::from(first);
    for part in shared.iter().copied().chain([rest]) {
        whole.push('\n');
        whole.push_str(part);
    }
    whole
}
