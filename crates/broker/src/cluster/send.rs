//! Sending commands where their keys are.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;
use redis::aio::ConnectionLike;
use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, ServerErrorKind, Value};

use super::map::Map;
use super::{Cluster, slot, uncovered};
use crate::error::{is_passing, refusal};
use crate::url::Address;

/// Redirections that one command follows; more mean that the nodes disagree.
const REDIRECTIONS: usize = 5;

/// Where a node sends a command.
struct Redirection {
    to: Address,
    /// Whether this one command alone goes there, because its slot is on the move.
    ask: bool,
}

impl Cluster {
    async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        let map = self.map().await?;
        let at = self.place(&map, slot::of_command(command))?.clone();
        self.follow(&map, command, Redirection { to: at, ask: false }).await
    }

    /// Sends a command to a node and on to where that one points: a redirection says that it was not run.
    async fn follow(&self, map: &Arc<Map>, command: &Cmd, mut go: Redirection) -> RedisResult<Value> {
        let mut left = REDIRECTIONS;
        loop {
            let line = self.line(&go.to)?;
            let answer = if go.ask {
                let mut asking = redis::pipe();
                asking.cmd("ASKING").add_command(command.clone());
                line.send_all(&asking, 0, 2).await.map(|mut answers| answers.pop().unwrap_or(Value::Nil))
            } else {
                line.send(command).await
            };
            let error = match &answer {
                Ok(value) => refusal(value),
                Err(error) => Some(error.clone()),
            };
            self.learn(map, error.as_ref());
            match error.and_then(|error| redirection(&error, &go.to)) {
                Some(further) if left > 0 => (go, left) = (further, left - 1),
                _ => return answer,
            }
        }
    }

    async fn send_all(&self, pipeline: &Pipeline, offset: usize, count: usize) -> RedisResult<Vec<Value>> {
        if pipeline.is_transaction() {
            return self.transact(pipeline, offset, count).await;
        }
        let map = self.map().await?;
        let commands: Vec<&Cmd> = pipeline.cmd_iter().collect();
        let mut parts: BTreeMap<(&str, u16), Vec<usize>> = BTreeMap::new();
        for (place, command) in commands.iter().enumerate() {
            let node = self.place(&map, slot::of_command(command))?;
            parts.entry((&node.host, node.port)).or_default().push(place);
        }
        let sent = parts.into_iter().map(async |((host, port), places)| {
            let node = Address { host: host.to_owned(), port };
            let answers = self.send_part(&map, &node, &places, &commands).await;
            answers.map(|answers| places.into_iter().zip(answers))
        });
        let mut answers = vec![Value::Nil; commands.len()];
        // All parts are waited for before the first failure is passed on, so that nothing is still under way after it.
        for part in join_all(sent).await {
            for (place, answer) in part? {
                answers[place] = answer;
            }
        }
        Ok(answers)
    }

    /// Sends some commands of a pipeline to the node that should have their keys. Those that it sends elsewhere follow one
    /// by one, so that commands of one key keep their order.
    async fn send_part(
        &self,
        map: &Arc<Map>,
        node: &Address,
        places: &[usize],
        commands: &[&Cmd],
    ) -> RedisResult<Vec<Value>> {
        let mut part = Pipeline::with_capacity(places.len());
        for place in places {
            part.add_command(commands[*place].clone());
        }
        let sent = self.line(node)?.send_all(&part, 0, places.len()).await;
        let mut answers = sent.inspect_err(|error| self.learn(map, Some(error)))?;
        for (place, answer) in places.iter().zip(&mut answers) {
            let Some(error) = refusal(answer) else { continue };
            self.learn(map, Some(&error));
            if let Some(further) = redirection(&error, node) {
                *answer = self.follow(map, commands[*place], further).await?;
            }
        }
        Ok(answers)
    }

    /// Sends `MULTI … EXEC`, which is whole or not at all and therefore for one slot.
    async fn transact(&self, pipeline: &Pipeline, offset: usize, count: usize) -> RedisResult<Vec<Value>> {
        let mut slots: Vec<u16> = pipeline.cmd_iter().filter_map(slot::of_command).collect();
        slots.dedup();
        if slots.len() > 1 {
            return Err((ErrorKind::Client, "the keys of a transaction lie in several slots").into());
        }
        let map = self.map().await?;
        let mut at = self.place(&map, slots.first().copied())?.clone();
        let mut left = REDIRECTIONS;
        loop {
            let answer = self.line(&at)?.send_all(pipeline, offset, count).await;
            let error = match &answer {
                Ok(answers) => answers.iter().find_map(refusal),
                Err(error) => Some(error.clone()),
            };
            self.learn(&map, error.as_ref());
            match error.and_then(|error| redirection(&error, &at)) {
                Some(further) if left > 0 && !further.ask => (at, left) = (further.to, left - 1),
                _ => return answer,
            }
        }
    }

    /// Returns the node for a slot, or some master for what has no key.
    fn place<'a>(&self, map: &'a Arc<Map>, slot: Option<u16>) -> RedisResult<&'a Address> {
        let Some(slot) = slot else { return Ok(self.some_master(map)) };
        map.owner(slot).ok_or_else(|| {
            self.doubt(map);
            uncovered()
        })
    }

    /// An answer that tells of a change puts the map in doubt; `ASK` does not, because the slot has not changed hands yet.
    fn learn(&self, map: &Arc<Map>, error: Option<&RedisError>) {
        let ask = ErrorKind::Server(ServerErrorKind::Ask);
        if error.is_some_and(|error| is_passing(error) && error.kind() != ask) {
            self.doubt(map);
        }
    }
}

/// Reads `<slot> <host>:<port>`; without a host it is the one that answered.
fn redirection(error: &RedisError, at: &Address) -> Option<Redirection> {
    let (host, port) = error.redirect_node()?.0.rsplit_once(':')?;
    let host = if host.is_empty() || host == "?" { &at.host } else { host };
    let to = Address { host: host.to_owned(), port: port.parse().ok()? };
    Some(Redirection { to, ask: error.kind() == ErrorKind::Server(ServerErrorKind::Ask) })
}

/// A cluster as the Redis client knows connections, so that pipelines are put together and answers are read as from one server.
#[derive(Clone, Copy)]
pub(crate) struct Across<'a>(pub(crate) &'a Cluster);

impl ConnectionLike for Across<'_> {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(self.0.send(command))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(self.0.send_all(pipeline, offset, count))
    }

    fn get_db(&self) -> i64 {
        0
    }
}
