//! What a server says about itself.

/// Facts about the connected server that decide whether it may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInfo {
    /// Version, e.g. `7.0.15`; Valkey reports the Redis version that it is compatible with.
    pub version: String,
    /// Changes with every start of the server.
    pub run_id: String,
    /// Whether an append-only file is kept.
    pub aof: bool,
    /// What happens when memory is full; anything but `noeviction` loses data.
    pub eviction: String,
}

impl ServerInfo {
    pub(crate) fn parse(info: &str) -> Self {
        let field = |name: &str| {
            let found = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            found.unwrap_or_default().trim().to_owned()
        };
        Self {
            version: field("redis_version"),
            run_id: field("run_id"),
            aof: field("aof_enabled") == "1",
            eviction: field("maxmemory_policy"),
        }
    }

    /// Tells whether the server may throw keys away when its memory is full.
    pub fn evicts(&self) -> bool {
        !self.eviction.is_empty() && self.eviction != "noeviction"
    }
}
