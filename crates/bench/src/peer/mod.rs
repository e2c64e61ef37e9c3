//! Who is measured: ours and the others, each as one process of its own.

mod install;
mod process;

use std::path::{Path, PathBuf};
use std::process::Command;

pub use install::install;
pub(crate) use process::all_done;
pub use process::{Marks, Process};

/// A scenario by name, as it is told to a process.
pub type Scenario = &'static str;

/// Somebody who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Name on the command line and in the JSON.
    pub name: &'static str,
    /// Name for people.
    pub title: &'static str,
    /// How it is run.
    pub kind: Kind,
    /// What it can be asked to do.
    pub scenarios: &'static [Scenario],
    /// How many jobs it does in about a second here, to choose a number that does not take for ever.
    pub pace: u32,
}

/// How a peer is run and installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The `nooble` binary.
    Ours,
    /// A script on Node with packages from npm.
    Node {
        /// Packages with their exact versions.
        packages: &'static [&'static str],
    },
    /// A script on Python with packages from PyPI in an environment of its own.
    Python {
        /// Packages with their exact versions.
        packages: &'static [&'static str],
    },
    /// A program of the cargo project beside the scripts.
    Rust {
        /// Feature of the project that it needs.
        feature: &'static str,
        /// Name of the program.
        program: &'static str,
    },
}

/// Everybody who can be measured, ours first.
pub const ALL: &[Peer] = &[
    Peer {
        name: "ours",
        title: "Nooble",
        kind: Kind::Ours,
        scenarios: &["enqueue", "drain", "end_to_end", "pickup", "fairness", "tiers", "crash", "scale"],
        pace: 30_000,
    },
    Peer {
        name: "bullmq",
        title: "BullMQ",
        kind: Kind::Node { packages: &["bullmq@6.7.0", "ioredis@6.0.0"] },
        scenarios: &["enqueue", "drain", "end_to_end", "pickup", "fairness", "fairness_by_queue", "crash", "scale"],
        pace: 8_000,
    },
    rust("bullmq-rust", "BullMQ for Rust", ("bullmq", "bullmq-rust-peer"), 8_000),
    rust("apalis", "apalis", ("apalis", "apalis-peer"), 8_000),
    python("arq", "arq", &["arq==0.28.0"], 2_000),
    python("dramatiq", "Dramatiq", &["dramatiq==2.2.1", "redis==6.4.0"], 2_000),
    python("celery", "Celery", &["celery==5.7.0", "redis==6.4.0", "packaging==25.0"], 1_500),
    python("rq", "RQ", &["rq==3.0.0", "redis==6.4.0"], 700),
];

/// What every peer can be asked to do.
const BASIC: &[Scenario] = &["enqueue", "drain", "end_to_end", "pickup"];

const fn rust(
    name: &'static str,
    title: &'static str,
    (feature, program): (&'static str, &'static str),
    pace: u32,
) -> Peer {
    Peer { name, title, kind: Kind::Rust { feature, program }, scenarios: BASIC, pace }
}

const fn python(name: &'static str, title: &'static str, packages: &'static [&'static str], pace: u32) -> Peer {
    Peer { name, title, kind: Kind::Python { packages }, scenarios: BASIC, pace }
}

/// Where everything lies that a process needs.
#[derive(Clone, Debug)]
pub struct Places {
    /// The `nooble` binary.
    pub ours: PathBuf,
    /// Folder that peers are installed in.
    pub tools: PathBuf,
}

impl Peer {
    /// Finds somebody by name.
    pub fn find(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|peer| peer.name == name)
    }

    /// Tells whether it is ours.
    pub fn is_ours(&self) -> bool {
        self.kind == Kind::Ours
    }

    /// Tells whether it takes part in every round: ours, and BullMQ, whom the bounds are about. The others show where
    /// those two stand, once.
    pub fn is_main(&self) -> bool {
        self.is_ours() || self.name == "bullmq"
    }

    /// Tells whether it can do this.
    pub fn can(&self, scenario: Scenario) -> bool {
        self.scenarios.contains(&scenario)
    }

    /// Returns the folder that it is installed in.
    pub fn folder(&self, tools: &Path) -> PathBuf {
        tools.join(self.name)
    }

    /// Makes the command that does a scenario with these numbers.
    pub fn command(&self, places: &Places, scenario: Scenario, numbers: &serde_json::Value) -> Command {
        let folder = self.folder(&places.tools);
        let mut command = match self.kind {
            Kind::Ours => {
                let mut command = Command::new(&places.ours);
                command.arg("bench-part");
                command
            }
            Kind::Node { .. } => {
                let mut command = Command::new("node");
                command.arg(folder.join("peer.mjs")).env("NODE_ENV", "production");
                command
            }
            Kind::Python { .. } => {
                let mut command = Command::new(folder.join("venv/bin/python"));
                command.arg(folder.join("peer.py"));
                command
            }
            Kind::Rust { program, .. } => Command::new(places.tools.join("rust-target/release").join(program)),
        };
        command.arg(scenario).arg(numbers.to_string());
        command
    }
}
