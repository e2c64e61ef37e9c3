//! A Redis Cluster of the test's own.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::eventually;
use crate::server::{Ended, PATIENCE, Server, folder, free_port, program, random};

const SLOTS: usize = 16384;
/// Milliseconds after which a node counts as failed: short for a test, long enough for a busy machine.
const NODE_TIMEOUT: &str = "1500";

/// Masters and replicas on ports of the loopback. Nodes are numbered, the masters first; the replicas of master 0 follow, then
/// those of master 1, and so on. Everything ends when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Server>,
    folder: tempfile::TempDir,
}

/// How a replica takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takeover {
    /// The master hands over: nothing is lost.
    Agreed,
    /// Without asking the master, but with the votes of the others.
    Forced,
    /// Without asking anybody.
    Alone,
}

/// What one node says about itself in `CLUSTER NODES`.
struct Seat {
    id: String,
    master: bool,
    of: String,
    epoch: u64,
    slots: Vec<RangeInclusive<usize>>,
}

/// A node before it starts.
struct Plan {
    id: String,
    port: u16,
    bus: u16,
    master: usize,
}

impl Cluster {
    /// Starts a cluster, the slots shared out evenly, and waits until every node takes it for whole.
    pub async fn start(masters: usize, replicas_each: usize) -> Self {
        Self::start_with(masters, replicas_each, &["--save", "", "--appendonly", "no"]).await
    }

    /// The same with arguments for every node.
    ///
    /// # Panics
    ///
    /// Panics when it does not start.
    pub async fn start_with(masters: usize, replicas_each: usize, arguments: &[&str]) -> Self {
        for _ in 0..20 {
            if let Ok(cluster) = Self::launch(masters, replicas_each, arguments).await {
                cluster.whole().await;
                return cluster;
            }
        }
        panic!("no cluster starts with {arguments:?}");
    }

    /// Returns the URL that names the nodes that started as masters.
    pub fn url(&self) -> String {
        let hosts: Vec<_> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("redis-cluster://{}", hosts.join(","))
    }

    /// Returns how many nodes there are, those that were killed included.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Returns the port of a node.
    pub fn port(&self, node: usize) -> u16 {
        self.nodes[node].port
    }

    /// Returns the id by which nodes name each other.
    ///
    /// # Panics
    ///
    /// Panics when it does not answer.
    pub fn id(&self, node: usize) -> String {
        self.command(node, &["CLUSTER", "MYID"])
    }

    /// Returns the slot of a key.
    ///
    /// # Panics
    ///
    /// Panics when no node runs.
    pub fn slot(&self, key: &str) -> usize {
        let node = (0..self.nodes.len()).find(|node| self.nodes[*node].runs()).expect("a node runs");
        self.command(node, &["CLUSTER", "KEYSLOT", key]).parse().expect("a slot is a number")
    }

    /// Returns the node that says that it owns a key's slot, if one does.
    pub fn master_of(&self, key: &str) -> Option<usize> {
        let slot = self.slot(key);
        let owns = |seat: &Seat| seat.master && seat.slots.iter().any(|range| range.contains(&slot));
        let owners = self.seats().filter(|(_, seat)| owns(seat));
        owners.max_by_key(|(_, seat)| seat.epoch).map(|(node, _)| node)
    }

    /// Returns a replica of a node.
    pub fn replica_of(&self, node: usize) -> Option<usize> {
        let id = self.seat(node)?.id;
        self.seats().find(|(_, seat)| seat.of == id).map(|(node, _)| node)
    }

    /// Runs one command on a node and returns its answer as `redis-cli` would print it without formatting.
    ///
    /// # Panics
    ///
    /// Panics when it does not answer.
    pub fn command(&self, node: usize, words: &[&str]) -> String {
        self.nodes[node].command(words).expect("the node answers")
    }

    /// Runs one command on each node that runs.
    ///
    /// # Panics
    ///
    /// Panics when one does not answer.
    pub fn command_each(&self, words: &[&str]) -> Vec<String> {
        self.nodes.iter().filter(|node| node.runs()).map(|node| node.command(words).expect("it answers")).collect()
    }

    /// Ends a node at once, as `kill -9` would.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].kill();
    }

    /// Ends the master that owns a key, and returns its number.
    ///
    /// # Panics
    ///
    /// Panics when nobody owns the key.
    pub fn kill_master_of(&mut self, key: &str) -> usize {
        let master = self.master_of(key).expect("the key has an owner");
        self.kill(master);
        master
    }

    /// Starts a node again that was killed.
    ///
    /// # Panics
    ///
    /// Panics when it does not start.
    pub async fn restart(&mut self, node: usize) {
        self.nodes[node].kill();
        self.nodes[node].launch().await.expect("the node starts again");
    }

    /// Stops a node without ending it; connections stay open and get no answers.
    pub fn pause(&self, node: usize) {
        self.nodes[node].signal(Signal::SIGSTOP);
    }

    /// Lets a paused node go on.
    pub fn resume(&self, node: usize) {
        self.nodes[node].signal(Signal::SIGCONT);
    }

    /// Makes a replica of the key's master the master, and returns its number when it is.
    ///
    /// # Panics
    ///
    /// Panics when the key's master has no replica, or when that does not take over.
    pub async fn fail_over(&self, key: &str, how: Takeover) -> usize {
        let master = self.master_of(key).expect("the key has an owner");
        let replica = self.replica_of(master).expect("the master has a replica");
        let words: &[&str] = match how {
            Takeover::Agreed => &["CLUSTER", "FAILOVER"],
            Takeover::Forced => &["CLUSTER", "FAILOVER", "FORCE"],
            Takeover::Alone => &["CLUSTER", "FAILOVER", "TAKEOVER"],
        };
        // An attempt that does not get its votes in time is given up without a word, so it is made again.
        let asked = std::cell::Cell::new(None::<Instant>);
        eventually(PATIENCE, || async {
            if asked.get().is_none_or(|asked| asked.elapsed() > Duration::from_secs(6)) {
                self.command(replica, words);
                asked.set(Some(Instant::now()));
            }
            self.master_of(key) == Some(replica)
        })
        .await;
        replica
    }

    /// Waits until every node that runs takes the cluster for whole, and every replica is in touch with its master.
    pub async fn whole(&self) {
        let well = |node: &Server| {
            let linked = node.field(&["INFO", "replication"], "role") == "master"
                || node.field(&["INFO", "replication"], "master_link_status") == "up";
            linked && node.field(&["CLUSTER", "INFO"], "cluster_state") == "ok"
        };
        let all = || async { self.nodes.iter().filter(|node| node.runs()).all(well) };
        eventually(PATIENCE, all).await;
    }

    async fn launch(masters: usize, replicas_each: usize, arguments: &[&str]) -> Result<Self, Ended> {
        let nodes = masters * (1 + replicas_each);
        let plans: Vec<Plan> = (0..nodes)
            .map(|node| Plan {
                id: format!("{:016x}{:016x}{:08x}", random(), random(), node),
                port: free_port(),
                bus: free_port(),
                master: if node < masters { node } else { (node - masters) / replicas_each },
            })
            .collect();
        let mut cluster = Self { nodes: Vec::new(), folder: folder() };
        for (node, plan) in plans.iter().enumerate() {
            let home = cluster.folder.path().join(node.to_string());
            write_view(&home, node, &plans, masters);
            let mut all: Vec<String> =
                ["--cluster-enabled", "yes", "--cluster-node-timeout", NODE_TIMEOUT, "--repl-diskless-sync-delay", "0"]
                    .into_iter()
                    .chain(["--cluster-replica-validity-factor", "0"])
                    .chain(arguments.iter().copied())
                    .map(str::to_owned)
                    .collect();
            all.extend(["--cluster-port".to_owned(), plan.bus.to_string()]);
            cluster.nodes.push(Server::new(program(), &home, plan.port, all));
        }
        let starts = cluster.nodes.iter_mut().map(Server::launch);
        futures::future::try_join_all(starts).await?;
        Ok(cluster)
    }

    fn seats(&self) -> impl Iterator<Item = (usize, Seat)> {
        (0..self.nodes.len()).filter_map(|node| Some((node, self.seat(node)?)))
    }

    /// Reads `<id> <address> <flags> <master> <ping> <pong> <epoch> <link> <slots>…` of the node itself.
    fn seat(&self, node: usize) -> Option<Seat> {
        let nodes = self.nodes[node].runs().then(|| self.nodes[node].command(&["CLUSTER", "NODES"]).ok())??;
        let line = nodes.lines().find(|line| line.contains("myself"))?;
        let words: Vec<&str> = line.split(' ').collect();
        let range = |text: &&str| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            Some(first.parse().ok()?..=last.parse().ok()?)
        };
        Some(Seat {
            id: words[0].to_owned(),
            master: words[2].contains("master"),
            of: words[3].to_owned(),
            epoch: words[6].parse().ok()?,
            slots: words[8..].iter().filter_map(range).collect(),
        })
    }
}

/// Writes what a node knows when it starts, so that nobody has to be introduced.
fn write_view(home: &Path, node: usize, plans: &[Plan], masters: usize) {
    let share = |master: usize| master * SLOTS / masters;
    let line = |(other, plan): (usize, &Plan)| {
        let me = if other == node { "myself," } else { "" };
        let (id, port, bus, epoch) = (&plan.id, plan.port, plan.bus, plan.master + 1);
        let place = format!("{id} 127.0.0.1:{port}@{bus} {me}");
        if other == plan.master {
            format!("{place}master - 0 0 {epoch} connected {}-{}", share(other), share(other + 1) - 1)
        } else {
            format!("{place}slave {} 0 0 {epoch} connected", plans[plan.master].id)
        }
    };
    let lines: Vec<String> = plans.iter().enumerate().map(line).collect();
    let text = format!("{}\nvars currentEpoch {masters} lastVoteEpoch 0\n", lines.join("\n"));
    std::fs::create_dir_all(home).expect("a folder for the node");
    std::fs::write(home.join("nodes.conf"), text).expect("the node's view is written");
}
