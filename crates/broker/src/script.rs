//! Lua scripts by name.

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
}
