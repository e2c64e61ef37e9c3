//! A cluster: a line to every node, and a map that tells which one to take.

mod map;
mod send;
mod slot;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use futures::stream::{FuturesUnordered, StreamExt as _};
use redis::aio::{MultiplexedConnection, PubSub};
use redis::{ErrorKind, RedisError, RedisResult};

use self::map::Map;
pub(crate) use self::send::Across;
use crate::ServerInfo;
use crate::error::away;
use crate::line::{Line, Place, Through};
use crate::url::{Address, Login};

/// A doubtful map is not read again sooner than this after the last time; until then redirections lead the way.
const PAUSE: Duration = Duration::from_millis(100);
/// Nodes that are asked for the map at a time, and how long for.
const ASKED: usize = 7;
const PATIENCE: Duration = Duration::from_secs(1);

/// A cluster. Nothing in here asks for a spawned task: the map is read by whoever finds it missing or in doubt.
pub(crate) struct Cluster {
    seeds: Vec<Address>,
    login: Login,
    lines: Mutex<HashMap<Address, Arc<Line>>>,
    known: Mutex<Known>,
    /// Held by whoever reads the map.
    reading: tokio::sync::Mutex<()>,
    turn: AtomicUsize,
}

#[derive(Default)]
struct Known {
    map: Option<Arc<Map>>,
    doubted: bool,
    read: Option<Instant>,
    /// When reading failed last, and how.
    failed: Option<(Instant, RedisError)>,
}

/// What somebody took for true when they chose a node.
#[derive(Clone)]
pub(crate) struct View {
    cluster: Arc<Cluster>,
    map: Arc<Map>,
}

impl View {
    /// Tells that it has turned out to be wrong.
    pub(crate) fn doubt(&self) {
        self.cluster.doubt(&self.map);
    }
}

impl Cluster {
    pub(crate) fn new(seeds: Vec<Address>, login: &Login) -> Self {
        Self {
            seeds,
            login: login.without_database(),
            lines: Mutex::default(),
            known: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
            turn: AtomicUsize::new(0),
        }
    }

    /// Opens a connection of its own to the master that owns a key.
    pub(crate) async fn own(self: &Arc<Self>, key: &str) -> RedisResult<(MultiplexedConnection, View)> {
        let map = self.map().await?;
        let opened = match map.owner(slot::of_key(key.as_bytes())) {
            Some(owner) => self.line(owner)?.own().await,
            None => Err(uncovered()),
        };
        let view = View { cluster: self.clone(), map };
        match opened {
            Ok(connection) => Ok((connection, view)),
            Err(error) => {
                view.doubt();
                Err(error)
            }
        }
    }

    /// Opens a connection that receives what is published anywhere; each time at another master, so that whoever comes
    /// back because one died does not end up there again.
    pub(crate) async fn subscriber(&self) -> RedisResult<PubSub> {
        let map = self.map().await?;
        let mut last = uncovered();
        for _ in 0..map.masters.len() {
            match self.line(self.some_master(&map))?.subscriber().await {
                Ok(subscriber) => return Ok(subscriber),
                Err(error) => last = error,
            }
        }
        self.doubt(&map);
        Err(last)
    }

    /// Makes sure that every slot has an owner and every owner answers.
    pub(crate) async fn ping(&self) -> RedisResult<()> {
        let map = self.map().await?;
        let whole = if map.rank.0 { Ok(()) } else { Err(uncovered()) };
        let pings = map.masters.iter().map(async |master| {
            let line = self.line(master)?;
            redis::cmd("PING").query_async::<String>(&mut Through(&line)).await
        });
        let answered = whole.and(try_join_all(pings).await.map(|_| ()));
        answered.inspect_err(|_| self.doubt(&map))
    }

    /// Returns what can be said of all masters.
    pub(crate) async fn server(&self) -> RedisResult<ServerInfo> {
        let map = self.map().await?;
        let asked = map.masters.iter().map(async |master| ServerInfo::of(&*self.line(master)?).await);
        let infos = try_join_all(asked).await.inspect_err(|_| self.doubt(&map))?;
        infos.into_iter().reduce(ServerInfo::and).ok_or_else(uncovered)
    }

    /// Returns the map, read again if it is missing or in doubt.
    async fn map(&self) -> RedisResult<Arc<Map>> {
        if let Some(map) = self.known().usable() {
            return Ok(map);
        }
        let asked = Instant::now();
        let _reading = self.reading.lock().await;
        {
            let known = self.known();
            if let Some(map) = known.usable() {
                return Ok(map);
            }
            // As with a line: whoever waited while another one asked in vain has the answer.
            if let Some((failed, error)) = &known.failed
                && *failed >= asked
            {
                return Err(error.clone());
            }
        }
        let read = self.read().await.map(Arc::new);
        let mut known = self.known();
        match read {
            Ok(map) => {
                *known =
                    Known { map: Some(map.clone()), doubted: !map.rank.0, read: Some(Instant::now()), failed: None };
                drop(known);
                self.forget_strangers(&map);
                Ok(map)
            }
            Err(error) => {
                known.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Asks several nodes at once and takes the best view among those of most of them: the first answer alone could come
    /// from a node that the others have given up.
    async fn read(&self) -> RedisResult<Map> {
        let nodes = self.nodes();
        let most = nodes.len() / 2;
        let mut asked: FuturesUnordered<_> = nodes.iter().map(|node| self.ask(node)).collect();
        let (mut answers, mut best, mut last) = (0, None::<Map>, uncovered());
        while answers <= most
            && let Some(answer) = asked.next().await
        {
            match answer {
                Ok(map) => {
                    answers += 1;
                    best = best.filter(|best| best.rank >= map.rank).or(Some(map));
                }
                Err(error) => last = error,
            }
        }
        best.ok_or(last)
    }

    async fn ask(&self, node: &Address) -> RedisResult<Map> {
        let line = self.line(node)?;
        let asking = Map::read(&line, node);
        tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| Err(away("a node does not answer")))
    }

    /// Returns nodes to ask: of a large cluster others each time, and those of the URL if none of them is known.
    fn nodes(&self) -> Vec<Address> {
        let map = self.known().map.clone();
        let mut nodes: Vec<Address> = map.iter().flat_map(|map| map.nodes().cloned()).collect();
        nodes.extend(
            self.seeds.iter().filter(|seed| map.is_none() || !nodes.contains(seed)).cloned().collect::<Vec<_>>(),
        );
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % nodes.len().max(1);
        nodes.rotate_left(turn);
        nodes.truncate(ASKED);
        nodes
    }

    fn some_master<'a>(&self, map: &'a Map) -> &'a Address {
        &map.masters[self.turn.fetch_add(1, Ordering::Relaxed) % map.masters.len()]
    }

    fn line(&self, node: &Address) -> RedisResult<Arc<Line>> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(node) {
            return Ok(line.clone());
        }
        let line = Arc::new(Line::new(Place::Server(self.login.client(node)?)));
        lines.insert(node.clone(), line.clone());
        Ok(line)
    }

    fn forget_strangers(&self, map: &Map) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|node, _| self.seeds.contains(node) || map.nodes().any(|known| known == node));
    }

    /// Has the map read again, unless that happened already.
    fn doubt(&self, map: &Arc<Map>) {
        let mut known = self.known();
        if known.map.as_ref().is_some_and(|current| Arc::ptr_eq(current, map)) {
            known.doubted = true;
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing under the lock can leave it half changed.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn usable(&self) -> Option<Arc<Map>> {
        let recent = self.read.is_some_and(|read| read.elapsed() < PAUSE);
        self.map.clone().filter(|_| !self.doubted || recent)
    }
}

fn uncovered() -> RedisError {
    (ErrorKind::ClusterConnectionNotFound, "no node of the cluster owns the slot").into()
}
