//! Who owns which slot.

use redis::{ErrorKind, RedisResult, Value};

use super::slot::SLOTS;
use crate::line::{Line, Through};
use crate::url::Address;

/// The masters of a cluster and their slots, as one node saw them.
pub(crate) struct Map {
    /// How good this view is: whether the node takes the cluster for whole, then how recent a change it knows of.
    pub(crate) rank: (bool, u64),
    pub(crate) masters: Vec<Address>,
    pub(crate) replicas: Vec<Address>,
    /// Index of the master per slot.
    owners: Vec<Option<usize>>,
}

impl Map {
    /// Asks the node at the end of a line how it sees the cluster.
    pub(crate) async fn read(line: &Line, asked: &Address) -> RedisResult<Self> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("CLUSTER").arg("INFO").cmd("CLUSTER").arg("SLOTS");
        let (info, ranges): (String, Vec<Value>) = pipeline.query_async(&mut Through(line)).await?;
        let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let epoch = field("cluster_current_epoch").and_then(|epoch| epoch.trim().parse().ok()).unwrap_or_default();
        let whole = field("cluster_state").is_some_and(|state| state.trim() == "ok");
        let mut map = Self {
            rank: (whole, epoch),
            masters: Vec::new(),
            replicas: Vec::new(),
            owners: vec![None; usize::from(SLOTS)],
        };
        for range in &ranges {
            map.add(range, asked).ok_or((ErrorKind::UnexpectedReturnType, "CLUSTER SLOTS cannot be read"))?;
        }
        if map.masters.is_empty() {
            return Err((ErrorKind::ClusterConnectionNotFound, "the node knows no owner of any slot").into());
        }
        Ok(map)
    }

    /// Takes in `[first, last, master, replica …]`, where a node is `[host, port, …]`.
    fn add(&mut self, range: &Value, asked: &Address) -> Option<()> {
        let Value::Array(parts) = range else { return None };
        let [Value::Int(first), Value::Int(last), master, replicas @ ..] = parts.as_slice() else { return None };
        let slots = usize::try_from(*first).ok()?..=usize::try_from(*last).ok()?;
        let master = node(master, asked)?;
        let index = self.masters.iter().position(|known| *known == master).unwrap_or_else(|| {
            self.masters.push(master);
            self.masters.len() - 1
        });
        self.owners.get_mut(slots)?.fill(Some(index));
        for replica in replicas {
            let replica = node(replica, asked)?;
            if !self.replicas.contains(&replica) {
                self.replicas.push(replica);
            }
        }
        Some(())
    }

    /// Returns the master of a slot.
    pub(crate) fn owner(&self, slot: u16) -> Option<&Address> {
        self.masters.get((*self.owners.get(usize::from(slot))?)?)
    }

    /// Returns all nodes.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Address> {
        self.masters.iter().chain(&self.replicas)
    }
}

/// A node that does not know its own address leaves it out: it is where it was asked.
fn node(value: &Value, asked: &Address) -> Option<Address> {
    let Value::Array(parts) = value else { return None };
    let host = match parts.first()? {
        Value::BulkString(host) if !host.is_empty() && host != b"?" => String::from_utf8(host.clone()).ok()?,
        Value::SimpleString(host) if !host.is_empty() => host.clone(),
        _ => asked.host.clone(),
    };
    let Value::Int(port) = parts.get(1)? else { return None };
    Some(Address { host, port: u16::try_from(*port).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_without_an_address_of_its_own_is_where_it_was_asked() {
        let asked = Address { host: "here".to_owned(), port: 1 };
        let named =
            |host: Value| node(&Value::Array(vec![host, Value::Int(7)]), &asked).map(|node| (node.host, node.port));
        for unknown in [Value::Nil, Value::BulkString(Vec::new()), Value::BulkString(b"?".to_vec())] {
            assert_eq!(named(unknown), Some(("here".to_owned(), 7)));
        }
        assert_eq!(named(Value::BulkString(b"there".to_vec())), Some(("there".to_owned(), 7)));
    }
}
