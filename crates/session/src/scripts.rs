//! The scripts, each with the beginning that they share.

use broker::Script;

/// The scripts of a log.
#[derive(Debug)]
pub(crate) struct Scripts {
    pub(crate) append: Script,
    pub(crate) announce: Script,
    pub(crate) read: Script,
    pub(crate) watch: Script,
    pub(crate) acknowledge: Script,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        Self {
            append: Script::new("session_append", concat!(include_str!("epoch.lua"), include_str!("append.lua"))),
            announce: Script::new(
                "session_announce",
                concat!(include_str!("announce.lua"), include_str!("epoch.lua"), include_str!("append.lua")),
            ),
            read: Script::new("session_read", concat!(include_str!("epoch.lua"), include_str!("read.lua"))),
            watch: Script::new("session_watch", concat!(include_str!("epoch.lua"), include_str!("watch.lua"))),
            acknowledge: Script::new(
                "session_acknowledge",
                concat!(include_str!("epoch.lua"), include_str!("acknowledge.lua")),
            ),
        }
    }
}

/// Returns an epoch for the script to begin if it must.
pub(crate) fn new_epoch() -> Vec<u8> {
    uuid::Uuid::new_v4().simple().to_string().into_bytes()
}

/// Writes a number as an argument.
pub(crate) fn number(value: impl ToString + Copy) -> Vec<u8> {
    value.to_string().into_bytes()
}
