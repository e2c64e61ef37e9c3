//! What servers say about themselves.

use redis::{RedisResult, Value};

use crate::line::{Line, Through};

/// Facts about the connected server that decide whether and how it may be used. Of a cluster they are what can be said of all
/// its masters: the weakest of them counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInfo {
    /// Version, e.g. `7.0.15`; Valkey reports the Redis version that it is compatible with.
    pub version: String,
    /// Changes with every start of the server; for a cluster those of all masters, joined by commas.
    pub run_id: String,
    /// Whether an append-only file is kept.
    pub aof: bool,
    /// Whether the append-only file is synced before a write is answered. False also if the server does not tell.
    pub aof_always: bool,
    /// What happens when memory is full; anything but `noeviction` loses data.
    pub eviction: String,
    /// Whether `WAITAOF` is there: Redis 7.2 and Valkey have it.
    pub waitaof: bool,
    /// Replicas that are connected to the master.
    pub replicas: u32,
}

impl ServerInfo {
    /// Asks the server at the end of a line.
    pub(crate) async fn of(line: &Line) -> RedisResult<Self> {
        let info: String = redis::cmd("INFO").query_async(&mut Through(line)).await?;
        // Some providers do not let their customers see the configuration; then the weaker thing is assumed.
        let told = line.send(redis::cmd("CONFIG").arg("GET").arg("appendfsync")).await?;
        let policy: Vec<String> = match told {
            Value::ServerError(_) => Vec::new(),
            told => redis::from_redis_value(told)?,
        };
        Ok(Self::parse(&info, policy.get(1).map_or("", String::as_str)))
    }

    fn parse(info: &str, policy: &str) -> Self {
        let field = |name: &str| {
            let found = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            found.unwrap_or_default().trim().to_owned()
        };
        let (version, aof) = (field("redis_version"), field("aof_enabled") == "1");
        Self {
            waitaof: numbers(&version) >= vec![7, 2],
            version,
            run_id: field("run_id"),
            aof,
            aof_always: aof && policy == "always",
            eviction: field("maxmemory_policy"),
            replicas: field("connected_slaves").parse().unwrap_or_default(),
        }
    }

    /// Returns what can be said of both.
    pub(crate) fn and(self, other: Self) -> Self {
        let eviction = if self.evicts() { self.eviction } else { other.eviction };
        let version = if numbers(&other.version) < numbers(&self.version) { other.version } else { self.version };
        Self {
            version,
            run_id: format!("{},{}", self.run_id, other.run_id),
            aof: self.aof && other.aof,
            aof_always: self.aof_always && other.aof_always,
            eviction,
            waitaof: self.waitaof && other.waitaof,
            replicas: self.replicas.min(other.replicas),
        }
    }

    /// Tells whether the server may throw keys away when its memory is full.
    pub fn evicts(&self) -> bool {
        !self.eviction.is_empty() && self.eviction != "noeviction"
    }
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|number| number.parse().unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(version: &str, eviction: &str, replicas: u32, policy: &str) -> ServerInfo {
        let text = format!(
            "redis_version:{version}\r\nrun_id:id\r\naof_enabled:1\r\nmaxmemory_policy:{eviction}\r\n\
             connected_slaves:{replicas}\r\n"
        );
        ServerInfo::parse(&text, policy)
    }

    #[test]
    fn of_two_servers_the_weaker_counts() {
        let (weak, strong) = (info("7.0.15", "allkeys-lru", 0, "everysec"), info("7.10.1", "noeviction", 2, "always"));
        assert!(strong.waitaof && strong.aof_always && !strong.evicts());
        for both in [weak.clone().and(strong.clone()), strong.and(weak)] {
            assert_eq!((both.version.as_str(), both.eviction.as_str(), both.replicas), ("7.0.15", "allkeys-lru", 0));
            assert!(both.aof && !both.aof_always && !both.waitaof && both.evicts());
        }
    }
}
