//! A master, its replicas, and the sentinels that watch them.

use std::path::PathBuf;

use nix::sys::signal::Signal;

use crate::eventually;
use crate::server::{Ended, PATIENCE, Server, folder, free_port, program, random};

const MASTER: &str = "main";
/// Milliseconds after which each sentinel takes a silent server for down. They differ, because three who stand for election at
/// the same moment get a vote each, and then nobody is elected for seconds.
const DOWN_AFTER: [u32; 3] = [800, 1000, 3000];
/// The usual periods are seconds; and a sentinel that was kept waiting by a busy machine would sit back for 30 s.
const PERIODS: &str = "SENTINEL DEBUG INFO-PERIOD 200 PING-PERIOD 400 ASK-PERIOD 100 PUBLISH-PERIOD 200 \
                       TILT-TRIGGER 20000 TILT-PERIOD 1000";

/// Three servers, one of them the master, and three sentinels of which two must agree, on ports of the loopback. Everything
/// ends when this is dropped.
#[derive(Debug)]
pub struct Sentinels {
    servers: Vec<Server>,
    watchers: Vec<Server>,
    folder: tempfile::TempDir,
}

impl Sentinels {
    /// Starts everything, and waits until the sentinels know the servers and each other.
    pub async fn start() -> Self {
        Self::start_with(&["--save", "", "--appendonly", "no"]).await
    }

    /// The same with arguments for the servers.
    ///
    /// # Panics
    ///
    /// Panics when it does not start.
    pub async fn start_with(arguments: &[&str]) -> Self {
        for _ in 0..20 {
            if let Ok(all) = Self::launch(arguments).await {
                all.agreed().await;
                return all;
            }
        }
        panic!("no sentinels start with {arguments:?}");
    }

    /// Returns the URL that names the sentinels and the master.
    pub fn url(&self) -> String {
        let hosts: Vec<_> = self.watchers.iter().map(|one| format!("127.0.0.1:{}", one.port)).collect();
        format!("redis-sentinel://{}/{MASTER}", hosts.join(","))
    }

    /// Returns the port of the master, as the sentinels know it.
    ///
    /// # Panics
    ///
    /// Panics when no sentinel runs.
    pub fn master_port(&self) -> u16 {
        let opinion = |sentinel: &Server| {
            let about = sentinel.command(&["SENTINEL", "MASTER", MASTER]).ok()?;
            let words: Vec<&str> = about.lines().collect();
            let value = |name: &str| words.windows(2).find(|pair| pair[0] == name).map(|pair| pair[1].to_owned());
            Some((value("config-epoch")?.parse::<u64>().ok()?, value("port")?.parse::<u16>().ok()?))
        };
        let latest = self.watchers.iter().filter(|one| one.runs()).filter_map(opinion).max();
        latest.expect("a sentinel answers").1
    }

    /// Returns the ports of all servers, those that were killed included.
    pub fn ports(&self) -> Vec<u16> {
        self.servers.iter().map(|server| server.port).collect()
    }

    /// Runs one command on the server on a port and returns its answer as `redis-cli` would print it without formatting.
    ///
    /// # Panics
    ///
    /// Panics when it does not answer.
    pub fn command(&self, port: u16, words: &[&str]) -> String {
        self.server(port).command(words).expect("the server answers")
    }

    /// Waits until every replica has what the master has at this moment. `WAIT` tells of writes on its own connection only.
    ///
    /// # Panics
    ///
    /// Panics when it takes too long.
    pub async fn replicated(&self) {
        let offset = |server: &Server, name| server.field(&["INFO", "replication"], name).parse::<u64>().ok();
        let master = self.master_port();
        let written = offset(self.server(master), "master_repl_offset").expect("the master knows what it has written");
        let has = |port: u16| offset(self.server(port), "slave_repl_offset").is_some_and(|has| has >= written);
        let all = || self.ports().into_iter().filter(|&port| port != master).all(has);
        eventually(PATIENCE, || async { all() }).await;
    }

    /// Ends the master at once, as `kill -9` would, and returns its port.
    pub fn kill_master(&mut self) -> u16 {
        let port = self.master_port();
        self.server_mut(port).kill();
        port
    }

    /// Stops the server on a port without ending it; connections stay open and get no answers.
    pub fn pause(&self, port: u16) {
        self.server(port).signal(Signal::SIGSTOP);
    }

    /// Lets a paused server go on.
    pub fn resume(&self, port: u16) {
        self.server(port).signal(Signal::SIGCONT);
    }

    /// Starts the server on a port again; the sentinels make it a replica if another one is the master by now.
    ///
    /// # Panics
    ///
    /// Panics when it does not start.
    pub async fn restart(&mut self, port: u16) {
        let server = self.server_mut(port);
        server.kill();
        server.launch().await.expect("the server starts again");
    }

    /// Ends one of the sentinels, 0 to 2.
    pub fn kill_sentinel(&mut self, sentinel: usize) {
        self.watchers[sentinel].kill();
    }

    /// Has the sentinels make another server the master, and returns its port when it is.
    ///
    /// # Panics
    ///
    /// Panics when it does not happen.
    pub async fn fail_over(&self) -> u16 {
        let old = self.master_port();
        let sentinel = self.watchers.iter().find(|one| one.runs()).expect("a sentinel runs");
        // It refuses until it has heard of a replica that is good enough.
        eventually(PATIENCE, || async {
            sentinel.command(&["SENTINEL", "FAILOVER", MASTER]).is_ok_and(|answer| answer == "OK")
        })
        .await;
        let new = self.promoted(old).await;
        // Until the old one is told, it takes writes that nobody will see.
        let demoted = || self.server(old).field(&["INFO", "replication"], "role") == "slave";
        eventually(PATIENCE, || async { demoted() }).await;
        new
    }

    /// Waits until another server than that on the port `old` is the master, and returns its port.
    pub async fn promoted(&self, old: u16) -> u16 {
        let other = || {
            let port = self.master_port();
            (port != old && self.server(port).field(&["INFO", "replication"], "role") == "master").then_some(port)
        };
        eventually(PATIENCE, || async { other().is_some() }).await;
        self.master_port()
    }

    async fn launch(arguments: &[&str]) -> Result<Self, Ended> {
        let mut all = Self { servers: Vec::new(), watchers: Vec::new(), folder: folder() };
        for number in 0..3 {
            let mut own: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
            own.extend(["--repl-diskless-sync-delay", "0"].map(str::to_owned));
            if let Some(master) = all.servers.first() {
                own.extend(["--replicaof", "127.0.0.1", &master.port.to_string()].map(str::to_owned));
            }
            let home = all.home(&format!("r{number}"));
            all.servers.push(Server::new(program(), &home, free_port(), own));
        }
        let seats: Vec<(String, u16)> =
            (0..3).map(|_| (format!("{:016x}{:016x}{:08x}", random(), random(), 0), free_port())).collect();
        for number in 0..3 {
            let home = all.home(&format!("s{number}"));
            let file = home.join("sentinel.conf");
            std::fs::write(&file, settings(number, &seats, &all.ports())).expect("the sentinel's settings are written");
            let own = vec![file.display().to_string(), "--sentinel".to_owned()];
            all.watchers.push(Server::new(program(), &home, seats[number].1, own));
        }
        futures::future::try_join_all(all.servers.iter_mut().map(Server::launch)).await?;
        let linked = |server: &Server| server.field(&["INFO", "replication"], "master_link_status") == "up";
        eventually(PATIENCE, || async { all.servers[1..].iter().all(linked) }).await;
        futures::future::try_join_all(all.watchers.iter_mut().map(Server::launch)).await?;
        for sentinel in &all.watchers {
            // A sentinel that does not know these is slow, and no worse.
            let _ = sentinel.command(&PERIODS.split(' ').collect::<Vec<_>>());
        }
        Ok(all)
    }

    fn home(&self, name: &str) -> PathBuf {
        let home = self.folder.path().join(name);
        std::fs::create_dir_all(&home).expect("a folder for the server");
        home
    }

    async fn agreed(&self) {
        let knows = |sentinel: &Server| {
            let replicas = sentinel.command(&["SENTINEL", "REPLICAS", MASTER]).unwrap_or_default();
            let ready = replicas.lines().filter(|line| *line == "master-link-status").count() == 2
                && !replicas.contains("disconnected")
                && replicas.lines().filter(|line| *line == "ok").count() >= 2;
            ready && sentinel.command(&["SENTINEL", "CKQUORUM", MASTER]).is_ok_and(|answer| answer.starts_with("OK 3"))
        };
        eventually(PATIENCE, || async { self.watchers.iter().all(knows) }).await;
    }

    fn server(&self, port: u16) -> &Server {
        self.servers.iter().find(|server| server.port == port).expect("the port is that of a server")
    }

    fn server_mut(&mut self, port: u16) -> &mut Server {
        self.servers.iter_mut().find(|server| server.port == port).expect("the port is that of a server")
    }
}

/// Returns what a sentinel knows when it starts, so that nobody has to be found.
fn settings(number: usize, seats: &[(String, u16)], servers: &[u16]) -> String {
    let mut lines = vec![
        format!("sentinel myid {}", seats[number].0),
        format!("sentinel monitor {MASTER} 127.0.0.1 {} 2", servers[0]),
        format!("sentinel down-after-milliseconds {MASTER} {}", DOWN_AFTER[number]),
        format!("sentinel failover-timeout {MASTER} 3000"),
    ];
    lines.extend(servers[1..].iter().map(|port| format!("sentinel known-replica {MASTER} 127.0.0.1 {port}")));
    let others = seats.iter().enumerate().filter(|(other, _)| *other != number);
    lines.extend(others.map(|(_, (id, port))| format!("sentinel known-sentinel {MASTER} 127.0.0.1 {port} {id}")));
    lines.join("\n") + "\n"
}
